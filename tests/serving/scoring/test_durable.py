"""The queue of jobs with the real library, on both databases."""

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from serving.errors import StartError
from serving.scoring.durable import HandedBackError, JobQueue, Runner, make_tables
from serving.store.database import Database
from serving.store.jobs import Job
from serving.store.sites import LOCAL_SITE
from serving.store.tables import sites
from tests.serving.store.databases import Place
from tests.serving.store.stored import opened

PATIENCE_S = 60.0
SOON_US = 1_800_000_000_000_000  # 2027


def job(name: str, *, due_at_us: int = SOON_US) -> Job:
    return Job(name, 1, 1, due_at_us)


class Log:
    """What was done, in order; a job whose name the test knows ends as the test says."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.holds = threading.Event()
        self._changed = threading.Condition()

    def work(self, job: Job) -> None:
        with self._changed:
            self.done.append(job.study_key)
            self._changed.notify_all()
        if job.study_key.startswith("stays") and not self.holds.is_set():
            raise HandedBackError

    def wait_for(self, n_jobs: int) -> list[str]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.done) >= n_jobs, PATIENCE_S)
            return list(self.done)


@pytest.fixture
def prepared(place: Place) -> Iterator[tuple[Place, Database, JobQueue]]:
    with opened(place) as database:
        make_tables(place)
        yield place, database, JobQueue(database)


@contextmanager
def running(place: Place, log: Log, *, worker: str = "w", n_processes: int = 1) -> Iterator[None]:
    runner = Runner(place, worker=worker, work=log.work)
    runner.start(n_processes=n_processes)
    try:
        yield
    finally:
        runner.stop()


def enqueue(database: Database, queue: JobQueue, *jobs: Job, delay_s: float = 0.0) -> None:
    with database.writing() as connection:
        for one in jobs:
            queue.enqueue(connection, one, delay_s=delay_s)


def _write_and_fail(database: Database, queue: JobQueue) -> None:
    with database.writing() as connection:
        connection.execute(sites.insert().values(id="rolled-back", name="x"))
        queue.enqueue(connection, job("rolled-back"))
        raise KeyError


def wait_until_held(queue: JobQueue, *names: str) -> None:
    """Wait until the outcome of all else is written, which follows upon the work itself."""
    for _ in range(int(PATIENCE_S / 0.05)):
        if sorted(one.id.partition(".")[0] for one in queue.held()) == sorted(names):
            return
        time.sleep(0.05)
    pytest.fail(f"{queue.held()} are held, not {names}")


def test_a_job_and_the_rows_it_is_about_are_committed_together_or_not_at_all(
    prepared: tuple[Place, Database, JobQueue],
) -> None:
    place, database, queue = prepared
    log = Log()
    with pytest.raises(KeyError):
        _write_and_fail(database, queue)
    with database.writing() as connection:
        connection.execute(sites.insert().values(id="kept", name="x"))
        queue.enqueue(connection, job("kept"))
    with running(place, log):
        assert log.wait_for(1) == ["kept"]
        wait_until_held(queue)
    with database.reading() as connection:
        found = connection.execute(select(sites.c.id).where(sites.c.id != LOCAL_SITE)).scalars().all()
    assert found == ["kept"]


def test_the_same_job_is_queued_once_however_often_it_is_asked_for(
    prepared: tuple[Place, Database, JobQueue],
) -> None:
    place, database, queue = prepared
    log = Log()
    for _ in range(3):
        enqueue(database, queue, job("one"))
    with running(place, log):
        log.wait_for(1)
        enqueue(database, queue, job("one"), replace(job("one"), number=2))
        assert log.wait_for(2) == ["one", "one"]
        enqueue(database, queue, job("last"))
        assert log.wait_for(3)[2:] == ["last"]


def test_the_job_that_is_due_first_is_done_first(prepared: tuple[Place, Database, JobQueue]) -> None:
    place, database, queue = prepared
    log = Log()
    minutes = [7, 3, 9, 1, 5]
    enqueue(database, queue, *(job(str(n), due_at_us=SOON_US + n * 60_000_000) for n in minutes))
    with running(place, log, n_processes=-1):  # with two ahead, one at a time
        assert log.wait_for(5) == ["1", "3", "5", "7", "9"]


def test_what_a_worker_that_is_gone_had_taken_is_given_to_another(
    prepared: tuple[Place, Database, JobQueue],
) -> None:
    place, database, queue = prepared
    log = Log()
    enqueue(database, queue, job("stays"), job("ends"))
    with running(place, log, worker="gone"):
        assert sorted(log.wait_for(2)) == ["ends", "stays"]
        wait_until_held(queue, "stays")
    assert [(one.id, one.worker) for one in queue.held()] == [("stays.1.1", "gone")]

    log.holds.set()
    with running(place, log, worker="heir"):
        queue.give_out_again([one.id for one in queue.held()])
        assert log.wait_for(3)[2:] == ["stays"]
        wait_until_held(queue)


def test_a_worker_takes_back_nothing_by_itself_that_is_another_s(
    prepared: tuple[Place, Database, JobQueue],
) -> None:
    place, database, queue = prepared
    log = Log()
    enqueue(database, queue, job("stays"))
    with running(place, log, worker="gone"):
        log.wait_for(1)
    with running(place, log, worker="other"):
        enqueue(database, queue, job("ends"))
        assert log.wait_for(2) == ["stays", "ends"]
        wait_until_held(queue, "stays")
    assert [one.worker for one in queue.held()] == ["gone"]


def test_a_job_that_is_put_off_is_done_later_than_one_that_is_not(
    prepared: tuple[Place, Database, JobQueue],
) -> None:
    place, database, queue = prepared
    log = Log()
    enqueue(database, queue, job("later"), delay_s=1.5)
    enqueue(database, queue, job("now"))
    with running(place, log):
        assert log.wait_for(2) == ["now", "later"]


def test_what_is_kept_of_ended_jobs_can_be_removed(prepared: tuple[Place, Database, JobQueue]) -> None:
    place, database, queue = prepared
    log = Log()
    enqueue(database, queue, job("a"), job("b"))
    with running(place, log):
        log.wait_for(2)
        wait_until_held(queue)
    assert queue.forget_ended(before="2020-01-01T00:00:00+00:00") == 0
    assert queue.forget_ended(before="2100-01-01T00:00:00+00:00") == 2


def test_nobody_is_called_but_the_database(prepared: tuple[Place, Database, JobQueue]) -> None:
    place, database, queue = prepared
    called: list[object] = []
    is_listening = True

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if is_listening and event in {"socket.connect", "socket.getaddrinfo"}:
            called.append(arguments)

    sys.addaudithook(hook)
    with pytest.raises(OSError, match="refused"):  # the hook hears what it should
        socket.create_connection(("127.0.0.1", 9))
    heard = len(called)
    log = Log()
    enqueue(database, queue, job("a"))
    with running(place, log):
        log.wait_for(1)
    # libpq connects below Python; whatever else would call out does so by Python's sockets
    assert heard > 0
    assert len(called) == heard
    is_listening = False  # a hook stays for as long as the process


def test_a_database_that_goes_away_while_tables_are_made_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"the database nothing at .* went away"):
        make_tables(f"postgresql://somebody@/nothing?host={tmp_path}")
