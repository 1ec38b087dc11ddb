"""How a database is reached: an SQLite file, or a PostgreSQL server by the address that libpq takes."""

import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, create_engine, event, text

from serving.errors import StartError
from serving.store.texts import storable

if TYPE_CHECKING:  # loaded if there is a PostgreSQL database
    import psycopg
    from psycopg.abc import Buffer

# How long a statement waits for another transaction's lock.
_BUSY_MS = 10_000

# How long a transaction may do nothing before the server ends it: a process that was stopped, or a machine
# that froze, else keeps whatever it holds from all others. Sooner than they give up waiting for it.
ABANDONED_S = 8.0
AT_LEISURE = text("SET LOCAL idle_in_transaction_session_timeout = 0")

# The server's default is 100 for all processes; an endpoint runs in one of 40 threads.
_KEPT_CONNECTIONS, _MORE_CONNECTIONS = 10, 20
_SECONDS_FOR_A_CONNECTION = 10

# A server that vanished without a word is noticed after about this long.
_SILENT_S = 10
_OLDEST_SERVER = 150_000


def connect(place: Path | str) -> Engine:
    """Make an engine for a file or an address, as it stands.

    Raises
    ------
    StartError
        If the address is none that libpq takes.
    """
    return connect_sqlite(place) if isinstance(place, Path) else connect_postgresql(place)


def described(place: Path | str) -> str:
    """Name a database for people, without its password."""
    if isinstance(place, Path):
        return str(place)
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415 - see above

    facts = conninfo_to_dict(place)
    return f"the database {facts.get('dbname') or 'of the user'} at {facts.get('host') or 'this machine'}"


def connect_sqlite(file: Path) -> Engine:
    """Make an engine for an SQLite file, as it stands."""
    engine = create_engine(f"sqlite:///{file}", connect_args={"check_same_thread": False})

    # The driver's own implicit BEGIN comes too late (before the first write, not before the first read)
    # and skips DDL; so it is switched off and every transaction is begun here.
    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Turn to write-ahead mode, waiting for others who do the same.

    Where two connections turn a new file at once, SQLite refuses one of them without waiting: each holds what
    the other needs.
    """
    deadline_s = time.monotonic() + _BUSY_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline_s:
                raise
            time.sleep(0.02)
        else:
            return


def connect_postgresql(address: str) -> Engine:
    """Make an engine for a PostgreSQL server; what the address says counts before what is set here.

    A connection is tried before it is lent, so that a server that was away is found again by itself.

    Raises
    ------
    StartError
        If the address is none that libpq takes.
    """
    import psycopg  # noqa: PLC0415 - see above
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415
    from psycopg.types.string import StrDumper  # noqa: PLC0415

    class StorableDumper(StrDumper):
        """Anybody may send a NUL, in an address for example: it is text that is not there, and no failure."""

        def dump(self, obj: str) -> "Buffer | None":
            return super().dump(storable(obj))

    try:
        given = conninfo_to_dict(address)
    except psycopg.ProgrammingError as error:
        raise StartError(f"FIRSTREAD_DATABASE_URL is no address of a database: {error}".strip()) from error
    defaults = {
        "application_name": "firstread",
        "connect_timeout": _SECONDS_FOR_A_CONNECTION,
        "keepalives_idle": _SILENT_S,
        "keepalives_interval": _SILENT_S // 2,
        "tcp_user_timeout": 1000 * 2 * _SILENT_S,
        "client_encoding": "UTF8",
    }

    def open_connection() -> "psycopg.Connection[object]":
        return psycopg.connect(**(defaults | given))  # type: ignore[arg-type]  # libpq checks each

    engine = create_engine(
        "postgresql+psycopg://",
        creator=open_connection,
        pool_size=_KEPT_CONNECTIONS,
        max_overflow=_MORE_CONNECTIONS,
        pool_timeout=_SECONDS_FOR_A_CONNECTION,
        pool_pre_ping=True,
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: "psycopg.Connection[object]", _record: object) -> None:
        connection.adapters.register_dumper(str, StorableDumper)
        connection.autocommit = True
        connection.execute(f"SET lock_timeout = {_BUSY_MS}")
        connection.execute(f"SET idle_in_transaction_session_timeout = {int(1000 * ABANDONED_S)}")
        connection.autocommit = False

    return engine


def check_server(connection: Connection) -> None:
    """Refuse a PostgreSQL server that is too old, or a database that cannot hold every text.

    Raises
    ------
    StartError
        If it is one of these.
    """
    if connection.dialect.name != "postgresql":
        return
    version = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())
    if version < _OLDEST_SERVER:
        raise StartError(f"the server is PostgreSQL {version // 10_000}: 15 or later is needed.")
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    if encoding != "UTF8":
        raise StartError(f"the database keeps text as {encoding}: make one with ENCODING 'UTF8'.")
