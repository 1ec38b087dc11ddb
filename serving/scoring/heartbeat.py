"""Says that a worker lives, sees who does not, and gives the work of the dead to the living.

It has a thread of its own, so that a worker whose studies take long still beats. Of the workers that live,
one gives out what the dead have left: the one with the smallest name. Should two take themselves for that one
for a moment, a job is given out twice; it is still ended once, for its study's row says whose it is.

A worker that could not beat, because it was stopped or cut off, may find that others took it for dead. It
then is alive again; what it was at is somebody else's, and what it says of that is dropped.
"""

import logging
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from typing import Protocol

from serving.scoring.liveness import SECONDS_A_ROUND, Liveness
from serving.store.database import Database
from serving.store.times import from_us
from serving.store.workers import (
    Worker,
    all_workers,
    beat,
    declare_dead,
    forget_workers,
    sign_off,
    sign_on,
)

log = logging.getLogger(__name__)

# What is kept of ended jobs and workers, for whoever asks what happened.
_JOBS_ARE_KEPT = timedelta(days=7)
_WORKERS_ARE_KEPT = timedelta(days=1)
_ROUNDS_BETWEEN_SWEEPS = 300
_ROUNDS_BETWEEN_MENDS = 15


class HeldJob(Protocol):
    """A job that a worker has taken and not ended."""

    @property
    def id(self) -> str:
        """Of the job."""

    @property
    def worker(self) -> str:
        """Who has it."""


class Jobs(Protocol):
    """The queue as seen by who takes over (:class:`serving.scoring.durable.JobQueue`)."""

    def held(self) -> Collection[HeldJob]:
        """Give the jobs that are taken and not ended."""

    def give_out_again(self, job_ids: Collection[str]) -> None:
        """Let others take them."""

    def forget_ended(self, *, before: str) -> int:
        """Remove what is kept of jobs that ended before a moment."""


@dataclass
class Heartbeat:
    """One worker's beat, and its watch over the others.

    `under_way` gives the jobs that this worker is at, `mend` looks for jobs that were lost. `is_alone` says
    that no other process can be at work on this database, as with an SQLite file whose home is locked: then
    whatever worker stands in it is an earlier self of this one, and dead.
    """

    database: Database
    jobs: Jobs
    worker: Worker
    clock: Callable[[], int]
    is_alone: bool = False
    seconds_a_round: float = SECONDS_A_ROUND
    mend: Callable[[], int] = lambda: 0
    under_way: Callable[[], Collection[str]] = lambda: ()
    on_others: Callable[[Collection[Worker]], None] = lambda _living: None
    _liveness: Liveness = field(default_factory=Liveness)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _n_rounds: int = 0
    _unattended: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> int:
        """Sign on, and begin to beat; gives how many jobs an earlier self left that are taken up again."""
        with self.database.writing() as connection:
            if self.is_alone:
                for one in all_workers(connection):
                    declare_dead(connection, one.id, last_beat=one.beat)
            sign_on(connection, self.worker)
        n_left = self._take_over() if self.is_alone else 0
        self._thread.start()
        return n_left

    def stop(self) -> None:
        """Give back what is still held, and sign off."""
        self._stopping.set()
        self._thread.join()
        try:
            self.jobs.give_out_again([job.id for job in self.jobs.held() if job.worker == self.worker.id])
            with self.database.writing() as connection:
                sign_off(connection, self.worker.id, now_us=self.clock())
        except self.database.failures as error:  # others see that it beats no more
            log.warning("a worker could not sign off: %s", error)

    @property
    def is_beating(self) -> bool:
        """Whether the worker says that it lives."""
        return self._thread.is_alive() and not self._stopping.is_set()

    def round(self) -> None:
        """Beat once and look at the others."""
        with self.database.writing() as connection:
            was_live = beat(connection, self.worker, now_us=self.clock())
            living = {one.id: one for one in all_workers(connection) if one.state == "live"}
        if not was_live:
            log.warning("this worker was taken for dead, and its work given to others; it goes on anew")
        dead = self._liveness.observe({one.id: one.beat for one in living.values()}) - {self.worker.id}
        for worker_id in sorted(dead):
            with self.database.writing() as connection:
                if declare_dead(connection, worker_id, last_beat=living[worker_id].beat):
                    log.warning(
                        "a worker is dead", extra={"worker": worker_id, "host": living[worker_id].host}
                    )
        still_living = [one for one in living.values() if one.id not in dead]
        self.on_others(still_living)
        self._give_out_unattended()
        if min(one.id for one in still_living) == self.worker.id:
            self._take_over()
            if self._n_rounds % _ROUNDS_BETWEEN_MENDS == 0:
                self.mend()
            if self._n_rounds % _ROUNDS_BETWEEN_SWEEPS == 0:
                self._sweep()
        self._n_rounds += 1

    def _give_out_unattended(self) -> None:
        """Give out what this worker holds and is not at: when the database broke, the answer was lost.

        It must be so for two rounds, for a job that was just taken or is just ended is no such thing.
        """
        at_work = self.under_way()
        mine = {job.id for job in self.jobs.held() if job.worker == self.worker.id} - set(at_work)
        forgotten = sorted(mine & self._unattended)
        self._unattended = mine
        if forgotten:
            self.jobs.give_out_again(forgotten)
            log.warning("%d studies were taken and forgotten, and are taken anew", len(forgotten))

    def _take_over(self) -> int:
        held = self.jobs.held()
        if not held:
            return 0
        with self.database.reading() as connection:
            living = {one.id for one in all_workers(connection) if one.state == "live"}
        orphaned = [job.id for job in held if job.worker not in living]
        if orphaned:
            self.jobs.give_out_again(orphaned)
            log.warning("%d studies of a worker that is gone are given to others", len(orphaned))
        return len(orphaned)

    def _sweep(self) -> None:
        now = from_us(self.clock()).astimezone(UTC)
        self.jobs.forget_ended(before=(now - _JOBS_ARE_KEPT).isoformat())
        with self.database.writing() as connection:
            before_us = self.clock() - _WORKERS_ARE_KEPT // timedelta(microseconds=1)
            forget_workers(connection, before_us=before_us, except_for=[self.worker.id])

    def _run(self) -> None:
        while not self._stopping.wait(self.seconds_a_round):
            try:
                self.round()
            except Exception as error:
                if not isinstance(error, self.database.failures):
                    log.exception("the heartbeat could not go on; it tries again")
                else:
                    log.warning("a beat could not be written: %s", error)
