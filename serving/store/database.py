"""The one place where the database is opened, read and written.

SQLite, the default, in write-ahead mode with ``synchronous=FULL``: a committed transaction survives a power
cut; many threads read at once, and writers take turns and share commits
(:mod:`serving.store.group_commit`), because SQLite knows only one. PostgreSQL for several
processes or machines: writers work side by side, and take turns at the same things
(:mod:`serving.store.turns`).
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from serving.errors import StartError
from serving.store.engines import AT_LEISURE, check_server, connect, described
from serving.store.failures import DatabaseUnavailableError, explained
from serving.store.group_commit import GroupCommit
from serving.store.schema import NEWEST, migrate, revision_of


class Database:
    """Hands out connections: `reading` for a snapshot, `writing` for one all-or-nothing change.

    Both raise :class:`DatabaseUnavailableError` if the database is away, busy or full.
    """

    failures = (DBAPIError, DatabaseUnavailableError)
    """What a connection raises when the database itself fails."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        if self.is_shared:
            snapshot = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
            self._reads: Engine = engine.execution_options(**snapshot)
            self._begin: Callable[[], AbstractContextManager[Connection]] = engine.begin
        else:
            self._reads = engine
            self._begin = GroupCommit(engine.execution_options(writes=True)).writing

    @property
    def is_shared(self) -> bool:
        """Whether programs on other machines may write to it as well."""
        return self.engine.dialect.name == "postgresql"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one moment of the database."""
        with _failures_explained(), self._reads.connect() as connection:
            yield connection

    @contextmanager
    def reading_at_leisure(self) -> Iterator[Connection]:
        """Give a transaction that sees one moment of the database and may rest between two of its rows.

        Where several programs write, the server ends every other transaction that does nothing for a while.
        """
        with _failures_explained(), self._reads.begin() as connection:
            if self.is_shared:
                connection.execute(AT_LEISURE)
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection whose changes are committed when this ends, or not at all."""
        with _failures_explained(), self._begin() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def open_database(place: Path | str) -> Database:
    """Open the database of a file or an address, made or brought to the newest schema if need be.

    Raises
    ------
    StartError
        If it cannot be reached, is of a later version, or is none that can be used.
    """
    if isinstance(place, Path):
        place.parent.mkdir(parents=True, exist_ok=True)
    engine = connect(place)
    with _closed_on_failure(engine, place):
        migrate(engine, described(place))
    return Database(engine)


def open_existing(place: Path | str) -> Database:
    """Open a database as it stands, for a program that may run beside the service.

    Raises
    ------
    StartError
        If there is none, or it is not of this version.
    """
    if isinstance(place, Path) and not place.is_file():
        raise StartError(f"there is no database {place}: name the home of the service by FIRSTREAD_HOME.")
    engine = connect(place)
    with _closed_on_failure(engine, place):
        with engine.connect() as connection:
            check_server(connection)
            stands_at = revision_of(connection)
        if stands_at != NEWEST:
            raise StartError(
                f"{described(place)} is of another version (schema {stands_at}): start the service once."
            )
    return Database(engine)


@contextmanager
def _failures_explained() -> Iterator[None]:
    try:
        yield
    except (DBAPIError, PoolTimeoutError) as error:
        told = explained(error)
        if told is None:
            raise
        raise told from error


@contextmanager
def _closed_on_failure(engine: Engine, place: Path | str) -> Iterator[None]:
    try:
        yield
    except StartError:
        engine.dispose()
        raise
    except (DBAPIError, PoolTimeoutError) as error:
        engine.dispose()
        cause = str(error.orig if isinstance(error, DBAPIError) else error).strip().replace("\n", "; ")
        raise StartError(f"{described(place)} cannot be used: {cause}") from error
