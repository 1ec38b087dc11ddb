"""What happened to studies, for those who look at one or at the list: rows are appended, and read by number.

Numbers rise in the order in which they are committed: whoever has read up to one misses none that comes later
with a smaller number. On PostgreSQL that takes the turn of the audit trail, which is held until the commit,
so events are written at the end of a transaction, beside the trail's rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from serving.store.assembly_tables import study_events
from serving.store.tables import studies
from serving.store.tenancy import Scope, within
from serving.store.turns import Turn, take_turn

_APPEND = insert(study_events)
_EVENTS = select(study_events, studies.c.key, studies.c.uid).join(
    studies, studies.c.id == study_events.c.study_id
)


class Happening(StrEnum):
    """What happened; a later version may add some."""

    RECEIVED = "received"
    """Its first image came."""
    COMPLETE = "complete"
    """It is waited for no longer, and is scored."""
    LATE_IMAGE = "late-image"
    """Images came after that; it is opened, and scored again."""
    SCORED = "scored"
    UNSCORED = "unscored"
    """It has no score and gets none: no model is for it, or scoring failed."""
    RE_RANKED = "re-ranked"
    """It stands at another place than before, for a reason other than its first score."""


@dataclass(frozen=True, slots=True)
class StudyEvent:
    """Something that happens to a study; `details` are plain JSON values, and say nothing of the patient."""

    study_id: int
    site: str
    kind: Happening
    at_us: int
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """Something that happened to a study."""

    id: int
    study_key: str
    study_uid: str
    site: str
    kind: Happening
    at_us: int
    details: Mapping[str, object]


def add_events(connection: Connection, events: Sequence[StudyEvent]) -> None:
    """Append events in the caller's transaction, which takes no other turn after this."""
    if not events:
        return
    take_turn(connection, Turn.AUDIT)
    rows = [
        {
            "site_id": one.site,
            "study_id": one.study_id,
            "kind": str(one.kind),
            "at": one.at_us,
            "details": dict(one.details),
        }
        for one in events
    ]
    connection.execute(_APPEND, rows)


def events_after(connection: Connection, *, scope: Scope, since: int, limit: int) -> list[KeptEvent]:
    """Give what happened to the studies of the scope behind the event of a number, the oldest first."""
    query = (
        _EVENTS.where(within(scope, study_events.c.site_id), study_events.c.id > since)
        .order_by(study_events.c.id)
        .limit(limit)
    )
    return [_event(row) for row in connection.execute(query)]


def events_of(connection: Connection, *, scope: Scope, study_id: int, limit: int) -> list[KeptEvent]:
    """Give what happened to a study of the scope, the newest first."""
    query = _EVENTS.where(within(scope, study_events.c.site_id), study_events.c.study_id == study_id)
    rows = connection.execute(query.order_by(study_events.c.id.desc()).limit(limit))
    return [_event(row) for row in rows]


def newest_event(connection: Connection, *, scope: Scope, study_id: int, kind: Happening) -> KeptEvent | None:
    """Give the last event of a kind of a study of the scope, None if there is none."""
    query = _EVENTS.where(
        within(scope, study_events.c.site_id),
        study_events.c.study_id == study_id,
        study_events.c.kind == str(kind),
    )
    row = connection.execute(query.order_by(study_events.c.id.desc()).limit(1)).first()
    return None if row is None else _event(row)


def _event(row: Row[*tuple[Any, ...]]) -> KeptEvent:
    return KeptEvent(row.id, row.key, row.uid, row.site_id, Happening(row.kind), row.at, row.details)
