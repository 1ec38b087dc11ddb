import sqlite3
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from serving.errors import Problem, ServiceError
from serving.store import engines
from serving.store.database import open_database


def test_a_transaction_that_does_nothing_loses_what_it_holds_to_those_who_wait(
    postgresql_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "ABANDONED_S", 0.3)
    database = open_database(postgresql_address)
    write = text("UPDATE alembic_version SET version_num = version_num")

    def stop_for_a_while() -> None:
        with database.writing() as stopped:
            stopped.execute(write)
            with database.writing() as waiting:  # it would wait for 10 s, and give up
                waiting.execute(write)
            stopped.execute(write)

    try:
        with pytest.raises(ServiceError) as refused:
            stop_for_a_while()
        assert refused.value.problem is Problem.DATABASE_UNAVAILABLE
        with database.writing() as connection:
            connection.execute(write)
    finally:
        database.close()


def test_one_who_reads_at_leisure_is_not_cut_off(
    postgresql_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "ABANDONED_S", 0.1)
    database = open_database(postgresql_address)
    try:
        with database.reading_at_leisure() as connection:
            connection.execute(text("SELECT 1"))
            time.sleep(0.3)
            connection.execute(text("SELECT 1"))
    finally:
        database.close()


def test_a_new_file_that_another_holds_while_it_is_opened_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "firstread.sqlite"
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    other.execute("CREATE TABLE other (id INTEGER)")
    release = threading.Timer(0.3, lambda: other.execute("COMMIT"))
    release.start()
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA busy_timeout=0")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        connection.execute("PRAGMA journal_mode=WAL")
    engines._write_ahead(connection)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    release.join()
    connection.close()
    other.close()
