"""Scores studies in processes of their own: a study that kills its process takes nobody with it.

Each worker is a process with one pipe and one single-threaded session a model, and a thread on this side
that hands it one study after another. A worker that dies (out of memory, a decoder that crashed, kill -9) or
takes too long fails the study it was at, and is replaced. `concurrent.futures.ProcessPoolExecutor` would give
up all studies instead.
"""

import contextlib
import itertools
import os
import queue
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from data.study import Study
from serving.scoring.providers import CPU
from serving.scoring.result import StudyScore
from serving.scoring.shared_worker import SharedWorker
from serving.scoring.worker import Worker

# A study is given this long, and this much more for each frame: ten times what a slow core needs.
SECONDS_PER_STUDY = 60.0
SECONDS_PER_FRAME = 2.0

# Studies that wait in memory for a worker, for each worker; `submit` blocks beyond.
WAITING_PER_WORKER = 8

# Enough to read the next studies while a batch of some runs.
AT_ONCE_ON_GPU = 8

# Behind every study that still waits.
_LAST = float("inf")


class ScoringPool:
    """Scores studies side by side.

    Parameters
    ----------
    models : sequence of Path
        Folders of models, as for :class:`models.registry.Registry`.
    workers : int or None
        Processes; None takes one a core.
    providers : sequence of str or None
        Execution providers asked for; None takes the CPU.
    at_once : int or None
        Studies that a process is at side by side; None takes one on a CPU, :data:`AT_ONCE_ON_GPU` elsewhere.
    seconds_per_study : float, s
        What a study is given besides :data:`SECONDS_PER_FRAME` for each frame.
    """

    def __init__(
        self,
        models: Sequence[Path],
        *,
        workers: int | None = None,
        providers: Sequence[str] | None = None,
        at_once: int | None = None,
        seconds_per_study: float = SECONDS_PER_STUDY,
    ) -> None:
        n_workers = workers or usable_cores()
        self._models = tuple(models)
        self._providers = None if providers is None else tuple(providers)
        self._seconds_per_study = seconds_per_study
        self._tasks: queue.PriorityQueue[_Task] = queue.PriorityQueue(n_workers * WAITING_PER_WORKER)
        self._numbers = itertools.count()
        self._is_closed = threading.Event()
        self._closing = threading.Lock()
        self._at_once = at_once or (1 if (self._providers or (CPU,))[0] == CPU else AT_ONCE_ON_GPU)
        self._workers = [self._worker() for _ in range(n_workers)]
        self._threads = [
            threading.Thread(target=self._serve, args=(worker,), name=f"scoring-{number}", daemon=True)
            for number, worker in enumerate(self._workers * self._at_once, start=1)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self, study: Study, model: str | None = None, *, due_at_us: int = 0, is_alone: bool = False
    ) -> Future[StudyScore]:
        """Queue a study; waits while too many are queued. Of those queued, the first due is scored first.

        Parameters
        ----------
        study : Study
            Its frames are read by the worker.
        model : str or None
            ``NAME`` or ``NAME@VERSION``; None takes the one in charge.
        due_at_us : int, us
            When it is due; of equal ones the first to come is the first.
        is_alone : bool
            Whether its process is at nothing else meanwhile, as for one that may kill it.

        Returns
        -------
        Future of StudyScore
            It raises nothing: what went wrong is a score with the status `REJECTED`.

        Raises
        ------
        RuntimeError
            If the pool is closed.
        """
        task = _Task(due_at_us, next(self._numbers), study, model, is_alone)
        with self._closing:
            if self._is_closed.is_set():
                raise RuntimeError("the pool is closed")
        self._tasks.put(task)
        if not any(thread.is_alive() for thread in self._threads):  # closed while this study waited to wait
            self._cancel_waiting()
        return task.future

    def close(self, *, finish: bool = True) -> None:
        """Stop the workers: after what was submitted, or at once, cancelling what waits."""
        with self._closing:
            if self._is_closed.is_set():
                return
            self._is_closed.set()
        if not finish:
            self._cancel_waiting()
            for worker in self._workers:
                worker.kill()
        for _ in self._threads:
            self._tasks.put(_Task(_LAST, next(self._numbers)))
        for thread in self._threads:
            thread.join()
        self._cancel_waiting()

    @property
    def n_at_once(self) -> int:
        """How many studies are scored side by side."""
        return len(self._threads)

    @property
    def process_ids(self) -> tuple[int, ...]:
        """The workers that run now."""
        return tuple(pid for worker in self._workers if (pid := worker.process_id) is not None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(finish=kind is None)

    def _cancel_waiting(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._tasks.get_nowait().future.cancel()

    def _worker(self) -> Worker | SharedWorker:
        if self._at_once == 1:
            return Worker(self._models, self._providers)
        return SharedWorker(self._models, self._providers or (CPU,), n_at_once=self._at_once)

    def _serve(self, worker: Worker | SharedWorker) -> None:
        if hasattr(signal, "pthread_sigmask"):
            # Processes inherit the mask: Ctrl-C reaches this process alone, which then ends its workers.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        worker.start()
        while (task := self._tasks.get()).study is not None:
            if not task.future.set_running_or_notify_cancel():
                continue
            n_frames = sum(len(series.frames) for series in task.study.series)
            limit_s = self._seconds_per_study + SECONDS_PER_FRAME * n_frames
            task.future.set_result(
                worker.score(task.study, task.model, limit_s=limit_s, is_alone=task.is_alone)
            )
        worker.stop()


def usable_cores() -> int:
    """Give the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(order=True, slots=True)
class _Task:
    """A study that waits, or the sign that nothing more comes."""

    due_at_us: float
    number: int
    study: Study | None = field(default=None, compare=False)
    model: str | None = field(default=None, compare=False)
    is_alone: bool = field(default=False, compare=False)
    future: Future[StudyScore] = field(default_factory=Future, compare=False)
