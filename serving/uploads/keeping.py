"""Looks after uploads while the service runs: what waits to be taken, and what nobody goes on with."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from serving.uploads.service import Uploads

log = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOOKS = 15.0


@contextmanager
def keeping(uploads: Uploads) -> Iterator[None]:
    """Have house kept at once, for what a server that died left, and then now and then."""
    stopping = threading.Event()

    def look() -> None:
        while True:
            try:
                uploads.keep_house()
            except (*uploads.intake.database.failures, OSError) as error:
                log.warning("uploads could not be looked after: %s", type(error).__name__)
            if stopping.wait(_SECONDS_BETWEEN_LOOKS):
                return

    thread = threading.Thread(target=look, name="uploads", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
