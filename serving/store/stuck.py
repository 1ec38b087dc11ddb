"""Studies that have been in one state for longer than they should."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from serving.store.arrivals import is_not_waited_for
from serving.store.tables import studies
from serving.store.tenancy import Scope, within


@dataclass(frozen=True, slots=True)
class LongInState:
    """A study, its state and since when; `problem` is what is known of the cause."""

    study_key: str
    study_uid: str
    site: str
    state: str
    since_us: int
    worker: str | None
    n_attempts: int
    reason: str | None
    problem: str | None


def long_in_state(
    connection: Connection, state: str, *, scope: Scope, before_us: int, limit: int
) -> list[LongInState]:
    """Give studies that came into `state` before a moment, those that came first first."""
    query = (
        select(studies)
        .where(within(scope, studies.c.site_id), studies.c.state == state, studies.c.state_since < before_us)
        .where(is_not_waited_for(before_us))
        .order_by(studies.c.state_since, studies.c.id)
        .limit(limit)
    )
    return [
        LongInState(
            study_key=row.key,
            study_uid=row.uid,
            site=row.site_id,
            state=row.state,
            since_us=row.state_since,
            worker=row.worker,
            n_attempts=row.n_attempts,
            reason=row.reason,
            problem=row.problem,
        )
        for row in connection.execute(query)
    ]


def count_long_in_state(connection: Connection, state: str, *, before_us: int) -> int:
    """Give how many studies of all sites came into `state` before a moment."""
    return connection.execute(
        select(func.count()).where(
            studies.c.state == state, studies.c.state_since < before_us, is_not_waited_for(before_us)
        )
    ).scalar_one()
