"""Starts the log of a process: one handler on stderr, no other way out for libraries and tracebacks."""

import logging
import os
import sys
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, TextIO

from serving.telemetry.lines import JsonLines, TextLines, is_told

LogFormat = Literal["auto", "json", "text"]
LogLevel = Literal["debug", "info", "warning", "error"]

FORMAT_VARIABLE = "FIRSTREAD_LOG_FORMAT"
LEVEL_VARIABLE = "FIRSTREAD_LOG_LEVEL"

log = logging.getLogger("firstread")


@dataclass(frozen=True, slots=True)
class LogTerms:
    """How the log is written: `auto` is text at a terminal and JSON everywhere else."""

    form: LogFormat = "auto"
    level: LogLevel = "info"


def start_logs(terms: LogTerms, stream: TextIO | None = None) -> None:
    """Write the log of this process, and of those it starts, by `terms`.

    Parameters
    ----------
    terms : LogTerms
        The processes that this one starts find them in their environment.
    stream : TextIO or None
        None: stderr.
    """
    target = stream or sys.stderr
    is_json = terms.form == "json" or (terms.form == "auto" and not target.isatty())
    form: LogFormat = "json" if is_json else "text"
    os.environ[FORMAT_VARIABLE] = form
    os.environ[LEVEL_VARIABLE] = terms.level
    _write_to(target, form, terms.level)


def start_logs_of_child() -> None:
    """Write the log of a process that one of ours started, as that one's environment says."""
    form: LogFormat = "json" if os.environ.get(FORMAT_VARIABLE) == "json" else "text"
    level: LogLevel = "warning"
    match os.environ.get(LEVEL_VARIABLE):
        case ("debug" | "info" | "warning" | "error") as named:
            level = named
    _write_to(sys.stderr, form, level)


def _write_to(stream: TextIO, form: LogFormat, level: LogLevel) -> None:
    handler = _Handler(stream)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    handler.addFilter(_is_worth_a_line)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)  # eight lines that say nothing
    warnings.showwarning = _log_warning
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread
    sys.unraisablehook = _log_unraisable


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Drop a line that cannot be written; the default would print its arguments."""


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    # What a library says is withheld (serving.telemetry.lines); without its text only a failure is news.
    return is_told(record.name) or record.levelno >= logging.ERROR


def _log_warning(  # noqa: PLR0917 - as Python calls it
    message: Warning | str,  # noqa: ARG001 - its text may hold a value of a file
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    log.debug("%s at %s:%d", category.__name__, Path(filename).name, lineno)


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    log.critical("the program ends by an error nobody expected", exc_info=(kind, error, trace))


def _log_uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is not None and not issubclass(arguments.exc_type, SystemExit):
        log.critical(
            "a thread ends by an error nobody expected",
            exc_info=(arguments.exc_type, arguments.exc_value, arguments.exc_traceback),
        )


def _log_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    error = unraisable.exc_value
    if error is not None:
        log.error("an error could not be raised", exc_info=(type(error), error, unraisable.exc_traceback))
