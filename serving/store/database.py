"""The one place where the database is opened, read and written.

SQLite in write-ahead mode with ``synchronous=FULL``: a committed transaction survives a power cut. Many
threads read at once; writers take turns, because SQLite knows only one.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection as DriverConnection

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from serving.errors import StartError
from serving.store.schema import NEWEST, migrate, revision_of

_BUSY_MS = 10_000


class Database:
    """Hands out connections: `reading` for a snapshot, `writing` for one all-or-nothing change."""

    failures = (DBAPIError,)
    """What a connection raises when the database itself fails."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._turn = threading.Lock()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one moment of the database."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection whose changes are committed together, or not at all."""
        with (
            self._turn,
            self.engine.connect().execution_options(writes=True) as connection,
            connection.begin(),
        ):
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def open_database(file: Path) -> Database:
    """Open the database of `file`, made or brought to the newest schema if need be."""
    file.parent.mkdir(parents=True, exist_ok=True)
    engine = connect_sqlite(file)
    migrate(engine)
    return Database(engine)


def open_existing(file: Path) -> Database:
    """Open a database as it stands, for a program that may run beside the service.

    Raises
    ------
    StartError
        If there is none, or it is not of this version.
    """
    if not file.is_file():
        raise StartError(f"there is no database {file}: name the home of the service by FIRSTREAD_HOME.")
    engine = connect_sqlite(file)
    with engine.connect() as connection:
        stands_at = revision_of(connection)
    if stands_at != NEWEST:
        engine.dispose()
        raise StartError(f"{file} is of another version (schema {stands_at}): start the service once.")
    return Database(engine)


def connect_sqlite(file: Path) -> Engine:
    """Make an engine for an SQLite file, as it stands."""
    engine = create_engine(f"sqlite:///{file}", connect_args={"check_same_thread": False})

    # The driver's own implicit BEGIN comes too late (before the first write, not before the first read)
    # and skips DDL; so it is switched off and every transaction is begun here.
    @event.listens_for(engine, "connect")
    def _prepare(connection: DriverConnection, _record: object) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
