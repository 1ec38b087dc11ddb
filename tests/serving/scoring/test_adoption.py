"""Studies that should have a job and have none, on both databases with the real queue."""

from collections.abc import Iterator

import pytest
from sqlalchemy import update

from serving.scoring.adoption import Mending, adopt
from serving.scoring.durable import JobQueue, make_tables
from serving.store.database import Database
from serving.store.jobs import Job, begin
from serving.store.tables import studies
from tests.serving.store.databases import Place
from tests.serving.store.stored import opened, receive, study

LATER_US = 600_000_000


@pytest.fixture
def prepared(place: Place) -> Iterator[tuple[Database, JobQueue]]:
    with opened(place) as database:
        make_tables(place)
        yield database, JobQueue(database)


def arrive(database: Database, queue: JobQueue, *uids: str, is_lost: bool = False) -> list[Job]:
    jobs: list[Job] = []
    with database.writing() as connection:
        for uid in uids:
            receive(connection, study(uid), jobs=jobs)
        for job in jobs if not is_lost else []:
            queue.enqueue(connection, job)
    return jobs


def test_studies_of_a_migrated_database_get_a_job_each_and_no_second_one(
    prepared: tuple[Database, JobQueue],
) -> None:
    database, queue = prepared
    old = arrive(database, queue, *(f"old-{number}" for number in range(450)), is_lost=True)
    arrive(database, queue, "new")
    with database.writing() as connection:
        keys = [job.study_key for job in old]
        connection.execute(update(studies).where(studies.c.key.in_(keys)).values(job=0))
        connection.execute(update(studies).where(studies.c.key == keys[0]).values(state="scoring"))
    assert adopt(database, queue, clock=lambda: 5) == 450
    assert len(queue.unfinished([job.id for job in old])) == 450
    assert adopt(database, queue, clock=lambda: 5) == 0


def test_a_study_whose_job_was_lost_gets_another_and_the_others_are_left_alone(
    prepared: tuple[Database, JobQueue],
) -> None:
    database, queue = prepared
    arrive(database, queue, "waits")
    waits, begun = arrive(database, queue, "lost-waits", "lost-begun", is_lost=True)
    with database.writing() as connection:
        begin(connection, begun, worker="gone", now_us=1)
    mending = Mending(database, queue, clock=lambda: LATER_US)
    assert mending.mend() == 2
    again = [Job(job.study_key, 1, 2, 0).id for job in (waits, begun)]
    assert queue.unfinished(again) == set(again)
    assert mending.mend() == 0


def test_a_study_that_has_just_come_is_not_taken_for_lost(prepared: tuple[Database, JobQueue]) -> None:
    database, queue = prepared
    arrive(database, queue, "lost", is_lost=True)
    assert Mending(database, queue, clock=lambda: 60_000_000).mend() == 0


def test_all_are_looked_at_in_the_end_however_many_wait(prepared: tuple[Database, JobQueue]) -> None:
    database, queue = prepared
    arrive(database, queue, *(f"waits-{number}" for number in range(250)))
    arrive(database, queue, "lost", is_lost=True)
    mending = Mending(database, queue, clock=lambda: LATER_US)
    assert [mending.mend(), mending.mend()] == [0, 1]
