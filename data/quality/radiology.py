"""Says what is amiss with a radiological series: what its header leaves out, missing slices, spoilt grey.

References
----------
PS3.3 C.8.11.1 (DX: view and laterality), C.7.6.2 (Image Plane: slice thickness and position).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.dicom.burned_in import Doubt, doubt_of, find_text
from data.dicom.header import Header, numbers_of
from data.quality.finding import Fault, Finding
from data.study import Modality, Series

# Radiographs: one picture is one view, and its grey has a meaning of its own.
RADIOGRAPHS: Final = frozenset(
    {Modality.COMPUTED_RADIOGRAPHY, Modality.DIGITAL_RADIOGRAPHY, Modality.MAMMOGRAPHY}
)
STACKS: Final = frozenset({Modality.CT, Modality.MR, Modality.PET})

# Times the gap before or after it, whichever is wider: a change of spacing is no gap.
MOST_GAP = 1.6
MOST_THICKNESS_MM = 5.0
# Of the inner three quarters of a radiograph; 99 of 100 chest radiographs have less than .03.
MOST_CLIPPED = 0.05
# The rim of a radiograph is air, so darker than its middle: of 208 chest radiographs one is brighter.
MOST_RIM_ABOVE_MIDDLE = 0.0

_PAIRED = re.compile(
    r"ANKLE|ARM|AXILLA|BREAST|CALCANEUS|CLAVICLE|ELBOW|EXTREMITY|FEMUR|FIBULA|FINGER|FOOT|FOREARM|HAND|HIP|"
    r"HUMERUS|KNEE|LEG|PATELLA|RADIUS|SCAPULA|SHOULDER|THIGH|THUMB|TIBIA|TOE|ULNA|WRIST"
)
_CLASSES: Final[Mapping[str, frozenset[str]]] = {
    "1.2.840.10008.5.1.4.1.1.1": frozenset({"CR"}),
    "1.2.840.10008.5.1.4.1.1.1.1": frozenset({"DX", "PX"}),
    "1.2.840.10008.5.1.4.1.1.1.1.1": frozenset({"DX", "PX"}),
    "1.2.840.10008.5.1.4.1.1.1.2": frozenset({"MG"}),
    "1.2.840.10008.5.1.4.1.1.1.2.1": frozenset({"MG"}),
    "1.2.840.10008.5.1.4.1.1.2": frozenset({"CT"}),
    "1.2.840.10008.5.1.4.1.1.2.1": frozenset({"CT"}),
    "1.2.840.10008.5.1.4.1.1.4": frozenset({"MR"}),
    "1.2.840.10008.5.1.4.1.1.4.1": frozenset({"MR"}),
    "1.2.840.10008.5.1.4.1.1.6.1": frozenset({"US", "IVUS"}),
    "1.2.840.10008.5.1.4.1.1.3.1": frozenset({"US", "IVUS"}),
    "1.2.840.10008.5.1.4.1.1.20": frozenset({"NM"}),
    "1.2.840.10008.5.1.4.1.1.128": frozenset({"PT"}),
    "1.2.840.10008.5.1.4.1.1.130": frozenset({"PT"}),
}


def judge_header(header: Header, series: Series) -> Iterator[Finding]:
    """Say what a series' header leaves out or contradicts.

    Parameters
    ----------
    header : Header
        Of one of its instances.
    series : Series
        As it was read.
    """
    modality = header.text("Modality").upper()
    expected = _CLASSES.get(header.text("SOPClassUID"))
    if not modality or (expected is not None and modality not in expected):
        yield Finding(Fault.MODALITY_WRONG)
    if series.modality in RADIOGRAPHS:
        if not series.view:
            yield Finding(Fault.VIEW_MISSING)
        is_paired = series.modality is Modality.MAMMOGRAPHY or _PAIRED.search(series.body_part.upper())
        if is_paired and series.laterality.upper() not in {"L", "R", "B"}:
            yield Finding(Fault.LATERALITY_MISSING)
    if series.modality is Modality.CT:
        thickness = numbers_of(header.dataset, "SliceThickness")
        if thickness and thickness[0] > MOST_THICKNESS_MM:
            yield Finding(Fault.SLICES_TOO_THICK, thickness[0], MOST_THICKNESS_MM)
    if doubt_of(header.dataset) is Doubt.DECLARED:
        yield Finding(Fault.TEXT_IN_PICTURE)


def judge_places(series: Series) -> Iterator[Finding]:
    """Say whether slices are missing in between, for each orientation of a series."""
    if series.modality not in STACKS:
        return
    places: dict[tuple[float, float, float], list[float]] = {}
    for frame in series.frames:
        if frame.normal is None or frame.position_mm is None or "LOCALIZER" in frame.instance.image_type:
            continue
        places.setdefault(frame.normal, []).append(frame.position_mm)
    gaps = [gap for along in places.values() if (gap := widest_gap(along)) > MOST_GAP]
    if gaps:
        yield Finding(Fault.SLICES_MISSING, max(gaps), MOST_GAP)


def widest_gap(places_mm: Sequence[float]) -> float:
    """Give the widest gap between neighbouring slices, as a multiple of the wider gap beside it.

    Parameters
    ----------
    places_mm : sequence of float, mm
        Places along one normal, in any order; several slices at one place are one.

    Examples
    --------
    >>> widest_gap([0, 1, 2, 4, 5, 6]), widest_gap([0, 1, 2, 3, 5.5, 8, 10.5])
    (2.0, 1.0)
    """
    distinct = np.unique(np.round(np.asarray(places_mm, np.float64), 2))
    steps = np.diff(distinct)
    if steps.size < 4:
        return 1.0
    beside = np.maximum(np.r_[steps[1], steps[:-1]], np.r_[steps[1:], steps[-2]])
    # One change of spacing makes one of its two sides wide; a gap is wider than both.
    return float((steps / beside).max().clip(1.0))


def judge_radiograph(picture: NDArray[np.uint8]) -> Iterator[Finding]:
    """Say whether the grey of a radiograph, as displayed, is clipped or inverted."""
    if picture.ndim != 2 or min(picture.shape) < 32:
        return
    rows, columns = picture.shape
    inner = picture[rows // 8 : rows - rows // 8, columns // 8 : columns - columns // 8]
    clipped = float(np.mean((inner >= 254) | (inner <= 1)))
    if clipped > MOST_CLIPPED:
        yield Finding(Fault.GREY_CLIPPED, clipped, MOST_CLIPPED)
    width = columns // 16
    rim = np.concatenate([picture[:, :width].ravel(), picture[:, -width:].ravel()])
    middle = picture[rows // 4 : rows - rows // 4, columns // 2 - width : columns // 2 + width]
    above = float(np.median(rim) - np.median(middle))
    if above > MOST_RIM_ABOVE_MIDDLE:
        yield Finding(Fault.GREY_INVERTED, above, MOST_RIM_ABOVE_MIDDLE)


def judge_text(picture: NDArray[np.uint8]) -> Iterator[Finding]:
    """Say whether a picture seems to hold text."""
    if find_text(picture):
        yield Finding(Fault.TEXT_IN_PICTURE)
