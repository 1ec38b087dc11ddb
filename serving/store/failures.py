"""Says what a failing database means for those who ask: they can only wait, and the data are safe."""

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from serving.errors import Problem, ServiceError

# Classes and codes of PostgreSQL (appendix A of its manual): the connection, too little of something, the
# operator's intervention, a server that only reads, another transaction in the way.
_PASSING_STATES = ("08", "53", "57P", "25006", "55P03", "40001", "40P01")
_DISK_FULL_STATE = "53100"

# SQLite's primary result codes (https://sqlite.org/rescode.html): busy, locked, read-only, I/O, cannot open.
_PASSING_CODES = frozenset({5, 6, 8, 10, 14})
_FULL_CODE = 13


class DatabaseUnavailableError(ServiceError):
    """The database cannot do its work now; nothing of what was asked was done, and it may be asked again."""


def explained(error: DBAPIError | PoolTimeoutError) -> DatabaseUnavailableError | None:
    """Say what a failure of the database means, None if the statement was wrong and not the database."""
    if isinstance(error, PoolTimeoutError):
        return _unavailable("it is busy")
    if error.connection_invalidated:
        return _unavailable("the connection broke")
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return _of_sqlite(code & 0xFF, str(error.orig))
    if hasattr(error.orig, "sqlstate"):
        return _of_postgresql(error, getattr(error.orig, "sqlstate", None))
    return None


def commit_failed(error: BaseException) -> DatabaseUnavailableError:
    """Say to one of several whose changes were to be committed together that they were not."""
    told = explained(error) if isinstance(error, DBAPIError) else None
    return told or _unavailable("its last commit failed")


def _of_sqlite(code: int, problem: str) -> DatabaseUnavailableError | None:
    if code == _FULL_CODE:
        return _full()
    return _unavailable(problem) if code in _PASSING_CODES else None


def _of_postgresql(error: DBAPIError, state: str | None) -> DatabaseUnavailableError | None:
    if state is None:  # the client says so: the server does not answer, or does not any more
        is_away = isinstance(error, OperationalError | InterfaceError)
        return _unavailable("it does not answer") if is_away else None
    if state == _DISK_FULL_STATE:
        return _full()
    return _unavailable(type(error.orig).__name__) if state.startswith(_PASSING_STATES) else None


def _full() -> DatabaseUnavailableError:
    return DatabaseUnavailableError(
        Problem.STORAGE_FULL,
        "The disk of the database is full, so nothing was written: the operator has to make room.",
    )


def _unavailable(why: str) -> DatabaseUnavailableError:
    return DatabaseUnavailableError(
        Problem.DATABASE_UNAVAILABLE,
        f"The database cannot be used now ({why}); what was acknowledged is safe: try again in some seconds.",
    )
