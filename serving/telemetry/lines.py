"""How a line of the log looks: one JSON object, or one line of text; no patient's data in either.

Three rules keep values out. An error is described, never printed (:mod:`serving.telemetry.faults`), also
where it is an argument of the message. What a library says is withheld, because pydicom and others put the
values they read into their messages; only its place is told. Of the `extra` fields those of a fixed list are
written.
"""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from serving.telemetry.faults import chain, describe, places
from serving.telemetry.naming import named

SERVICE: Final = "firstread"

# What a line may say beside its message. A study's key is random; its UID, the patient's identifier and file
# names are not on this list.
FIELDS: Final = (
    "request_id",
    "study",
    "worker",
    "site",
    "method",
    "route",
    "status",
    "ms",
    "bytes_in",
    "bytes_out",
    "caller",
    "client",
    "model",
    "reason",
    "seq",
    "sha256",
    "address",
    "version",
    "signal",
)

# Those whose messages are made by us, or hold nothing that was read from a file or a request.
_OURS = ("serving", "models", "data", "firstread", "__main__")
_HARMLESS = ("uvicorn", "alembic")


def is_told(logger: str) -> bool:
    """Whether a logger's messages are written as they are.

    Examples
    --------
    >>> is_told("serving.intake.service"), is_told("pydicom"), is_told("database")
    (True, False, False)
    """
    return logger.split(".", 1)[0] in _OURS + _HARMLESS


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record down."""
        return json.dumps(content_of(record), ensure_ascii=False, default=str)


class TextLines(logging.Formatter):
    """One line of text for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record down."""
        content = content_of(record)
        head = f"{content.pop('time')} {content.pop('level'):8} {content.pop('logger')}: "
        message = str(content.pop("message"))
        content.pop("service")
        content.pop("process")
        rest = "".join(f" {name}={value}" for name, value in content.items())
        return _on_one_line(head + message + rest)


def content_of(record: logging.LogRecord) -> dict[str, object]:
    """Give what is written of a record."""
    content: dict[str, object] = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname,
        "logger": record.name,
        "message": _message(record),
        "service": SERVICE,
        "process": record.process,
    }
    known: Mapping[str, object] = {**named(), **vars(record)}
    content |= {name: known[name] for name in FIELDS if known.get(name) is not None}
    if record.exc_info and record.exc_info[1] is not None:
        content["error"] = chain(record.exc_info[1])
        content["stack"] = places(record.exc_info[2])
    return content


def _message(record: logging.LogRecord) -> str:
    if not is_told(record.name):
        return f"a message of the library is withheld ({record.module}.py:{record.lineno})"
    args = record.args
    if isinstance(args, tuple):
        args = tuple(_harmless(value) for value in args)
    elif isinstance(args, Mapping):
        args = {name: _harmless(value) for name, value in args.items()}
    message = str(_harmless(record.msg))
    if not args:
        return message.strip()
    try:
        return (message % args).strip()
    except (TypeError, ValueError):  # a wrong call must not print its arguments
        return message.strip()


class _Described:
    def __init__(self, error: BaseException) -> None:
        self._text = describe(error)

    def __str__(self) -> str:
        return self._text

    __repr__ = __str__


def _harmless(value: object) -> object:
    return _Described(value) if isinstance(value, BaseException) else value


def _on_one_line(text: str) -> str:
    # A name of a sender's choice must not begin a line of its own.
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)
