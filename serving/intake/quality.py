"""Looks over the studies of an upload while the patient is still there, within a bound of time and memory."""

import logging
from collections.abc import Sequence

from data.quality.finding import Finding
from data.quality.study import MOST_PICTURES, SINGLE_VIEWS, look_over
from data.study import Study

log = logging.getLogger(__name__)

# Over all studies of an upload: a tenth of a second each, so the answer to a hundred photographs comes too.
MOST_PICTURES_AN_UPLOAD = 24


def look_over_each(studies: Sequence[Study], *, are_parts: bool = False) -> list[tuple[Finding, ...]]:
    """Give what is amiss with each study; the pixels of the first pictures alone are looked at.

    Whatever goes wrong in a measurement, the study is taken: it is then told nothing of. Of `are_parts` the
    stacks are left out: a slice by itself says nothing of its stack, which is looked over once it is whole.
    """
    found: list[tuple[Finding, ...]] = []
    left = MOST_PICTURES_AN_UPLOAD
    for study in studies:
        if are_parts and not any(series.modality in SINGLE_VIEWS for series in study.series):
            found.append(())
            continue
        try:
            found.append(look_over(study, most_pictures=min(left, MOST_PICTURES)))
        except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as error:
            log.error("a study could not be looked over (%s)", type(error).__name__)
            found.append(())
        left = max(0, left - min(MOST_PICTURES, sum(1 for _ in study.frames)))
    return found
