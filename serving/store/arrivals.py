"""Studies of which more images may come: each waits for its score until a moment that every image moves.

A row stands here as long as a study is waited for; it is unscored then, and no job of it counts. Whoever
ends the wait removes the row and opens the job in one transaction that holds the study, so that of several
who come to it at once, or after a crash, one does. A sender that dies leaves a row whose moment passes.
"""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, delete, exists, insert, or_, select, update

from serving.store.assembly_tables import arrivals
from serving.store.tables import studies
from serving.store.tenancy import Scope, within

LONGEST_US = 30 * 60 * 1_000_000
"""A study that trickles in for longer is scored with what is there; the next image opens it again."""

# Clocks of several hosts differ by less; who began to wait in a future further than that had another clock.
_CLOCKS_APART_US = 60 * 1_000_000

_ONE = select(arrivals.c.since, arrivals.c.until)


class Ending(StrEnum):
    """Why a study is taken for complete."""

    SENDER = "sender"
    """Whoever sent its last images says so with them."""
    SIGNAL = "signal"
    """Somebody says so afterwards."""
    COUNT = "count"
    """It has as many images as were announced."""
    QUIET = "quiet"
    """Nothing came for its quiet time, or it came for too long."""
    AT_ONCE = "at-once"
    """Studies of its kind are not waited for."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Since when and until when a study is waited for, in microseconds since 1970 UTC."""

    since_us: int
    until_us: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A study whose wait has just been ended."""

    study_id: int
    key: str
    uid: str
    site: str
    n_images: int


@dataclass(frozen=True, slots=True)
class StudyArrival:
    """How far a study has come; `wait` is None if it is complete."""

    key: str
    uid: str
    site: str
    state: str
    revision: int
    n_images: int
    wait: Wait | None


def find_arrival(connection: Connection, *, scope: Scope, key: str) -> StudyArrival | None:
    """Give how far a study has come, None if there is none in the scope."""
    row = connection.execute(
        select(studies, arrivals.c.since, arrivals.c.until)
        .outerjoin(arrivals, arrivals.c.study_id == studies.c.id)
        .where(within(scope, studies.c.site_id), studies.c.key == key)
    ).first()
    if row is None:
        return None
    wait = None if row.until is None else Wait(row.since, row.until)
    return StudyArrival(row.key, row.uid, row.site_id, row.state, row.revision, row.n_images, wait)


def wait_of(connection: Connection, study_id: int) -> Wait | None:
    """Say until when a study is waited for, that is held or was found in a scope; None: it is complete."""
    row = connection.execute(_ONE.where(arrivals.c.study_id == study_id)).first()
    return None if row is None else Wait(row.since, row.until)


def begin_wait(connection: Connection, study_id: int, *, site: str, now_us: int, quiet_us: int) -> int:
    """Wait for more images of a study that is held; gives the moment until which."""
    until_us = now_us + min(quiet_us, LONGEST_US)
    connection.execute(insert(arrivals).values(study_id=study_id, site_id=site, since=now_us, until=until_us))
    return until_us


def wait_on(connection: Connection, study_id: int, wait: Wait, *, now_us: int, quiet_us: int) -> int:
    """Wait on after another image, no shorter than before and not for ever; gives until when."""
    until_us = min(max(wait.until_us, now_us + quiet_us), wait.since_us + LONGEST_US)
    if until_us != wait.until_us:
        connection.execute(update(arrivals).where(arrivals.c.study_id == study_id).values(until=until_us))
    return until_us


def end_wait(connection: Connection, study_id: int) -> bool:
    """Wait no longer for a study that is held; False if nobody did."""
    return connection.execute(delete(arrivals).where(arrivals.c.study_id == study_id)).rowcount == 1


def is_complete() -> ColumnElement[bool]:
    """Make the condition that a row of `studies` is of a study that is not waited for."""
    return ~exists().where(arrivals.c.study_id == studies.c.id)


def is_not_waited_for(since_us: int) -> ColumnElement[bool]:
    """Make the condition that a row of `studies` is of one that has not been waited for since a moment."""
    return ~exists().where(arrivals.c.study_id == studies.c.id, arrivals.c.until >= since_us)


def due_waits(connection: Connection, *, now_us: int, limit: int) -> list[int]:
    """Give studies of all sites that have been waited for long enough, those that are due longest first."""
    query = select(arrivals.c.study_id).where(_is_due(now_us)).order_by(arrivals.c.until).limit(limit)
    return list(connection.execute(query).scalars())


def end_due_wait(connection: Connection, study_id: int, *, now_us: int) -> Ended | None:
    """Wait no longer for a study; None if another ended the wait, or an image has come and moved it."""
    held = _hold(connection, studies.c.id == study_id)
    if held is None:
        return None
    query = delete(arrivals).where(arrivals.c.study_id == study_id, _is_due(now_us))
    return held if connection.execute(query).rowcount == 1 else None


def hold_arrived(connection: Connection, *, scope: Scope, key: str) -> Ended | None:
    """Give a study of the scope, complete or not, which nobody else changes meanwhile."""
    return _hold(connection, within(scope, studies.c.site_id) & (studies.c.key == key))


def keys_of_uid(connection: Connection, *, scope: Scope, uid: str) -> list[str]:
    """Give the keys of the studies of a Study Instance UID in the scope: one a site at most."""
    query = select(studies.c.key).where(within(scope, studies.c.site_id), studies.c.uid == uid)
    return list(connection.execute(query).scalars())


def _hold(connection: Connection, condition: ColumnElement[bool]) -> Ended | None:
    query = select(studies.c.id, studies.c.key, studies.c.uid, studies.c.site_id, studies.c.n_images)
    row = connection.execute(query.where(condition).with_for_update()).first()
    return None if row is None else Ended(row.id, row.key, row.uid, row.site_id, row.n_images)


def _is_due(now_us: int) -> ColumnElement[bool]:
    # a clock that was set back must not make anybody wait for a day
    return or_(arrivals.c.until <= now_us, arrivals.c.since > now_us + _CLOCKS_APART_US)
