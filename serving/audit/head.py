"""A file outside the database that knows the end of the trail, so that a cut-off end is noticed.

It holds two places: the last row that is committed, and the one that was about to be when it was last
written. A process may die between the two; then the database ends at either, and both are in order.
"""

import fcntl
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from serving.store.audit_chain import Link

log = logging.getLogger(__name__)

# Both records lie within one sector of a disk, and each is written by one call.
_RECORD_BYTES = 128
_RECORD = re.compile(r"(committed|intended) +(\d+) ([0-9a-f]{64})\s*")


@dataclass(frozen=True, slots=True)
class Head:
    """What the file says."""

    committed: Link
    intended: Link | None = None


class HeadFile:
    """Keeps the end of the trail; a failure to write it is logged and stops nobody's work."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Head | None:
        """Give what the file says, None if it does not exist.

        Raises
        ------
        ValueError
            If it is no head of a trail.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        committed = _parsed(content[:_RECORD_BYTES])
        if committed is None:
            raise ValueError(f"{self.path} is no head of an audit trail")
        return Head(committed, _parsed(content[_RECORD_BYTES:]))

    def intend(self, link: Link) -> None:
        """Say which row is about to be committed; the caller holds the database's writing turn."""
        with self._opened() as descriptor:
            os.pwrite(descriptor, _record("intended", link), _RECORD_BYTES)

    def commit(self, link: Link, *, is_forced: bool = False) -> None:
        """Say which row is committed, unless a later one is already."""
        with self._opened() as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            known = _parsed(os.pread(descriptor, _RECORD_BYTES, 0))
            if known is None or known.seq < link.seq or is_forced:
                os.pwrite(descriptor, _record("committed", link), 0)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                yield descriptor
            finally:
                os.close(descriptor)
        except OSError as error:
            log.error("the head of the audit trail, %s, cannot be written: %s", self.path, error)


def _record(kind: str, link: Link) -> bytes:
    return f"{kind:9} {link.seq:d} {link.hash}".ljust(_RECORD_BYTES - 1).encode("ascii") + b"\n"


def _parsed(content: bytes) -> Link | None:
    found = _RECORD.fullmatch(content.decode("ascii", "replace"))
    return None if found is None else Link(int(found[2]), found[3])
