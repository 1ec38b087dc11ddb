"""A scoring process that is at several studies at once, so that their frames can run in one batch on a GPU.

It is seen from outside as :class:`serving.scoring.worker.Worker` is. If it dies, all the studies it was at
are interrupted, and each is then tried again with the process to itself: so one that kills it fails alone.
"""

import contextlib
import itertools
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from data.study import Study
from serving.scoring.result import StudyScore
from serving.scoring.worker import SECONDS_TO_STOP, cause_of, failed, unexpected
from serving.telemetry.logs import start_logs_of_child

log = logging.getLogger(__name__)

_PROCESSES = get_context("spawn")


class SharedWorker:
    """A process that scores several studies side by side; after its death the next study starts another.

    Parameters
    ----------
    models : sequence of Path
        Folders of models.
    providers : sequence of str
        Execution providers asked for.
    n_at_once : int
        Studies it is at side by side.
    """

    def __init__(self, models: Sequence[Path], providers: Sequence[str], *, n_at_once: int) -> None:
        self._models = tuple(models)
        self._providers = tuple(providers)
        self._n_at_once = n_at_once
        self._lock = threading.Lock()
        self._is_stopped = False
        self._running: _Running | None = None
        self._turns = _Turns()

    @property
    def process_id(self) -> int | None:
        """The process that runs now."""
        with self._lock:
            return None if self._running is None else self._running.process.pid

    def start(self) -> "_Running | None":
        """Start the process unless it runs; None once the worker was stopped."""
        with self._lock:
            if self._running is not None and self._running.is_over.is_set():
                self._running = None
            if self._running is None and not self._is_stopped:
                ours, theirs = _PROCESSES.Pipe()
                process = _PROCESSES.Process(
                    target=_run, args=(theirs, self._models, self._providers, self._n_at_once), daemon=True
                )
                process.start()
                theirs.close()
                self._running = _Running(process, ours)
            return self._running

    def score(self, study: Study, model: str | None, *, limit_s: float, is_alone: bool = False) -> StudyScore:
        """Score a study, beside others or with the process to itself."""
        started = time.perf_counter()
        with self._turns.taken(is_alone=is_alone):
            running = self.start()
            if running is None:
                return failed(study, "was not begun: the workers were stopped", started)
            try:
                return running.ask(study, model).result(limit_s)
            except TimeoutError:
                running.end()
                return failed(study, f"took longer than {limit_s:.0f} s and was stopped", started)
            except (EOFError, OSError):
                code = running.end()
                score = failed(study, f"could not be scored: its worker died ({cause_of(code)})", started)
                return replace(score, was_interrupted=True)

    def stop(self) -> None:
        """End the process once it has nothing to do."""
        with self._lock:
            self._is_stopped = True
            running = self._running
        if running is not None:
            with contextlib.suppress(OSError):
                running.connection.send(None)
            running.process.join(SECONDS_TO_STOP)
            running.end()

    def kill(self) -> None:
        """End the process at once; the studies it is at fail."""
        with self._lock:
            self._is_stopped = True
            if self._running is not None:
                self._running.process.kill()


class _Running:
    """The process and those who wait for it."""

    def __init__(self, process: SpawnProcess, connection: Connection) -> None:
        self.process = process
        self.connection = connection
        self.is_over = threading.Event()
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[StudyScore]] = {}
        threading.Thread(target=self._listen, name="shared-worker", daemon=True).start()

    def ask(self, study: Study, model: str | None) -> "Future[StudyScore]":
        """Send a study; the answer comes when it comes."""
        answer: Future[StudyScore] = Future()
        with self._lock:
            if self.is_over.is_set():
                raise EOFError
            number = next(self._numbers)
            self._waiting[number] = answer
            self.connection.send((number, study, model))
        return answer

    def end(self) -> int | None:
        """Kill the process if it still lives, and give its exit status."""
        self.is_over.set()
        self.process.kill()
        self.process.join()
        return self.process.exitcode

    def _listen(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                number, score = self.connection.recv()
                with self._lock:
                    answer = self._waiting.pop(number, None)
                if answer is not None:
                    answer.set_result(score)
        with self._lock:
            self.is_over.set()
            left, self._waiting = self._waiting, {}
            self.connection.close()
        for answer in left.values():
            answer.set_exception(EOFError())


@dataclass
class _Turns:
    """Many side by side, or one alone."""

    _changed: threading.Condition = field(default_factory=threading.Condition)
    _n_beside: int = 0
    _n_wait_alone: int = 0
    _is_alone: bool = False

    @contextmanager
    def taken(self, *, is_alone: bool) -> Iterator[None]:
        """Hold a turn of one kind."""
        with self._changed:
            if is_alone:
                self._n_wait_alone += 1
                self._changed.wait_for(lambda: not self._is_alone and not self._n_beside)
                self._n_wait_alone -= 1
                self._is_alone = True
            else:  # who wants to be alone comes first, or he would wait for ever
                self._changed.wait_for(lambda: not self._is_alone and not self._n_wait_alone)
                self._n_beside += 1
        try:
            yield
        finally:
            with self._changed:
                if is_alone:
                    self._is_alone = False
                else:
                    self._n_beside -= 1
                self._changed.notify_all()


def _run(connection: Connection, models: Sequence[Path], providers: Sequence[str], n_at_once: int) -> None:
    start_logs_of_child()
    # Ctrl-C reaches every process of a terminal; when to end is the other side's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    from serving.scoring.gathering import Gathering  # noqa: PLC0415  after the environment is set
    from serving.scoring.scorer import Scorer  # noqa: PLC0415

    scorer = Scorer(models, providers=providers, before=Gathering)
    sending = threading.Lock()

    def work(number: int, study: Study, model: str | None) -> None:
        try:
            score = scorer.score(study, model)
        except Exception as error:
            log.exception("a study could not be scored")
            score = unexpected(study, error)
        with sending, contextlib.suppress(BrokenPipeError):
            connection.send((number, score))

    with (
        ThreadPoolExecutor(n_at_once, thread_name_prefix="study") as threads,
        contextlib.suppress(EOFError, BrokenPipeError),
    ):
        while (asked := connection.recv()) is not None:
            threads.submit(work, *asked)
