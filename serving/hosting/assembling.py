"""Looks for studies whose quiet time is over, for as long as a service or a worker runs."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from serving.intake.completing import Completing

log = logging.getLogger(__name__)

# Quiet times are meant in half minutes; a look at the few rows of what is arriving takes a tenth of a ms.
_SECONDS_BETWEEN_LOOKS = 1.0


@contextmanager
def assembling(completing: Completing, *, every_s: float = _SECONDS_BETWEEN_LOOKS) -> Iterator[None]:
    """Have every study taken for complete soon after its quiet time."""
    stopping = threading.Event()

    def look() -> None:
        while not stopping.wait(every_s):
            try:
                completing.sweep()
            except completing.database.failures as error:
                log.warning("studies whose quiet time is over could not be looked for: %s", error)

    thread = threading.Thread(target=look, name="assembly", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
