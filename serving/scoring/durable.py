"""The queue of jobs, kept by DBOS in the same database as the studies; the only home of that library.

A job is enqueued on the caller's own connection, in the transaction that writes the study down: there is no
study without its job, and no job without its study. What a job does is safe to do twice, and a study's row
says which job counts (:mod:`serving.store.jobs`), so DBOS only has to see to it that each job is run at least
once, in the order of due times. A job's identity is its study, revision and number: the same one is queued
once, however often it is asked for. Nothing of this calls out: there is no conductor, and traces are off.

What was found out about DBOS 3.4, each of which something here stands on:

- Its tables on SQLite lie in the studies' file; it must be in write-ahead mode before DBOS opens it.
- What a process was at when it died stays PENDING under its `executor_id`: nobody takes it up by himself.
- A workflow that ends by an exception which is no `Exception` keeps its state, and can be resumed by others.
- `application_version` would by default change with the source, and work of another version is not taken.
- Arguments are pickled unless told otherwise; here they are JSON.
"""

import logging
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer, EnqueueOptions

from serving.errors import StartError
from serving.store.database import Database
from serving.store.engines import ABANDONED_S, described
from serving.store.jobs import Job

if TYPE_CHECKING:  # the database has one home, the store
    from sqlalchemy import Connection

QUEUE = "scoring"
WORKFLOW = "score"

# Names this program's rows; not the package's version: a job is the same over all of them until this changes.
_APPLICATION = "firstread"
_VERSION = "1"

# A job is taken up within this time; each look costs a process about a thousandth of a core's second.
_LOOK_EVERY_S = 0.05

# A worker takes this many more studies than it has processes: one is put together and one written down while
# the others are scored. Few, for what one worker holds another cannot take.
_AHEAD = 2

# Due times are kept as priorities of 31 bits: seconds since this moment reach to the year 2088.
_EPOCH_S = 1_577_836_800  # 2020-01-01
_MOST = 2**31 - 1

_CONNECTIONS = 8


class HandedBackError(BaseException):
    """A job is not ended by the worker that has it, and stays to be done by another.

    It is no `Exception`, so that neither DBOS nor anybody else takes it for the job's failure.
    """


@dataclass(frozen=True, slots=True)
class HeldJob:
    """A job that some worker has taken and not ended."""

    id: str
    worker: str


class JobQueue:
    """Puts jobs into the queue of a database, and says who holds which.

    Parameters
    ----------
    database : Database
        Where the studies are.
    """

    def __init__(self, database: Database) -> None:
        self._client = DBOSClient(
            # SQLite: a transaction that reads first must hold the writers' turn from its beginning
            system_database_engine=database.engine.execution_options(writes=True),
            serializer=DBOSPortableJSONSerializer(),
            application_name=_APPLICATION,
            lazy=True,
            retry_connection_errors=False,
        )

    def enqueue(self, connection: "Connection", job: Job, *, delay_s: float = 0.0) -> None:
        """Put a job into the queue, to be taken up no sooner than `delay_s` from now.

        It is committed with whatever else the connection's transaction does.
        """
        options: EnqueueOptions = {
            "workflow_name": WORKFLOW,
            "queue_name": QUEUE,
            "workflow_id": job.id,
            "priority": priority_of(job.due_at_us),
        }
        if delay_s > 0:
            options["delay_seconds"] = delay_s
        self._client.enqueue_in_transaction(connection, options, asdict(job))

    def held(self) -> list[HeldJob]:
        """Give the jobs that are taken and not ended, whether or not their worker still lives."""
        found = self._client.list_workflows(
            status="PENDING", name=WORKFLOW, load_input=False, load_output=False
        )
        return [HeldJob(one.workflow_id, one.executor_id or "") for one in found]

    def unfinished(self, job_ids: Collection[str]) -> set[str]:
        """Give those of some jobs that wait or are taken."""
        found = self._client.list_workflows(
            workflow_ids=list(job_ids),
            status=["ENQUEUED", "DELAYED", "PENDING"],
            load_input=False,
            load_output=False,
        )
        return {one.workflow_id for one in found}

    def give_out_again(self, job_ids: Collection[str]) -> None:
        """Let other workers take jobs whose worker cannot end them."""
        for job_id in job_ids:
            self._client.resume_workflow(job_id, queue_name=QUEUE)

    def forget_ended(self, *, before: str, limit: int = 500) -> int:
        """Remove what is kept of jobs that ended before a moment (ISO 8601); gives their number."""
        found = self._client.list_workflows(
            status=["SUCCESS", "ERROR", "CANCELLED"],
            name=WORKFLOW,
            completed_before=before,
            limit=limit,
            load_input=False,
            load_output=False,
        )
        if found:
            self._client.delete_workflows([one.workflow_id for one in found])
        return len(found)


class Runner:
    """Takes jobs out of the queue and has them done, a few at a time; there is one in a process.

    Parameters
    ----------
    place : Path or str
        The SQLite file, or the address of the PostgreSQL database.
    worker : str
        The name under which jobs are taken; no other process has it.
    work : callable
        Does a job, in a thread of its own. It may raise nothing but :class:`HandedBackError`.
    """

    def __init__(self, place: Path | str, *, worker: str, work: Callable[[Job], None]) -> None:
        self._place = place
        self._worker = worker
        self._work = work

    def start(self, *, n_processes: int) -> None:
        """Begin to take jobs."""
        _quiet()

        def score(job: dict[str, Any]) -> None:
            self._work(Job(**job))

        DBOS(config=self._config())
        # A study that its worker never ends is for the study's own counter to judge.
        DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)(score)
        DBOS.launch()
        self.set_room(n_processes)

    def set_room(self, n_processes: int) -> None:
        """Say how many scoring processes the largest of all workers has; each takes a few more jobs."""
        DBOS.register_queue(
            QUEUE,
            worker_concurrency=n_processes + _AHEAD,
            polling_interval_sec=_LOOK_EVERY_S,
            on_conflict="always_update",
        )

    def stop(self) -> None:
        """Take no more jobs. Those under way must have ended, or end by themselves soon."""
        DBOS.destroy(destroy_registry=True)

    def _config(self) -> DBOSConfig:
        return {
            "name": _APPLICATION,
            "system_database_url": _url(self._place),
            "application_version": _VERSION,
            "executor_id": self._worker,
            "serializer": DBOSPortableJSONSerializer(),
            "sys_db_pool_size": _CONNECTIONS,
            "sys_db_idle_transaction_timeout_sec": ABANDONED_S,
            "log_level": "WARNING",
            "enable_otlp": False,
        }


def make_tables(place: Path | str) -> None:
    """Make DBOS's own tables in a database, or bring them to the newest form.

    Raises
    ------
    StartError
        If the database goes away meanwhile.
    """
    _quiet()
    try:
        DBOS.migrate(_url(place))
    except Database.failures as error:
        raise StartError(
            f"{described(place)} went away while the tables of the scoring jobs were made: start again."
        ) from error


def priority_of(due_at_us: int) -> int:
    """Give the priority of a due time: the sooner, the smaller, from 1 on.

    Examples
    --------
    >>> priority_of(1_577_836_800_000_000), priority_of(0), priority_of(2**62)
    (1, 1, 2147483647)
    """
    return min(_MOST, max(1, due_at_us // 1_000_000 - _EPOCH_S + 1))


def _url(place: Path | str) -> str:
    if isinstance(place, Path):
        return f"sqlite:///{place}"
    return "postgresql+psycopg://" + place.partition("://")[2]


def _quiet() -> None:
    """Let what DBOS has to say go the way of all other records, and only what matters."""
    logger = logging.getLogger("dbos")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())  # else it adds one of its own
    logger.setLevel(logging.WARNING)
