"""Looks after uploads while the service runs: what waits to be taken, and what nobody goes on with."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from serving.now_and_then import now_and_then
from serving.uploads.service import Uploads

log = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOOKS = 15.0


@contextmanager
def keeping(uploads: Uploads) -> Iterator[None]:
    """Have house kept at once, for what a server that died left, and then now and then."""

    def look() -> None:
        try:
            uploads.keep_house()
        except (*uploads.intake.database.failures, OSError) as error:
            log.warning("uploads could not be looked after: %s", type(error).__name__)

    with now_and_then(look, every_s=_SECONDS_BETWEEN_LOOKS, name="uploads", at_once=True):
        yield
