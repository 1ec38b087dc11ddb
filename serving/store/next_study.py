"""Which study is next for a reader: the first due that is free for them, found and held at once.

On PostgreSQL a row that another transaction holds is passed by (`SKIP LOCKED`), so that readers who ask at
the same moment do not wait for each other; SQLite's writers take turns as it is.
"""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Exists, Select, and_, exists, false, not_, or_, select, true

from serving.store.reading_tables import claims, reads
from serving.store.tables import queue_entries, studies
from serving.store.tenancy import Scope, within


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a reader may be given.

    Parameters
    ----------
    reader : str
        What they have read of a study decides in which slot they may read it.
    modalities : frozenset of str or None
        What they read; None: everything.
    not_of_sites : frozenset of str
        Sites whose studies others read.
    second_tiers : frozenset of str
        Tiers that are read twice.
    released_since_us : int
        What they gave back since then is not given to them again at once.
    """

    reader: str
    modalities: frozenset[str] | None
    not_of_sites: frozenset[str]
    second_tiers: frozenset[str]
    released_since_us: int


def next_study(
    connection: Connection, *, scope: Scope, wanted: Wanted, now_us: int, passed_by: Collection[int] = ()
) -> int | None:
    """Give and hold the first due study that is free for a reader, None if there is none.

    `passed_by` are studies that turned out not to be free.
    """
    entry = queue_entries.c
    own = [
        not_(_claimed(claims.c.reader == wanted.reader, claims.c.expires_at > now_us)),
        not_(_claimed_before(claims.c.reader == wanted.reader, *_of_late(wanted.released_since_us))),
        or_(*_free_slots(wanted, now_us, _read(reads.c.reader == wanted.reader))),
    ]
    if passed_by:
        own.append(entry.study_id.not_in(sorted(passed_by)))
    query = _first_due(scope, wanted, own, limit=1)
    return connection.execute(query).scalar_one_or_none()


def free_studies(
    connection: Connection, *, scope: Scope, wanted: Wanted, now_us: int, limit: int
) -> list[int]:
    """Give and hold the first due studies that are free for somebody, for several who ask together."""
    query = _first_due(scope, wanted, [or_(*_free_slots(wanted, now_us, false()))], limit=limit)
    return list(connection.execute(query).scalars())


def released_by(
    connection: Connection, *, scope: Scope, study_ids: Collection[int], since_us: int
) -> dict[int, frozenset[str]]:
    """Give who gave back which of some studies since a time."""
    query = select(claims.c.study_id, claims.c.reader).where(
        within(scope, claims.c.site_id), claims.c.study_id.in_(study_ids), *_of_late(since_us)
    )
    found: dict[int, frozenset[str]] = {}
    for study_id, reader in connection.execute(query):
        found[study_id] = found.get(study_id, frozenset()) | {reader}
    return found


def _first_due(
    scope: Scope, wanted: Wanted, conditions: Collection[ColumnElement[bool]], *, limit: int
) -> Select[int]:
    entry = queue_entries.c
    kept = [within(scope, entry.site_id), entry.is_waiting == true(), *conditions]
    if wanted.modalities is not None:
        kept.append(studies.c.modality.in_(sorted(wanted.modalities)))
    if wanted.not_of_sites:
        kept.append(entry.site_id.not_in(sorted(wanted.not_of_sites)))
    return (
        select(entry.study_id)
        .join(studies, and_(studies.c.id == entry.study_id, studies.c.site_id == entry.site_id))
        .where(*kept)
        .order_by(entry.due_at, entry.study_id)
        .limit(limit)
        .with_for_update(of=studies, skip_locked=True)
    )


def _free_slots(wanted: Wanted, now_us: int, own: ColumnElement[bool]) -> list[ColumnElement[bool]]:
    """Make the condition of each slot that may be free; :mod:`serving.reading.slots` has the last word."""
    held = [_claimed(claims.c.slot == slot, claims.c.expires_at > now_us) for slot in (1, 2, 3)]
    signed = [_read(reads.c.slot == slot) for slot in (1, 2, 3)]
    is_new = queue_entries.c.reopened_at.is_(None)
    is_read_twice = or_(queue_entries.c.tier.in_(sorted(wanted.second_tiers)), signed[0], signed[1])
    return [
        and_(is_new, not_(signed[0]), not_(held[0]), not_(own)),
        and_(is_new, is_read_twice, not_(signed[1]), not_(held[1]), not_(own)),
        and_(is_new, signed[0], signed[1], not_(signed[2]), not_(held[2]), not_(own)),
        and_(not_(is_new), not_(held[0]), not_(held[2])),
    ]


def _claimed(*conditions: ColumnElement[bool]) -> Exists:
    return exists().where(
        claims.c.study_id == queue_entries.c.study_id, claims.c.ended_at.is_(None), *conditions
    )


def _claimed_before(*conditions: ColumnElement[bool]) -> Exists:
    return exists().where(claims.c.study_id == queue_entries.c.study_id, *conditions)


def _of_late(since_us: int) -> list[ColumnElement[bool]]:
    return [claims.c.ending == "released", claims.c.ended_at > since_us]


def _read(condition: ColumnElement[bool]) -> Exists:
    return exists().where(
        reads.c.study_id == queue_entries.c.study_id, reads.c.signed_at.is_not(None), condition
    )
