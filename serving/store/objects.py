"""Stored files: never altered, named by their SHA-256, on disk before anyone is told so.

A file is written under a temporary name, flushed to the disk, renamed to the hash of its bytes, and the
folder that now lists it is flushed as well (a rename alone does not survive a power cut). What is read
back is checked against its name.
"""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from serving.errors import Problem, ServiceError

_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One stored file."""

    sha256: str
    n_bytes: int


class ObjectStore:
    """Files in a local folder, at ``<first two digits>/<SHA-256>``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen_whole: dict[str, tuple[int, int]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def path_of(self, sha256: str) -> Path:
        """Give the place of an object, whether or not it is there."""
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise ValueError(f"{sha256!r} is not a SHA-256")
        return self.folder / sha256[:2] / sha256

    def take(self, files: Iterable[Path], *, note: Path | None = None) -> dict[Path, StoredObject]:
        """Move files of the same disk into the store; when this returns, they are durable.

        A file whose bytes are already stored is dropped. Each hash is written into `note` before its file is
        moved, so that a later process can tell what was moved and never committed.
        """
        stored: dict[Path, StoredObject] = {}
        touched: set[Path] = set()
        for file in files:
            item = hash_file(file)
            target = self.path_of(item.sha256)
            if note is not None:
                with note.open("a", encoding="ascii") as lines:
                    lines.write(f"{item.sha256}\n")
            target.parent.mkdir(exist_ok=True)
            if not self._is_whole(item, target):
                file.chmod(0o440)
                _flush_file(file)
                file.replace(target)
            # Also for what is there already: another upload may have put it there and not flushed it yet.
            touched |= {target.parent, self.folder}
            stored[file] = item
        for folder in touched:
            _flush_folder(folder)
        return stored

    def checked(self, sha256: str) -> Path:
        """Give the path of an object whose bytes are what its name says.

        A file is hashed at its first reading and again only if its size or time of change is new.

        Raises
        ------
        ServiceError
            `OBJECT_DAMAGED` if the bytes are not those that were stored, or are gone.
        """
        path = self.path_of(sha256)
        try:
            status = path.stat()
            mark = (status.st_size, status.st_mtime_ns)
            if self._seen_whole.get(sha256) != mark:
                if hash_file(path).sha256 != sha256:
                    raise ServiceError(
                        Problem.OBJECT_DAMAGED,
                        f"The stored file {sha256} no longer has the bytes that were received: restore it "
                        "from the backup, or send the image again.",
                    )
                self._remember(sha256, mark)
        except FileNotFoundError as error:
            raise ServiceError(
                Problem.OBJECT_DAMAGED,
                f"The stored file {sha256} is gone: restore it from the backup, or send the image again.",
            ) from error
        return path

    def remove(self, sha256: str) -> None:
        """Remove an object that nobody refers to; one that is not there is no error."""
        self.path_of(sha256).unlink(missing_ok=True)

    def _is_whole(self, item: StoredObject, target: Path) -> bool:
        # A damaged object is replaced by the good bytes that have just come in.
        return (
            target.is_file()
            and target.stat().st_size == item.n_bytes
            and hash_file(target).sha256 == item.sha256
        )

    def _remember(self, sha256: str, mark: tuple[int, int]) -> None:
        if len(self._seen_whole) >= 100_000:  # about 20 MB of marks
            self._seen_whole.clear()
        self._seen_whole[sha256] = mark


def hash_file(file: Path) -> StoredObject:
    """Give a file's SHA-256 and size, a megabyte at a time."""
    digest = hashlib.sha256()
    n_bytes = 0
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            n_bytes += len(chunk)
    return StoredObject(digest.hexdigest(), n_bytes)


def _flush_file(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows has no handle on a folder; NTFS journals the rename itself
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
