"""Stored files: never altered, named by their SHA-256, durable before anyone is told so.

One interface, :class:`ObjectStore`, of six verbs: `put`, `get`, `head`, `each`, `remove` and `set_aside`.
`take` puts many files of this machine at once, `checked` gets one as a file. There are two of them: a folder
(:mod:`serving.store.local_objects`) and a bucket (:mod:`serving.store.cloud_objects`).

A name is a SHA-256 and nothing else, so that no name leads out of the store. What is read is hashed on its
way and never given out as whole if it is not what its name says. An object that nobody seems to refer to is
set aside before it is removed, so that a mistake can be taken back.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from serving.errors import Problem, ServiceError

CHUNK_BYTES = 1024 * 1024

# The folder, or the part of a bucket, of what was set aside.
ASIDE = "set-aside"

_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One file that was stored; `was_there` if the store had one of this name already."""

    sha256: str
    n_bytes: int
    was_there: bool = False


@dataclass(frozen=True, slots=True)
class KeptObject:
    """One object as the store lists it; `put_at_us` is the last time it was put, by the store's own clock."""

    sha256: str
    n_bytes: int
    put_at_us: int


class ObjectStore(ABC):
    """Keeps files by their SHA-256.

    Every method that takes a name raises `ValueError` if it is no SHA-256, and `ServiceError` with
    `STORAGE_FULL` or `STORAGE_UNAVAILABLE` if the store cannot do its work now.
    """

    @abstractmethod
    def put(self, stream: BinaryIO) -> StoredObject:
        """Store what `stream` gives; when this returns, it is durable."""

    @abstractmethod
    def get(self, sha256: str) -> Iterator[bytes]:
        """Give an object's bytes, about a mebibyte at a time.

        Raises
        ------
        ServiceError
            `OBJECT_DAMAGED` if the object is gone, or after the last bytes if they were not those that were
            stored: only who has read to the end has read what was received.
        """

    @abstractmethod
    def head(self, sha256: str, *, aside: bool = False) -> KeptObject | None:
        """Give an object's size and age, None if it is not there; `aside` asks for one set aside."""

    @abstractmethod
    def each(self, *, aside: bool = False) -> Iterator[KeptObject]:
        """Give every object, or every one set aside, in no order; what is half-written is none."""

    @abstractmethod
    def remove(self, sha256: str, *, aside: bool = False) -> None:
        """Remove an object that nobody refers to; one that is not there is no error."""

    @abstractmethod
    def set_aside(self, sha256: str, *, back: bool = False) -> bool:
        """Hide an object, or bring it `back`; says whether there was one. Its age begins anew."""

    @abstractmethod
    def take(self, files: Iterable[Path], *, note: Path | None = None) -> dict[Path, StoredObject]:
        """Put files of this machine, which may be moved; when this returns, all are durable.

        Each hash is written into `note` before its file is put, so that a later process can tell what was
        put and never committed.
        """

    @abstractmethod
    def checked(self, sha256: str) -> Path:
        """Give a file of this machine whose bytes are what the name says, for as long as a study is read.

        Raises
        ------
        ServiceError
            `OBJECT_DAMAGED` if the bytes are not those that were stored, or are gone.
        """

    @abstractmethod
    def check_writable(self) -> int:
        """Write something small and remove it; gives the store's own time, in microseconds since 1970 UTC.

        Raises
        ------
        ServiceError
            If it cannot be written, within seconds and without many attempts.
        """

    @abstractmethod
    def clear_unfinished(self, *, before_us: int) -> int:
        """Remove what writings left behind that were cut off before a time; gives the number of files."""

    @property
    @abstractmethod
    def place(self) -> str:
        """Where it is, for people; without any secret."""

    def confirm(self, stored: Mapping[Path, StoredObject], unknown: Iterable[str]) -> None:
        """Make sure that what a transaction is about to refer to is still there.

        Parameters
        ----------
        stored : mapping of Path to StoredObject
            What :meth:`take` gave.
        unknown : iterable of str
            Those of the hashes that nobody refers to yet. Only they can have been collected meanwhile, and
            only if they were there before: what was put just now is too young.

        Notes
        -----
        Call it within the writing transaction. The collection sets objects aside within one as well, and
        looks for references first: so either it sees ours, or we see that the object is gone.
        """
        sought = set(unknown)
        for file, item in stored.items():
            if not item.was_there or item.sha256 not in sought or self.head(item.sha256) is not None:
                continue
            if not self.set_aside(item.sha256, back=True):
                self.take([file])


def check_name(sha256: str) -> str:
    """Give a name back if it is a SHA-256 in lower case.

    Raises
    ------
    ValueError
        If it is anything else.

    Examples
    --------
    >>> check_name("../../etc/passwd")
    Traceback (most recent call last):
        ...
    ValueError: '../../etc/passwd' is not a SHA-256
    """
    if len(sha256) != 64 or not set(sha256) <= _HEX:
        raise ValueError(f"{sha256!r} is not a SHA-256")
    return sha256


def is_name(text: str) -> bool:
    """Whether a text is a SHA-256 in lower case."""
    return len(text) == 64 and set(text) <= _HEX


def chunks_of(stream: BinaryIO) -> Iterator[bytes]:
    """Read a stream a mebibyte at a time."""
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def verified(chunks: Iterable[bytes], sha256: str) -> Iterator[bytes]:
    """Pass chunks on, and raise `OBJECT_DAMAGED` at their end if they are not what the name says."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != sha256:
        raise damaged(sha256)


def hash_file(file: Path) -> StoredObject:
    """Give a file's SHA-256 and size, a mebibyte at a time."""
    digest = hashlib.sha256()
    n_bytes = 0
    with file.open("rb") as stream:
        for chunk in chunks_of(stream):
            digest.update(chunk)
            n_bytes += len(chunk)
    return StoredObject(digest.hexdigest(), n_bytes)


def note_down(note: Path | None, sha256: str) -> None:
    """Append a hash to an upload's note, if it keeps one."""
    if note is not None:
        with note.open("a", encoding="ascii") as lines:
            lines.write(f"{sha256}\n")


def damaged(sha256: str) -> ServiceError:
    """Make the error of an object whose bytes have changed."""
    return ServiceError(
        Problem.OBJECT_DAMAGED,
        f"The stored file {sha256} no longer has the bytes that were received: restore it from the backup, "
        "or send the image again.",
    )


def gone(sha256: str) -> ServiceError:
    """Make the error of an object that is not there."""
    return ServiceError(
        Problem.OBJECT_DAMAGED,
        f"The stored file {sha256} is gone: restore it from the backup, or send the image again.",
    )
