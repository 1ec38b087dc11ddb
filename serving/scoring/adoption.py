"""Gives a job to studies that should have one: those from before there were jobs, or without a model."""

import logging
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Protocol

from serving.store.database import Database
from serving.store.jobs import Job, jobless, let_wait_again, long_unfinished, modelless, renew

if TYPE_CHECKING:  # the database has one home, the store
    from sqlalchemy import Connection

log = logging.getLogger(__name__)

# A job that is just ending is not lost.
_YOUNG_US = 120_000_000

# One transaction: others may write between two of them.
_STUDIES_A_TIME = 200


class Queue(Protocol):
    """Takes jobs (:class:`serving.scoring.durable.JobQueue`)."""

    def enqueue(self, connection: "Connection", job: Job, *, delay_s: float = 0.0) -> None:
        """Put a job into the queue in the connection's transaction."""


class KnowingQueue(Queue, Protocol):
    """Takes jobs, and knows which of them are not ended."""

    def unfinished(self, job_ids: Collection[str]) -> set[str]:
        """Give those of some jobs that wait or are taken."""


class Mending:
    """Gives a new job to studies whose job is gone, a few hundred at a time.

    Study and job are committed together, so this cannot be, unless commits were lost: by a server that failed
    over to one that was behind, say, or a backup that was put back.
    """

    def __init__(self, database: Database, queue: KnowingQueue, *, clock: Callable[[], int]) -> None:
        self._database = database
        self._queue = queue
        self._clock = clock
        self._after = 0

    def mend(self) -> int:
        """Look at the next studies that have waited for a while; gives how many got a new job."""
        before_us = self._clock() - _YOUNG_US
        with self._database.reading() as connection:
            found = long_unfinished(connection, before_us=before_us, after=self._after, limit=_STUDIES_A_TIME)
        self._after = found[-1][0] if len(found) == _STUDIES_A_TIME else 0
        known = self._queue.unfinished([job_id for _, job_id in found]) if found else set()
        lost = [(study_id, job_id) for study_id, job_id in found if job_id not in known]
        for study_id, job_id in lost:
            with self._database.writing() as connection:
                job = renew(connection, study_id, job_id, now_us=self._clock())
                if job is not None:
                    self._queue.enqueue(connection, job)
        if lost:
            log.warning("%d studies had lost their job and have a new one", len(lost))
        return len(lost)


def adopt(database: Database, queue: Queue, *, clock: Callable[[], int]) -> int:
    """Let every study wait for a score that has no job, or for which there was no model; gives their number.

    A study in whose midst an older version of the program died has kept its count of attempts no longer: it
    is begun anew. To have found no model is no failure: there may be one now.
    """
    return sum(_adopt(database, queue, find, clock) for find in (jobless, modelless))


def _adopt(
    database: Database, queue: Queue, find: "Callable[..., list[int]]", clock: Callable[[], int]
) -> int:
    n_adopted = 0
    while True:
        with database.writing() as connection:
            found = find(connection, limit=_STUDIES_A_TIME)
            for study_id in found:
                queue.enqueue(connection, let_wait_again(connection, study_id, now_us=clock()))
        n_adopted += len(found)
        if len(found) < _STUDIES_A_TIME:
            return n_adopted
