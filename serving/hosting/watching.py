"""Looks for stuck studies now and then, for as long as the service runs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from serving.now_and_then import now_and_then
from serving.scoring.watchdog import Watchdog

log = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOOKS = 60.0


@contextmanager
def watching(watchdog: Watchdog) -> Iterator[None]:
    """Have what is stuck named in the log, each study once."""

    def look() -> None:
        try:
            watchdog.name_new()
        except watchdog.database.failures as error:
            log.warning("what is stuck could not be looked for: %s", error)

    with now_and_then(look, every_s=_SECONDS_BETWEEN_LOOKS, name="watchdog"):
        yield
