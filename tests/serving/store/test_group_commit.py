"""What comes together is committed together; what fails, fails alone; nobody goes on before the commit."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, insert, select
from sqlalchemy.exc import IntegrityError, OperationalError

from serving.errors import Problem
from serving.store.database import Database, open_database
from serving.store.failures import DatabaseUnavailableError
from serving.store.tables import objects


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "test.sqlite"


@pytest.fixture
def database(file: Path) -> Iterator[Database]:
    opened = open_database(file)
    yield opened
    opened.close()


def _add(connection: Connection, name: str, *, n_bytes: int = 1) -> None:
    connection.execute(insert(objects).values(sha256=name, n_bytes=n_bytes, stored_at=1))


def _names(database: Database) -> set[str]:
    with database.reading() as connection:
        return set(connection.execute(select(objects.c.sha256)).scalars())


@contextmanager
def _counted_commits(database: Database) -> Iterator[list[int]]:
    seen: list[int] = []

    def note(_connection: Connection) -> None:
        seen.append(1)

    event.listen(database.engine, "commit", note)
    yield seen
    event.remove(database.engine, "commit", note)


def _in_threads(works: list[Callable[[], None]]) -> list[BaseException | None]:
    """Run every work in a thread of its own; gives how each ended."""
    ends: list[BaseException | None] = [None] * len(works)

    def run(number: int) -> None:
        try:
            works[number]()
        except Exception as error:  # noqa: BLE001 - looked at by the test
            ends[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ends


def _behind_one(database: Database, works: list[Callable[[], None]]) -> list[BaseException | None]:
    """Let works stand in line behind a change that ends only once all of them do."""
    group_commit = database._begin.__self__  # type: ignore[attr-defined]  # the method of a GroupCommit

    def first() -> None:
        with database.writing() as connection:
            _add(connection, "first")
            while group_commit._n_in_line < len(works):
                threading.Event().wait(0.001)

    def later(work: Callable[[], None]) -> Callable[[], None]:
        def wait_and_work() -> None:
            while not group_commit._is_taken and "first" not in _names(database):
                threading.Event().wait(0.001)
            work()

        return wait_and_work

    return _in_threads([first, *map(later, works)])


def test_changes_that_stand_in_line_share_one_commit(database: Database) -> None:
    def work(number: int) -> Callable[[], None]:
        def add() -> None:
            with database.writing() as connection:
                _add(connection, f"{number}")

        return add

    with _counted_commits(database) as commits:
        ends = _behind_one(database, [work(number) for number in range(20)])
    assert ends == [None] * 21
    assert _names(database) == {"first", *(f"{number}" for number in range(20))}
    assert len(commits) < 5


def test_who_comes_alone_commits_at_once(database: Database) -> None:
    with _counted_commits(database) as commits:
        for number in range(3):
            with database.writing() as connection:
                _add(connection, f"{number}")
            assert len(commits) == number + 1


def test_a_change_that_fails_is_rolled_back_alone(database: Database) -> None:
    def work(number: int) -> Callable[[], None]:
        def add() -> None:
            with database.writing() as connection:
                _add(connection, f"{number}")
                if number % 3 == 1:
                    raise TimeoutError
                if number % 3 == 2:
                    _add(connection, f"{number}")  # there is one already

        return add

    ends = _behind_one(database, [work(number) for number in range(15)])
    assert [type(end) for end in ends[1:]] == [type(None), TimeoutError, IntegrityError] * 5
    assert _names(database) == {"first", *(f"{number}" for number in range(0, 15, 3))}


def test_nobody_goes_on_before_what_they_changed_is_committed(database: Database, file: Path) -> None:
    seen: list[bool] = []

    def work(number: int) -> Callable[[], None]:
        def add() -> None:
            for round_ in range(10):
                name = f"{number}-{round_}"
                with database.writing() as connection:
                    _add(connection, name)
                other = sqlite3.connect(file)
                seen.append(
                    other.execute("SELECT 1 FROM objects WHERE sha256 = ?", (name,)).fetchone() == (1,)
                )
                other.close()

        return add

    assert _in_threads([work(number) for number in range(8)]) == [None] * 8
    assert seen == [True] * 80


def test_a_commit_that_fails_is_told_to_all_whose_changes_it_held_and_the_next_goes_well(
    database: Database,
) -> None:
    broken = [True]

    def work(number: int) -> Callable[[], None]:
        def add() -> None:
            with database.writing() as connection:
                _add(connection, f"{number}")

        return add

    def fail(_connection: Connection) -> None:
        if broken:
            raise OperationalError("COMMIT", {}, sqlite3.OperationalError("disk I/O error"))

    event.listen(database.engine, "commit", fail)
    ends = _behind_one(database, [work(number) for number in range(10)])
    assert {type(end) for end in ends} == {DatabaseUnavailableError}
    assert _names(database) == set()
    broken.clear()
    assert _in_threads([work(number) for number in range(10)]) == [None] * 10
    assert len(_names(database)) == 10


def test_a_full_disk_is_said_loses_nothing_that_was_told_and_passes(database: Database) -> None:
    told: list[str] = []

    def work(number: int) -> Callable[[], None]:
        def add() -> None:
            for round_ in range(40):
                name = f"{number}-{round_}".ljust(2000, "x")
                with database.writing() as connection:
                    _add(connection, name)
                told.append(name)

        return add

    limit: list[int] = [0]

    @event.listens_for(database.engine, "begin")
    def _limit(connection: Connection) -> None:
        # what SQLite does when the disk is full it does when it may have no more pages
        if limit[0]:
            connection.exec_driver_sql(f"PRAGMA max_page_count={limit[0]}")

    with database.reading() as connection:
        limit[0] = connection.exec_driver_sql("PRAGMA page_count").scalar_one() + 60
    ends = _in_threads([work(number) for number in range(6)])
    problems = {end.problem for end in ends if isinstance(end, DatabaseUnavailableError)}
    assert all(isinstance(end, DatabaseUnavailableError) for end in ends)
    assert Problem.STORAGE_FULL in problems
    assert set(told) == _names(database)
    limit[0] = 1_000_000
    with database.writing() as connection:
        _add(connection, "there is room again")
    assert "there is room again" in _names(database)


def test_who_is_interrupted_in_line_leaves_nobody_waiting(database: Database) -> None:
    group_commit = database._begin.__self__  # type: ignore[attr-defined]
    wait_for = group_commit._line.wait_for
    interrupted = threading.Event()

    def interrupt_one(predicate: Callable[[], bool]) -> bool:
        if threading.current_thread().name == "interrupted":
            wait_for(predicate)
            interrupted.set()
            raise KeyboardInterrupt
        done: bool = wait_for(predicate)
        return done

    group_commit._line.wait_for = interrupt_one

    def stopped() -> None:
        threading.current_thread().name = "interrupted"
        with pytest.raises(KeyboardInterrupt), database.writing():
            raise AssertionError("never reached")

    assert _behind_one(database, [stopped]) == [None, None]
    assert interrupted.is_set()
    assert _names(database) == {"first"}
