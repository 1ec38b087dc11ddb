"""Gives a job to studies that should have one: those from before there were jobs, or without a model."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from serving.store.database import Database
from serving.store.jobs import Job, jobless, let_wait_again, modelless

if TYPE_CHECKING:  # the database has one home, the store
    from sqlalchemy import Connection

# One transaction: others may write between two of them.
_STUDIES_A_TIME = 200


class Queue(Protocol):
    """Takes jobs (:class:`serving.scoring.durable.JobQueue`)."""

    def enqueue(self, connection: "Connection", job: Job, *, delay_s: float = 0.0) -> None:
        """Put a job into the queue in the connection's transaction."""


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
