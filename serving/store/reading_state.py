"""Where the reading of one study stands: its place, who holds it, what was signed of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select

from serving.store.claims import Claim, open_claims
from serving.store.reading_tables import reads
from serving.store.tables import queue_entries, scores, studies
from serving.store.tenancy import Scope, within


@dataclass(frozen=True, slots=True)
class SignedRead:
    """What was signed of a study, as far as the course of reading depends on it.

    `amends` is the read that this one takes the place of.
    """

    id: int
    slot: int
    reader: str
    version: int
    amends: int | None
    action: str
    diagnosis_scheme: str | None
    diagnosis_code: str | None
    diagnosis_text: str | None


@dataclass(frozen=True, slots=True)
class StudyAtHand:
    """A study with all that decides who may do what with it.

    `claims` are those that were not ended, expired ones among them; `signed` the last read of each slot.
    """

    id: int
    key: str
    uid: str
    site: str
    modality: str
    revision: int
    n_images: int
    state: str
    tier: str
    due_at_us: int
    received_at_us: int
    is_waiting: bool
    is_reopened: bool
    score_id: int | None
    claims: tuple[Claim, ...]
    signed: tuple[SignedRead, ...]

    def claim_of(self, reader: str) -> Claim | None:
        """Give somebody's claim, expired or not, as long as nobody else was given the study."""
        return next((claim for claim in self.claims if claim.reader == reader), None)

    def signed_in(self, slot: int) -> SignedRead | None:
        """Give the read of a slot that counts."""
        return next((read for read in self.signed if read.slot == slot), None)


def hold(connection: Connection, *, scope: Scope, key: str, is_read_only: bool = False) -> StudyAtHand | None:
    """Give a study of the scope, None if there is none of that key.

    Nobody else changes it, its claims or its reads until the transaction ends, unless it only reads.
    """
    return _at_hand(connection, scope, studies.c.key == key, is_held=not is_read_only)


def at_hand(connection: Connection, *, scope: Scope, study_id: int) -> StudyAtHand | None:
    """Give a study of the scope that this transaction holds already."""
    return _at_hand(connection, scope, studies.c.id == study_id, is_held=False)


def all_at_hand(connection: Connection, *, scope: Scope, study_ids: Sequence[int]) -> list[StudyAtHand]:
    """Give some studies of the scope that this transaction holds already, in the order of `study_ids`."""
    query = select(studies).where(within(scope, studies.c.site_id), studies.c.id.in_(study_ids))
    found = {one.id: one for one in _stand(connection, connection.execute(query).all())}
    return [found[study_id] for study_id in study_ids if study_id in found]


def _at_hand(
    connection: Connection, scope: Scope, condition: ColumnElement[bool], *, is_held: bool
) -> StudyAtHand | None:
    query = select(studies).where(within(scope, studies.c.site_id), condition)
    rows = connection.execute(query.with_for_update() if is_held else query).all()
    return next(iter(_stand(connection, rows)), None)


def _stand(connection: Connection, rows: Sequence[Row[*tuple[Any, ...]]]) -> Iterator[StudyAtHand]:
    """Put studies that were found together with all else, asked for only now: others' commits are seen."""
    ids = [row.id for row in rows]
    if not ids:
        return
    entries = select(queue_entries).where(queue_entries.c.study_id.in_(ids))
    places = {place.study_id: place for place in connection.execute(entries)}
    newest = (
        select(scores.c.study_id, func.max(scores.c.id))
        .where(scores.c.study_id.in_(ids))
        .group_by(scores.c.study_id)
    )
    score_ids = dict(connection.execute(newest).all())
    claimed = open_claims(connection, scope=Scope(None), study_ids=ids)
    signed = _signed(connection, ids)
    for study in rows:
        place = places[study.id]
        yield StudyAtHand(
            id=study.id,
            key=study.key,
            uid=study.uid,
            site=study.site_id,
            modality=study.modality,
            revision=study.revision,
            n_images=study.n_images,
            state=study.state,
            tier=place.tier,
            due_at_us=place.due_at,
            received_at_us=study.received_at,
            is_waiting=place.is_waiting,
            is_reopened=place.reopened_at is not None,
            score_id=score_ids.get(study.id),
            claims=claimed.get(study.id, ()),
            signed=signed.get(study.id, ()),
        )


def _signed(connection: Connection, study_ids: Sequence[int]) -> dict[int, tuple[SignedRead, ...]]:
    query = select(reads).where(reads.c.study_id.in_(study_ids), reads.c.signed_at.is_not(None))
    rows = connection.execute(query.order_by(reads.c.id)).all()
    amended = {row.amends for row in rows}
    found: dict[int, tuple[SignedRead, ...]] = {}
    for row in rows:
        if row.id not in amended:
            read = SignedRead(
                row.id,
                row.slot,
                row.reader,
                row.version,
                row.amends,
                row.action,
                row.diagnosis_scheme,
                row.diagnosis_code,
                row.diagnosis_text,
            )
            found[row.study_id] = (*found.get(row.study_id, ()), read)
    return found
