"""The bytes of files on their way in: a file each in a folder of this machine, and who writes to which.

What a row says of a file has been flushed before; bytes behind that are of a request that was cut off, and
are dropped when the next one begins. A lock of the operating system holds off a second writer, of this
process or of another on the same folder, and falls with the process that holds it.
"""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from serving.errors import Problem, ServiceError

_LOCK = ".lock"


class KeptFiles:
    """The folder of files on their way; made if it does not exist."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path_of(self, key: str) -> Path:
        """Give the place of a file; `key` is one that the service made, never a sender's word."""
        return self.folder / key

    def locked(self, key: str) -> FileLock:
        """Take a file, or a batch, for one request alone; who takes it releases it.

        Raises
        ------
        ServiceError
            `UPLOAD_BUSY` if another one has it.
        """
        lock = FileLock(self.folder / f"{key}{_LOCK}", timeout=0, thread_local=False)
        try:
            lock.acquire()
        except Timeout as error:
            raise ServiceError(
                Problem.UPLOAD_BUSY,
                "Another request is at this upload: ask for its offset in a while, and go on from there.",
                headers={"Retry-After": "1"},
            ) from error
        return lock

    @contextmanager
    def alone_at(self, key: str) -> Iterator[None]:
        """Hold a lock for as long as this lasts; see :meth:`locked`."""
        lock = self.locked(key)
        try:
            yield
        finally:
            lock.release()

    def open_at(self, key: str, n_received: int) -> BinaryIO:
        """Open a file behind what was told of it; what lies there of a cut-off request goes.

        Raises
        ------
        ServiceError
            `STORAGE_UNAVAILABLE` if its bytes are not on this machine.
        """
        path = self.path_of(key)
        if n_received == 0:
            is_new = not path.exists()
            stream = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "r+b")
            if is_new:
                flush_folder(self.folder)
            return stream
        try:
            stream = path.open("r+b")
        except FileNotFoundError as error:
            raise elsewhere() from error
        if stream.seek(0, os.SEEK_END) < n_received:
            stream.close()
            raise elsewhere()
        stream.truncate(n_received)
        stream.seek(n_received)
        return stream

    def remove(self, key: str) -> None:
        """Remove a file's bytes."""
        self.path_of(key).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # Windows removes no lock that somebody holds
            (self.folder / f"{key}{_LOCK}").unlink(missing_ok=True)

    def untouched(self, *, before_s: float) -> list[str]:
        """Give the keys of files, and of locks, that nobody wrote to since a time."""
        keys: set[str] = set()
        for path in self.folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < before_s:
                    keys.add(path.name.removesuffix(_LOCK))
        return sorted(keys)


def flush_folder(folder: Path) -> None:
    """Have the names in a folder reach the disk."""
    if os.name == "nt":
        return  # Windows has no handle on a folder; NTFS journals the names itself
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def elsewhere() -> ServiceError:
    """Make the error of bytes that came to another machine, or were lost with a disk."""
    return ServiceError(
        Problem.STORAGE_UNAVAILABLE,
        "What has come of this upload is not on this server: where several share a database, the proxy must "
        "send an upload to one of them or they must share FIRSTREAD_HOME. Else end it, and send it anew.",
    )
