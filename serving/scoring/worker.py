"""One scoring process, seen from both sides of its pipe."""

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing import current_process, get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from data.errors import ImageError, Reason
from data.study import Study
from serving.scoring.result import StudyScore, rejected_score
from serving.telemetry.logs import start_logs_of_child
from serving.telemetry.naming import naming

log = logging.getLogger(__name__)

# A fork would copy the locks of threads that the child does not have.
_PROCESSES = get_context("spawn")

SECONDS_TO_STOP = 5.0


class Worker:
    """A process that scores one study after another; after its death the next study starts another.

    Parameters
    ----------
    models : sequence of Path
        Folders of models.
    providers : sequence of str or None
        Execution providers asked for.
    """

    def __init__(self, models: Sequence[Path], providers: Sequence[str] | None) -> None:
        self._models = tuple(models)
        self._providers = None if providers is None else tuple(providers)
        self._lock = threading.Lock()
        self._is_stopped = False
        self._running: tuple[SpawnProcess, Connection] | None = None

    @property
    def process_id(self) -> int | None:
        """The process that runs now."""
        with self._lock:
            return None if self._running is None else self._running[0].pid

    def start(self) -> Connection | None:
        """Start the process unless it runs; give its pipe, None once the worker was stopped."""
        with self._lock:
            if self._running is None and not self._is_stopped:
                ours, theirs = _PROCESSES.Pipe()
                process = _PROCESSES.Process(
                    target=_run, args=(theirs, self._models, self._providers), daemon=True
                )
                process.start()
                theirs.close()
                self._running = process, ours
            return None if self._running is None else self._running[1]

    def score(self, study: Study, model: str | None, *, limit_s: float, is_alone: bool = False) -> StudyScore:
        """Score a study; a process that dies or takes longer than `limit_s` fails this study alone."""
        del is_alone  # it always is
        started = time.perf_counter()
        connection = self.start()
        try:
            if connection is None:
                return failed(study, "was not begun: the workers were stopped", started)
            connection.send((study, model))
            if not connection.poll(limit_s):
                self._end()
                return failed(study, f"took longer than {limit_s:.0f} s and was stopped", started)
            score = connection.recv()
        except (EOFError, OSError):
            code = self._end()
            score = failed(study, f"could not be scored: its worker died ({cause_of(code)})", started)
            return replace(score, was_interrupted=True)
        assert isinstance(score, StudyScore)
        return score

    def stop(self) -> None:
        """End the process once it has nothing to do."""
        with self._lock:
            self._is_stopped = True
            if self._running is not None:
                self._running[1].close()
                self._running[0].join(SECONDS_TO_STOP)
        self._end()

    def kill(self) -> None:
        """End the process at once; the study it is at fails."""
        with self._lock:
            self._is_stopped = True
            if self._running is not None:
                self._running[0].kill()

    def _end(self) -> int | None:
        with self._lock:
            if self._running is None:
                return None
            process, connection = self._running
            self._running = None
            connection.close()
            process.kill()
            process.join()
            code = process.exitcode
            process.close()
            return code


def _run(connection: Connection, models: Sequence[Path], providers: Sequence[str] | None) -> None:
    start_logs_of_child()
    with naming(worker=current_process().name):
        try:
            _work(connection, models, providers)
        except Exception:
            # What escapes is printed with its text, which may quote what was read.
            log.critical("a scoring process ends by an error nobody expected", exc_info=True)
            raise SystemExit(1) from None


def _work(connection: Connection, models: Sequence[Path], providers: Sequence[str] | None) -> None:
    # Ctrl-C reaches every process of a terminal; when to end is the other side's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # One thread a process: the libraries read this when they are first imported, which is below.
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    from serving.scoring.scorer import Scorer  # noqa: PLC0415  after the environment is set

    scorer = Scorer(models, providers=providers)
    with contextlib.suppress(EOFError, ConnectionError):  # the other side is gone: so is the work
        while True:
            study, model = connection.recv()
            try:
                score = scorer.score(study, model)
            except Exception as error:
                log.exception("a study could not be scored")
                score = unexpected(study, error)
            connection.send(score)


def failed(study: Study, problem: str, started: float) -> StudyScore:
    """Give the result of a study that its process could not score."""
    return rejected_score(study, _error(study, problem), elapsed_ms=(time.perf_counter() - started) * 1000)


def _error(study: Study, problem: str) -> ImageError:
    source = study.paths[0] if study.paths else study.uid
    return ImageError(source, Reason.MODEL_FAILED, problem, "read it without a score, and tell the operator")


def unexpected(study: Study, error: Exception) -> StudyScore:
    """Give the result of a study at which something failed that nobody expected."""
    problem = f"could not be scored ({type(error).__name__}: {error})"
    return rejected_score(study, _error(study, problem), elapsed_ms=0)


def cause_of(exit_code: int | None) -> str:
    """Say why a process ended."""
    if exit_code == -9:
        return "killed, perhaps for want of memory"
    return f"exit status {exit_code}"
