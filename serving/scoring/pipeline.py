"""What is done for one job: the study is put together, scored in another process, and the result kept.

Everything here may happen twice: a worker that is killed leaves its jobs to be begun again, by itself or by
others. So a job is begun and ended in one transaction each, and both look whether it still counts.

What goes wrong is of two kinds. Some of it passes: the database or the object store is away, a scoring
process was killed. Then the study waits and is tried again, later and later. The rest does not pass, however
often it is tried: the file is damaged, the model refuses it. Then the study is `failed` at once, and needs a
person.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

from data.errors import ImageError, Reason
from data.study import Study
from serving.errors import Problem, ServiceError
from serving.scoring.durable import HandedBackError
from serving.scoring.recording import Recorder
from serving.scoring.result import StudyScore
from serving.store.database import Database
from serving.store.failures import DatabaseUnavailableError
from serving.store.jobs import Begun, Job, begin, hand_back, put_off
from serving.store.objects import ObjectStore
from serving.store.switch import read_switch
from serving.studies.assembly import assemble
from serving.studies.looked_over import looked_over

if TYPE_CHECKING:  # the database has one home, the store
    from sqlalchemy import Connection

log = logging.getLogger(__name__)

Value = TypeVar("Value")

# What passes by itself, or by the operator's hand: it is tried again for as long as it takes.
_PASSING = frozenset({Problem.STORAGE_UNAVAILABLE, Problem.STORAGE_FULL})
_FIRST_RETRY_S, _LAST_RETRY_S = 2.0, 300.0

# A scoring process that dies at the same study this often dies of it.
_MOST_DEATHS = 4

# A worker that dies takes some studies with it, most of which have no part in it. From the fourth time on a
# study waits longer and longer, so that others get on; after the tenth it is left to a person.
_QUICK_RESTARTS, _MOST_RESTARTS = 3, 10
_FIRST_RESTART_S, _LAST_RESTART_S = 5.0, 30.0

_DATABASE_FIRST_S, _DATABASE_LAST_S = 0.1, 3.0
_LOOK_AT_PAUSE_S = 0.5


class Pool(Protocol):
    """Scores studies in other processes (:class:`serving.scoring.pool.ScoringPool`)."""

    def submit(
        self, study: Study, model: str | None = None, *, due_at_us: int = 0, is_alone: bool = False
    ) -> Future[StudyScore]:
        """Queue a study; the one that is due first is scored first, alone in its process if asked."""


class DelayingQueue(Protocol):
    """Takes jobs (:class:`serving.scoring.durable.JobQueue`)."""

    def enqueue(self, connection: "Connection", job: Job, *, delay_s: float = 0.0) -> None:
        """Put a job into the queue in the connection's transaction."""


class Pipeline:
    """Does a worker's jobs, each in the thread that asks for it.

    Parameters
    ----------
    database, objects : Database, ObjectStore
        Where the studies are.
    queue : DelayingQueue
        Takes the job of a study that has to wait.
    pool : Pool
        Who scores; its owner closes it, after :meth:`stop`.
    recorder : Recorder
        Writes down what came of it, for the same worker.
    clock : callable
        Gives the time in microseconds since 1970 UTC.
    """

    def __init__(
        self,
        *,
        database: Database,
        objects: ObjectStore,
        queue: DelayingQueue,
        pool: Pool,
        recorder: Recorder,
        clock: Callable[[], int],
    ) -> None:
        self._database = database
        self._objects = objects
        self._queue = queue
        self._pool = pool
        self._recorder = recorder
        self._worker = recorder.worker
        self._clock = clock
        self._changed = threading.Condition()
        self._is_stopping = threading.Event()
        self._is_given_up = threading.Event()
        self._under_way: Counter[str] = Counter()

    def run(self, job: Job) -> None:
        """Do a job, unless it does not count any more.

        Raises
        ------
        HandedBackError
            If the worker stops before the job has ended.
        """
        with self._noting(job):
            begun = self._begun(job)
            if begun is None:
                return
            try:
                self._do(job, begun)
            except HandedBackError:
                self._hand_back(job)
                raise

    def stop(self, *, grace_s: float) -> None:
        """Begin no more jobs, let those under way end for `grace_s`, and give up the rest."""
        self._is_stopping.set()
        with self._changed:
            self._changed.wait_for(lambda: not self._under_way, grace_s)
        self._is_given_up.set()

    def wait_until_idle(self, limit_s: float) -> bool:
        """Wait until no thread is at a job; False if one still is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._under_way, limit_s)

    def under_way(self) -> set[str]:
        """Give the jobs that are being done now, by their id."""
        with self._changed:
            return set(self._under_way)

    def _do(self, job: Job, begun: Begun) -> None:
        stored = begun.study
        if begun.was_interrupted and begun.n_begun > _QUICK_RESTARTS:
            self._after_restart(job, begun)
            return
        try:
            study = assemble(stored, self._objects)
        except ImageError as error:
            reason, problem = error.reason, error.problem
            self._insist(lambda: self._recorder.fail(job, stored, reason, problem))
            return
        except ServiceError as error:
            self._after_problem(job, begun, error)
            return
        except Exception as error:
            log.exception("a study could not be put together", extra={"study": stored.key})
            told = repr(error)
            self._insist(lambda: self._recorder.fail(job, stored, Reason.MODEL_FAILED, told))
            return
        of_series = looked_over(study)
        # one that was begun before may be what killed its process: then it takes nobody with it
        score = self._score(job, study, is_alone=begun.n_begun > 1)
        if score.was_interrupted and begun.n_begun < _MOST_DEATHS:
            problem = score.error.problem if score.error else "its scoring process died"
            self._put_off(job, problem, delay_s=_FIRST_RETRY_S * 2 ** (begun.n_begun - 1), counts=True)
            return
        try:
            self._insist(lambda: self._recorder.record(job, stored, score, of_series))
        except Exception as error:
            log.exception("a result could not be kept", extra={"study": stored.key})
            told = repr(error)
            self._insist(lambda: self._recorder.fail(job, stored, Reason.MODEL_FAILED, told))

    def _score(self, job: Job, study: Study, *, is_alone: bool) -> StudyScore:
        try:
            score = self._pool.submit(study, due_at_us=job.due_at_us, is_alone=is_alone).result()
        except (CancelledError, RuntimeError) as error:  # the pool was closed
            raise HandedBackError from error
        if self._is_given_up.is_set():  # a process that was ended says that its study failed
            raise HandedBackError
        return score

    def _after_restart(self, job: Job, begun: Begun) -> None:
        """Deal with a study in whose midst workers have died again and again."""
        n_times = begun.n_begun - 1
        if n_times >= _MOST_RESTARTS:
            problem = f"was begun {n_times} times, and each time its worker died"
            self._insist(lambda: self._recorder.fail(job, begun.study, Reason.MODEL_FAILED, problem))
            return
        delay_s = min(_LAST_RESTART_S, _FIRST_RESTART_S * 2 ** (n_times - _QUICK_RESTARTS))
        self._put_off(job, f"its worker died {n_times} times", delay_s=delay_s, counts=False)

    def _after_problem(self, job: Job, begun: Begun, error: ServiceError) -> None:
        if error.problem in _PASSING:
            delay_s = min(_LAST_RETRY_S, _FIRST_RETRY_S * 2 ** min(job.n_retries, 16))
            self._put_off(job, error.detail, delay_s=delay_s, counts=False)
        else:
            problem, detail = error.problem, error.detail
            self._insist(lambda: self._recorder.fail(job, begun.study, problem, detail))

    def _begun(self, job: Job) -> Begun | None:
        while True:
            is_paused, begun = self._insist(lambda: self._try_to_begin(job))
            if not is_paused:
                return begun
            if self._is_stopping.wait(_LOOK_AT_PAUSE_S):
                raise HandedBackError

    def _try_to_begin(self, job: Job) -> tuple[bool, Begun | None]:
        if self._is_stopping.is_set():
            raise HandedBackError
        with self._database.writing() as connection:
            if read_switch(connection).is_paused:
                return True, None
            return False, begin(connection, job, worker=self._worker, now_us=self._clock())

    def _put_off(self, job: Job, problem: str, *, delay_s: float, counts: bool) -> None:
        def write() -> None:
            with self._database.writing() as connection:
                later = put_off(
                    connection,
                    job,
                    worker=self._worker,
                    now_us=self._clock(),
                    problem=problem,
                    counts=counts,
                )
                if later is not None:
                    self._queue.enqueue(connection, later, delay_s=delay_s)

        log.warning("a study is tried again in %.0f s", delay_s, extra={"study": job.study_key})
        self._insist(write)

    def _hand_back(self, job: Job) -> None:
        try:
            with self._database.writing() as connection:
                hand_back(connection, job, worker=self._worker, now_us=self._clock())
        except self._database.failures as error:  # whoever takes it up finds it begun, and begins it again
            log.warning("a study could not be handed back: %s", error, extra={"study": job.study_key})

    def _insist(self, write: Callable[[], Value]) -> Value:
        """Write, again and again until the database can be written; it may come back any time."""
        wait_s = _DATABASE_FIRST_S
        while True:
            try:
                return write()
            except DatabaseUnavailableError as error:
                log.warning("the database cannot be used, trying again in %.1f s: %s", wait_s, error)
            if self._is_given_up.wait(wait_s):
                raise HandedBackError
            wait_s = min(_DATABASE_LAST_S, 2 * wait_s)

    @contextmanager
    def _noting(self, job: Job) -> Iterator[None]:
        with self._changed:
            self._under_way[job.id] += 1
        try:
            yield
        finally:
            with self._changed:
                self._under_way -= Counter([job.id])  # and forgets it at nought
                self._changed.notify_all()
