"""Writes a run's files so that each is the old one or the new one, whole, at any moment.

A disk that fills up stops a run in one sentence, and leaves what was there before as it was.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from training.errors import SavingError

# No room: none on the disk, none left of the user's quota, or more than one file may hold.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a new file that takes the place of `path` when it is written, after a power cut too.

    Raises
    ------
    SavingError
        If the disk refuses; `path` is then as it was, and nothing half-written lies beside it.
    """
    partial = path.with_suffix(".partial")
    with saving(path):
        try:
            with partial.open("wb") as file:
                yield file
                file.flush()
                sync(file.fileno())
            partial.replace(path)
        except OSError:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise


@contextmanager
def saving(path: Path) -> Iterator[None]:
    """Say in one sentence that `path` could not be saved, whatever the system calls that."""
    try:
        yield
    except OSError as error:
        raise unsaved(path, error) from error


def unsaved(path: Path | str, error: OSError) -> SavingError:
    """Give the sentence for a file that the system refuses to write."""
    remedy = "free space" if error.errno in NO_ROOM else "mend that"
    return SavingError(
        f"{path} cannot be saved: {(error.strerror or str(error)).lower()}; {remedy} and give the command "
        "again, it goes on from what was saved before"
    )


def sync(descriptor: int) -> None:
    """Have the disk hold what was written to an open file."""
    os.fsync(descriptor)


def set_space_aside(path: Path, n_bytes: int) -> None:
    """Have the disk keep room for a file of this size, which is then mapped into memory and filled.

    A mapped file that grows on a full disk does not fail: the system kills the program. Where a disk cannot
    set space aside, the bytes are written.

    Raises
    ------
    SavingError
        If there is no room; the file is then removed.
    """
    with saving(path):
        try:
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, n_bytes)
        except OSError:
            path.unlink(missing_ok=True)
            raise
