"""Whether images can be stored now: tried by writing, not too often."""

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from serving.errors import ServiceError
from serving.store.objects import ObjectStore

# A load balancer asks every second or two; a disk that was full 10 s ago is asked again.
_GOOD_FOR_S = 10.0


class StorageCheck:
    """Tries the object store and looks at the room of the disk on which uploads arrive.

    Parameters
    ----------
    objects : ObjectStore
        Gets something small written.
    spool : Path
        A folder of the disk that holds uploads and the database.
    min_free_bytes : int
        A disk with less is full.
    clock : callable
        Gives seconds that only grow.
    """

    def __init__(
        self,
        objects: ObjectStore,
        spool: Path,
        *,
        min_free_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._objects = objects
        self._spool = spool
        self._min_free_bytes = min_free_bytes
        self._clock = clock
        self._turn = threading.Lock()
        self._known_until_s = float("-inf")
        self._problem: str | None = None

    @property
    def place(self) -> str:
        """Where the objects are."""
        return self._objects.place

    def free_bytes(self) -> int | None:
        """Give what is free on the disk of uploads, None if it cannot be looked at."""
        try:
            return shutil.disk_usage(self._spool).free
        except OSError:
            return None

    def problem(self) -> str | None:
        """Say why images cannot be stored, None if they can; an answer holds for ten seconds."""
        with self._turn:  # those that ask at the same time wait for one answer
            if self._clock() >= self._known_until_s:
                self._problem = self._tried()
                self._known_until_s = self._clock() + _GOOD_FOR_S
            return self._problem

    def _tried(self) -> str | None:
        try:
            free = shutil.disk_usage(self._spool).free
            if free < self._min_free_bytes:
                return f"the disk of uploads has {free:,} bytes free, fewer than {self._min_free_bytes:,}"
            self._objects.check_writable()
        except ServiceError as error:
            return error.detail
        except OSError as error:
            return f"{self._spool} cannot be looked at: {error.strerror}"
        return None
