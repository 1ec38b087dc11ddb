"""The folder that holds everything: one process at a time works on it."""

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from serving.errors import StartError
from serving.settings import Settings


@contextmanager
def occupied(settings: Settings) -> Iterator[None]:
    """Make the home ready and keep every other process off it.

    The lock is the operating system's: it falls with the process, however that ends.

    Raises
    ------
    StartError
        If another process works on it, or it cannot be written.
    """
    try:
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FileLock(settings.lock_file)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise StartError(
            f"another firstread works on {settings.home}: stop it, or name another folder by --home."
        ) from error
    except OSError as error:
        raise StartError(
            f"{settings.home} cannot be written ({error.strerror}): name another --home."
        ) from error
    try:
        yield
    finally:
        lock.release()
