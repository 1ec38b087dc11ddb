"""Lets an order count for the studies that are there already: in the transaction that writes it down."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, select

from serving.store.events import StudyEvent
from serving.store.jobs import Enqueue
from serving.store.orders import Contradiction, StoredOrder, StudyOrder, contradiction_of, examined_of
from serving.store.queue import Placement
from serving.store.receipt import ArrivedStudy, record
from serving.store.tables import studies, study_listings
from serving.store.tenancy import Scope, within


@dataclass(frozen=True, slots=True)
class Match:
    """A study under an order's accession number; one whose patient contradicts the order is left as it is.

    `events` are to be written at the end of the transaction.
    """

    study_key: str
    study_uid: str
    contradiction: Contradiction | None
    priority_before: str
    priority: str
    events: tuple[StudyEvent, ...]


def apply_order(
    connection: Connection,
    stored: StoredOrder,
    *,
    now_us: int,
    place_unscored: Callable[[int, str], Placement],
    enqueue: Enqueue,
) -> list[Match]:
    """Let the studies of an order have its priority and, where they have none, its question.

    A study only ever moves forward by it, and none is removed: an order that counts no more changes nothing.
    The accession number is held (:func:`serving.store.orders.hold_accessions`).

    Parameters
    ----------
    connection : Connection
        A writing one.
    stored : StoredOrder
    now_us : int, us since 1970 UTC
    place_unscored : callable
        Gives the place of a study without a score from the time it was received and its priority.
    enqueue : callable
        Puts a study's job into the queue, in the same transaction.
    """
    order = stored.order
    if not order.accession:
        return []
    rows = connection.execute(
        select(study_listings, studies.c.key, studies.c.modality, studies.c.priority)
        .join(studies, studies.c.id == study_listings.c.study_id)
        .where(
            within(Scope.of(stored.site), study_listings.c.site_id),
            study_listings.c.accession == order.accession,
        )
        .order_by(studies.c.id)
    ).all()
    matches = []
    for row in rows:
        seen = StudyOrder(stored, contradiction_of(order.patient, examined_of(row)))
        before = after = row.priority
        events: tuple[StudyEvent, ...] = ()
        if seen.counts:
            said = ArrivedStudy(
                uid=row.uid,
                modality=row.modality,
                priority=order.priority,
                instances=(),
                clinical_question=order.question or None,
            )
            # it arrives once more, without an image: an order says what an upload's form could say
            receipt = record(
                connection,
                said,
                site=stored.site,
                now_us=now_us,
                place_unscored=place_unscored,
                enqueue=enqueue,
                max_images=2**31,
                quiet_us=0,  # what is waited for still is
            )
            events = receipt.events
            query = select(studies.c.priority).where(studies.c.id == row.study_id)
            after = connection.execute(query).scalar_one()
        matches.append(Match(row.key, row.uid, seen.contradiction, before, after, events))
    return matches
