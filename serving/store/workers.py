"""Who scores: a row a worker, and the beat that says it lives."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, Row, delete, insert, select, update

from serving.store.work_tables import workers


@dataclass(frozen=True, slots=True)
class Worker:
    """One process that takes jobs; `n_processes` studies are scored at once, on a CPU one a process.

    `beat` is counted up for as long as it lives. `state` is ``live``, ``dead`` (its beat stood still for too
    long, and its work was given to others) or ``stopped``.
    """

    id: str
    host: str
    process_id: int
    version: str
    started_at_us: int
    provider: str
    models: tuple[str, ...]
    n_processes: int
    state: str = "live"
    beat: int = 0
    beat_at_us: int = 0


def sign_on(connection: Connection, worker: Worker) -> None:
    """Write a worker down that is about to take jobs."""
    connection.execute(
        insert(workers).values(
            id=worker.id,
            host=worker.host,
            process_id=worker.process_id,
            version=worker.version,
            started_at=worker.started_at_us,
            beat=0,
            beat_at=worker.started_at_us,
            state="live",
            provider=worker.provider,
            models=list(worker.models),
            n_processes=worker.n_processes,
        )
    )


def beat(connection: Connection, worker: Worker, *, now_us: int) -> bool:
    """Say that a worker lives; False if others had taken it for dead meanwhile."""
    was = connection.execute(select(workers.c.state).where(workers.c.id == worker.id)).scalar_one_or_none()
    if was is None:  # swept away after a long absence
        sign_on(connection, worker)
    connection.execute(
        update(workers)
        .where(workers.c.id == worker.id)
        .values(beat=workers.c.beat + 1, beat_at=now_us, state="live")
    )
    return was == "live"


def sign_off(connection: Connection, worker_id: str, *, now_us: int) -> None:
    """Say that a worker has stopped in good order."""
    connection.execute(
        update(workers).where(workers.c.id == worker_id).values(state="stopped", beat_at=now_us)
    )


def declare_dead(connection: Connection, worker_id: str, *, last_beat: int) -> bool:
    """Take a worker for dead unless it has beaten since."""
    return (
        connection.execute(
            update(workers)
            .where(workers.c.id == worker_id, workers.c.state == "live", workers.c.beat == last_beat)
            .values(state="dead")
        ).rowcount
        == 1
    )


def all_workers(connection: Connection) -> list[Worker]:
    """Give every worker, the oldest first."""
    return [_worker(row) for row in connection.execute(select(workers).order_by(workers.c.started_at))]


def forget_workers(connection: Connection, *, before_us: int, except_for: Collection[str]) -> int:
    """Remove the rows of workers that ended long ago; gives their number."""
    return connection.execute(
        delete(workers).where(
            workers.c.state != "live", workers.c.beat_at < before_us, workers.c.id.not_in(except_for)
        )
    ).rowcount


def _worker(row: Row[*tuple[object, ...]]) -> Worker:
    return Worker(
        id=row.id,
        host=row.host,
        process_id=row.process_id,
        version=row.version,
        started_at_us=row.started_at,
        provider=row.provider,
        models=tuple(row.models),
        n_processes=row.n_processes,
        state=row.state,
        beat=row.beat,
        beat_at_us=row.beat_at,
    )
