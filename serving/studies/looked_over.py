"""What is amiss with a whole study, told from the headers of its series."""

import logging

from data.quality.finding import Finding
from data.quality.study import look_over_series
from data.study import Study

log = logging.getLogger(__name__)


def looked_over(study: Study) -> tuple[Finding, ...] | None:
    """Give what is amiss with the series of a whole study; None if a measurement goes wrong.

    A study is taken, scored and read whatever its headers hold.
    """
    try:
        return look_over_series(study)
    except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as error:
        log.error("a whole study could not be looked over (%s)", type(error).__name__)
        return None
