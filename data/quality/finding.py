"""What may be amiss with an image or a series: a code, what was measured, and the mend in two languages.

A finding never keeps an image from being taken, scored or read: it tells who sends it what another picture
would show better.
"""

from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """The stable code of a finding."""

    BLURRED = "blurred"
    NOISY = "noisy"
    TOO_DARK = "too-dark"
    TOO_BRIGHT = "too-bright"
    COLOUR_CAST = "colour-cast"
    GLARE = "glare"
    HAIR = "hair"
    LOW_RESOLUTION = "low-resolution"
    NO_LESION = "no-lesion"
    LESION_TOO_SMALL = "lesion-too-small"
    LESION_CUT_OFF = "lesion-cut-off"
    VIEW_MISSING = "view-missing"
    LATERALITY_MISSING = "laterality-missing"
    MODALITY_WRONG = "modality-wrong"
    SLICES_MISSING = "slices-missing"
    SLICES_TOO_THICK = "slices-too-thick"
    TEXT_IN_PICTURE = "text-in-picture"
    GREY_CLIPPED = "grey-clipped"
    GREY_INVERTED = "grey-inverted"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something amiss.

    Attributes
    ----------
    fault : Fault
    measured, limit : float or None
        What was measured and where the fault begins, in the unit that the fault's words name.
    instance : str or None
        SOP Instance UID of the image, None if the series is meant.
    series : str or None
        Series Instance UID.
    """

    fault: Fault
    measured: float | None = None
    limit: float | None = None
    instance: str | None = None
    series: str | None = None


@dataclass(frozen=True, slots=True)
class Words:
    """A fault in one language: what is amiss, and what to do."""

    problem: str
    remedy: str
