"""What the headers of a resumable upload mean: the tus protocol 1.0.0, read and written.

References
----------
tus resumable upload protocol 1.0.x, https://tus.io/protocols/resumable-upload: the core, and the extensions
creation, creation-with-upload, expiration, checksum and termination.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Final

from serving.errors import Problem, ServiceError
from serving.store.times import from_us

VERSION: Final = "1.0.0"
EXTENSIONS: Final = ("creation", "creation-with-upload", "expiration", "checksum", "termination")
ALGORITHMS: Final = ("sha1", "sha256")
MEDIA_TYPE: Final = "application/offset+octet-stream"

_MOST_KEYS = 40
_WHOLE_NUMBER = re.compile(r"[0-9]{1,18}")
_KEY = re.compile(r"[\x21-\x2b\x2d-\x7e]+")


@dataclass(frozen=True, slots=True)
class Checksum:
    """What the bytes of one request must have: the digest by one of :data:`ALGORITHMS`."""

    algorithm: str
    digest: bytes

    def begin(self) -> "hashlib._Hash":
        """Give what the bytes are fed to."""
        return hashlib.new(self.algorithm, usedforsecurity=False)


def check_version(given: str | None, *, is_needed: bool = True) -> None:
    """Refuse what is not spoken here; whoever only looks need not say what they speak.

    Raises
    ------
    ServiceError
        `PROTOCOL_VERSION`.
    """
    if given == VERSION or (given is None and not is_needed):
        return
    raise ServiceError(
        Problem.PROTOCOL_VERSION,
        f"The header Tus-Resumable is {'missing' if given is None else repr(given[:20])}: "
        f"this service speaks {VERSION} of the tus protocol.",
        headers={"Tus-Version": VERSION},
    )


def read_number(name: str, given: str | None) -> int:
    """Read a header that is a whole number of bytes.

    Raises
    ------
    ServiceError
        `BAD_PARAMETER` if it is missing, or is none.

    Examples
    --------
    >>> read_number("Upload-Offset", "70")
    70
    """
    if given is None or not _WHOLE_NUMBER.fullmatch(given):
        raise ServiceError(
            Problem.BAD_PARAMETER,
            f"The header {name} is {'missing' if given is None else repr(given[:40])}: "
            "it must be a whole number of bytes.",
        )
    return int(given)


def read_metadata(given: str | None) -> dict[str, str]:
    """Read Upload-Metadata: pairs of a key and a value in base64, separated by commas.

    Raises
    ------
    ServiceError
        `BAD_PARAMETER` if it is not that.

    Examples
    --------
    >>> read_metadata("filename bW9sZS5qcGc=,is_urgent")
    {'filename': 'mole.jpg', 'is_urgent': ''}
    """
    read: dict[str, str] = {}
    for pair in (given or "").split(",") if given and given.strip() else ():
        key, _, value = pair.strip().partition(" ")
        if not _KEY.fullmatch(key) or key in read or len(read) >= _MOST_KEYS:
            raise _bad_metadata(f"its key {key[:40]!r} is none, or stands there twice")
        try:
            read[key] = base64.b64decode(value.strip(), validate=True).decode("utf-8")
        except ValueError as error:  # no base64, or no UTF-8
            raise _bad_metadata(f"the value of {key[:40]!r} is no text in base64") from error
    return read


def read_checksum(given: str | None) -> Checksum | None:
    """Read Upload-Checksum: an algorithm, and the digest in base64.

    Raises
    ------
    ServiceError
        `BAD_PARAMETER` if it is not that, or by an algorithm that is not known.
    """
    if given is None:
        return None
    algorithm, _, value = given.strip().partition(" ")
    if algorithm not in ALGORITHMS:
        raise ServiceError(
            Problem.BAD_PARAMETER,
            f"The header Upload-Checksum is by {algorithm[:20]!r}: {', '.join(ALGORITHMS)} are known here.",
        )
    try:
        digest = base64.b64decode(value.strip(), validate=True)
    except ValueError:
        digest = b""
    if len(digest) != hashlib.new(algorithm, usedforsecurity=False).digest_size:
        raise ServiceError(
            Problem.BAD_PARAMETER, f"The header Upload-Checksum holds no {algorithm} digest in base64."
        )
    return Checksum(algorithm, digest)


def http_date(moment_us: int) -> str:
    """Give a time as headers have it (RFC 9110, 5.6.7).

    Examples
    --------
    >>> http_date(784111777_000000)
    'Sun, 06 Nov 1994 08:49:37 GMT'
    """
    return format_datetime(from_us(moment_us).replace(microsecond=0), usegmt=True)


def said_of_service(max_bytes: int) -> Mapping[str, str]:
    """Give the headers by which the service says what it can do."""
    return {
        "Tus-Version": VERSION,
        "Tus-Extension": ",".join(EXTENSIONS),
        "Tus-Max-Size": str(max_bytes),
        "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
    }


def _bad_metadata(problem: str) -> ServiceError:
    return ServiceError(
        Problem.BAD_PARAMETER,
        f"The header Upload-Metadata cannot be read: {problem}; each is a key, a space, a value in base64.",
    )
