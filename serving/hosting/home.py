"""The folder that holds what is not in the database: one process at a time works on it, or several.

With an SQLite database the home belongs to one process. With a PostgreSQL database several may share it, and
each has a folder of its own for the uploads that it receives.
"""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from serving.errors import StartError
from serving.settings import Settings

# More than any machine runs.
_MOST_PROCESSES = 256


@contextmanager
def occupied(settings: Settings) -> Iterator[Path]:
    """Make the home ready, keep off it who may not be there too, and give the folder for uploads.

    A lock is the operating system's: it falls with the process, however that ends.

    Raises
    ------
    StartError
        If another process works on it, or it cannot be written.
    """
    try:
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock, spool = _place_of_its_own(settings) if settings.database_url else _whole(settings)
    except OSError as error:
        raise StartError(
            f"{settings.home} cannot be written ({error.strerror}): name another --home."
        ) from error
    try:
        yield spool
    finally:
        lock.release()


def _whole(settings: Settings) -> tuple[FileLock, Path]:
    lock = FileLock(settings.lock_file)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise StartError(
            f"another firstread works on {settings.home}: stop it, or name another folder by --home."
        ) from error
    return lock, settings.spool_folder


def _place_of_its_own(settings: Settings) -> tuple[FileLock, Path]:
    """Take the first place that no living process has; its heir clears what one that died left there."""
    settings.spool_folder.mkdir(exist_ok=True, mode=0o700)
    for number in range(_MOST_PROCESSES):
        lock = FileLock(settings.spool_folder / f"{number}.lock")
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=0)
            return lock, settings.spool_folder / str(number)
    raise StartError(f"{_MOST_PROCESSES} processes work on {settings.home}: name another folder by --home.")
