"""Figures of all sites together, for the operator: counts and times, no study's own data.

What grows with the database (:func:`queue_figures`, :func:`object_figures`) is not asked at each scrape; what
is new since the last time (:func:`scored_since`, :func:`audited_since`) costs as much as is new.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, func, select, true

from serving.store.database import Database
from serving.store.tables import audit, objects, queue_entries, scores, studies

# A scrape every 15 s sees some hundred new scores; a database that was away for a day must not hold it up.
_MOST_SCORES = 20_000


@dataclass(frozen=True, slots=True)
class QueueFigure:
    """How many studies wait in a state and tier, and since when the first of them does."""

    state: str
    tier: str
    n_studies: int
    oldest_received_at_us: int


@dataclass(frozen=True, slots=True)
class ScoredFigure:
    """A score that was made: by which model, how long after the study came."""

    score_id: int
    model: str
    seconds: float


def queue_figures(connection: Connection) -> list[QueueFigure]:
    """Count what waits; 1,000,000 rows took 4 s on two cores that were busy with much else."""
    query = (
        select(studies.c.state, queue_entries.c.tier, func.count(), func.min(studies.c.received_at))
        .join(studies, studies.c.id == queue_entries.c.study_id)
        .where(queue_entries.c.is_waiting == true())
        .group_by(studies.c.state, queue_entries.c.tier)
    )
    return [QueueFigure(*row) for row in connection.execute(query)]


def unscored_by_reason(connection: Connection) -> dict[tuple[str, str], int]:
    """Count the studies without a score by state and reason."""
    query = (
        select(studies.c.state, func.coalesce(studies.c.reason, "novel-or-poor"), func.count())
        .where(studies.c.state.in_(("failed", "abstained")))
        .group_by(studies.c.state, studies.c.reason)
    )
    return {(state, reason): n for state, reason, n in connection.execute(query)}


def object_figures(connection: Connection) -> tuple[int, int]:
    """Give how many objects are stored, and their bytes."""
    n, n_bytes = connection.execute(select(func.count(), func.coalesce(func.sum(objects.c.n_bytes), 0))).one()
    return int(n), int(n_bytes)


def newest_score(connection: Connection) -> int:
    """Give the number of the newest score, 0 if there is none."""
    return int(connection.execute(select(func.coalesce(func.max(scores.c.id), 0))).scalar_one())


def newest_audit_row(connection: Connection) -> int:
    """Give the number of the newest row of the audit trail, 0 if there is none."""
    return int(connection.execute(select(func.coalesce(func.max(audit.c.seq), 0))).scalar_one())


def scored_since(connection: Connection, score_id: int) -> list[ScoredFigure]:
    """Give the scores after one, the oldest first, at most some thousand."""
    query = (
        select(scores.c.id, scores.c.model_name, scores.c.scored_at - studies.c.received_at)
        .join(studies, studies.c.id == scores.c.study_id)
        .where(scores.c.id > score_id)
        .order_by(scores.c.id)
        .limit(_MOST_SCORES)
    )
    return [ScoredFigure(number, model, max(0, us) / 1e6) for number, model, us in connection.execute(query)]


def audited_since(connection: Connection, seq: int) -> tuple[int, dict[tuple[str, str], int]]:
    """Give the newest row of the audit trail, and how many came after `seq`, by action and result."""
    newest = newest_audit_row(connection)
    query = (
        select(audit.c.action, audit.c.result, func.count())
        .where(audit.c.seq > seq, audit.c.seq <= newest)
        .group_by(audit.c.action, audit.c.result)
    )
    return newest, {(action, result): n for action, result, n in connection.execute(query)}


def connections_of(database: Database) -> dict[str, int]:
    """Give how many connections of the pool are in use, and how many wait to be used."""
    pool = database.engine.pool
    in_use, idle = getattr(pool, "checkedout", None), getattr(pool, "checkedin", None)
    return {
        **({"in_use": int(in_use())} if in_use else {}),
        **({"idle": int(idle())} if idle else {}),
    }
