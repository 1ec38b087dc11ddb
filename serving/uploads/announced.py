"""What a sender says of a file before its bytes come: name, batch, hash, and the study's context."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from serving.errors import Problem, ServiceError
from serving.intake.context import ContextFields, read_context
from serving.intake.upload import readable

# What public clients of the protocol say by themselves (Uppy, tus-js-client, tuspy); none of it is believed.
_OF_CLIENTS = frozenset(
    {"filename", "name", "filetype", "type", "relativePath", "contentType", "lastModified"}
)
_OURS = frozenset({"batch", "sha256"})

_BATCH = re.compile(r"[A-Za-z0-9._-]{1,128}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Announced:
    """A file that is about to come; without a `batch` it is an upload by itself."""

    name: str
    batch: str | None = None
    sha256: str | None = None
    fields: Mapping[str, object] = field(default_factory=dict)


def read_announced(said: Mapping[str, str]) -> Announced:
    """Read what stands in Upload-Metadata.

    Raises
    ------
    ServiceError
        `INVALID_REQUEST` if a key is unknown or a value is not one that it takes; names the key.

    Examples
    --------
    >>> read_announced({"filename": "mole.jpg", "batch": "7f3a", "age": "61"})
    Announced(name='mole.jpg', batch='7f3a', sha256=None, fields={'age': '61'})
    """
    fields: dict[str, object] = {}
    for key, value in said.items():
        if key in ContextFields.model_fields:
            if value:
                fields[key] = value
        elif key not in _OF_CLIENTS | _OURS:
            known = ", ".join([*sorted(_OURS), "filename", "filetype", *ContextFields.model_fields])
            raise ServiceError(
                Problem.INVALID_REQUEST, f"Upload-Metadata has no key {key[:40]!r}: the keys are {known}."
            )
    read_context(fields)
    batch, sha256 = said.get("batch") or None, said.get("sha256", "").lower() or None
    if batch is not None:
        check_batch(batch)
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise ServiceError(
            Problem.INVALID_REQUEST,
            "The key 'sha256' of Upload-Metadata is no SHA-256: 64 hexadecimal digits.",
        )
    return Announced(_name(said), batch, sha256, fields)


def check_batch(key: str) -> None:
    """Refuse what is no sender's word for a batch.

    Raises
    ------
    ServiceError
        `INVALID_REQUEST`.
    """
    if not _BATCH.fullmatch(key):
        raise ServiceError(
            Problem.INVALID_REQUEST,
            f"The batch {key[:40]!r} is none: 1 to 128 letters, digits, dots, dashes, such as a UUID.",
        )


def joined(known: Mapping[str, object], said: Mapping[str, object]) -> dict[str, object]:
    """Put together what was said of a batch with several of its files.

    Raises
    ------
    ServiceError
        `CONFLICT` if two files say different things.
    """
    for name, value in said.items():
        if name in known and known[name] != value:
            raise ServiceError(
                Problem.CONFLICT,
                f"The batch has {name} {known[name]!r} already, this file says {value!r}: a batch is of one "
                "patient and one question; send what is about another as a batch of its own.",
            )
    return {**known, **said}


def _name(said: Mapping[str, str]) -> str:
    given = (said.get(key, "") for key in ("relativePath", "filename", "name"))
    # Uppy writes "null" where a file is of no folder.
    return readable(next((name for name in given if name and name != "null"), "file")) or "file"
