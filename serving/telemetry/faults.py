"""Says of an error what an operator needs and no patient's data: its kind and place, never its text.

The text of an error holds whatever was being read: a name, a value of a header, the parameters of a query.
So only texts that cannot are passed on: what the operating system, the database's own codes and our
:class:`serving.errors.StartError` say.
"""

import os
from types import TracebackType

from serving.errors import ServiceError, StartError

# Deep enough to pass from a library back to the line of ours that called it.
_MOST_FRAMES = 24


def describe(error: BaseException) -> str:
    """Name an error and, where it is one of known, harmless texts, say what it says.

    Examples
    --------
    >>> describe(ValueError("invalid name: 张三"))
    'ValueError'
    >>> describe(FileNotFoundError(2, "No such file or directory", "/spool/张三.dcm"))
    'FileNotFoundError: No such file or directory'
    """
    if isinstance(error, ServiceError):
        return f"ServiceError: {error.problem}"
    if isinstance(error, StartError):
        return f"StartError: {error}"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{_kind(error)}: {os.strerror(error.errno)}"
    driver_error = getattr(error, "orig", None)  # SQLAlchemy's, around the driver's own
    if isinstance(driver_error, BaseException):
        return f"{_kind(error)}: {_code(driver_error)}"
    return _kind(error)


def places(trace: TracebackType | None) -> list[str]:
    """Give the frames of a trace as ``file:line function``, the innermost last, without any value."""
    found: list[str] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        found.append(f"{_short(code.co_filename)}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return found[-_MOST_FRAMES:]


def chain(error: BaseException) -> list[str]:
    """Describe an error and those that led to it, the last first."""
    found: list[str] = []
    following: BaseException | None = error
    while following is not None and len(found) < 8:
        found.append(describe(following))
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)
    return found


def _kind(error: BaseException) -> str:
    kind = type(error)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _code(error: BaseException) -> str:
    # SQLITE_FULL, or an SQLSTATE; a constraint's message may quote the row.
    code = getattr(error, "sqlite_errorname", None) or getattr(error, "sqlstate", None)
    return f"{_kind(error)} {code}" if code else _kind(error)


def _short(file: str) -> str:
    for room in ("/serving/", "/data/", "/models/", "/site-packages/"):
        _, found, rest = file.rpartition(room)
        if found:
            return rest if room == "/site-packages/" else f"{room[1:]}{rest}"
    return file.rpartition("/")[2]
