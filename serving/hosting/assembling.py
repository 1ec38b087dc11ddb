"""Looks for studies whose quiet time is over, for as long as a service or a worker runs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from serving.intake.completing import Completing
from serving.now_and_then import now_and_then

log = logging.getLogger(__name__)

# Quiet times are meant in half minutes; a look at the few rows of what is arriving takes a tenth of a ms.
_SECONDS_BETWEEN_LOOKS = 1.0


@contextmanager
def assembling(completing: Completing, *, every_s: float = _SECONDS_BETWEEN_LOOKS) -> Iterator[None]:
    """Have every study taken for complete soon after its quiet time."""

    def look() -> None:
        try:
            completing.sweep()
        except completing.database.failures as error:
            log.warning("studies whose quiet time is over could not be looked for: %s", error)

    with now_and_then(look, every_s=every_s, name="assembly"):
        yield
