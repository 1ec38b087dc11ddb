"""Looks for stuck studies now and then, for as long as the service runs."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from serving.scoring.watchdog import Watchdog

log = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOOKS = 60.0


@contextmanager
def watching(watchdog: Watchdog) -> Iterator[None]:
    """Have what is stuck named in the log, each study once."""
    stopping = threading.Event()

    def look() -> None:
        while not stopping.wait(_SECONDS_BETWEEN_LOOKS):
            try:
                watchdog.name_new()
            except watchdog.database.failures as error:
                log.warning("what is stuck could not be looked for: %s", error)

    thread = threading.Thread(target=look, name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
