"""What of a study a model is given, and why it may be given nothing.

Of a CT study, whose series often show the same head several times (a scout, thin and thick slices, a bone
kernel, reformats, a page of doses), the model takes the axial slices, and of every stretch of the body one
reconstruction: see :func:`series_taken`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from data.study import Frame, Modality, QuantityUnit, Series, Study
from models.body_part import part_of, parts_named
from models.card import InputRules

# Planes tilted further than this against the body's axis are no axial slices; gantries tilt up to 30 degrees.
LARGEST_TILT_DEGREES = 45.0

# Of two reconstructions the one nearer to this distance is taken: that of the slices radiologists read.
USUAL_SPACING_MM = 5.0

# A stack of fewer places is a marker of the scan's planning wherever there is a longer one.
FEWEST_PLACES = 3

# A reconstruction of which this part lies where another was taken already adds nothing.
LARGEST_OVERLAP = 0.5

_SHARP_WORDS = re.compile(r"bone|lung|edge|sharp|detail|骨|肺", re.IGNORECASE)
_SHARP_NUMBERS = re.compile(r"(?:[bhj][rv]?([5-9]\d)[a-z]?|fc(3\d|8\d))\b", re.IGNORECASE)
_CONTRAST_WORDS = re.compile(
    r"contrast|angio|(?<![a-z])ct[av](?![a-z])|\+\s?c(?![a-z])|增强|造影|动脉期|静脉期", re.IGNORECASE
)
_WITHOUT_CONTRAST = re.compile(r"without|w/o|non-?\s?contrast|(?<![a-z])no contrast|平扫", re.IGNORECASE)


def series_taken(study: Study, rules: InputRules) -> tuple[Series, ...]:
    """Give the part of a study that a model scores.

    Series of another modality or body part fall out, and so do frames that are too small; of a study that
    has none of the modalities those count that the model takes when it is named. A series that does not
    state its body part is told by its description, else by what the rest of the study says, as long as that
    is one thing; where nothing is said at all it is taken. :func:`why_not` decides of both.

    Notes
    -----
    Of CT only axial slices are taken: no frame whose Image Type says LOCALIZER, none tilted by more than 45
    degrees, and, where the study has Hounsfield units, none without (captured screens, renderings). Frames
    whose geometry is unknown are taken. Of what remains, stacks of fewer than three places fall out where
    there is a longer one, and of stacks that cover the same stretch one is taken: a soft kernel before a
    sharp one, without contrast medium before with it, the spacing nearest to 5 mm, then the first.
    """
    rules = _rules_as_named(study, rules)
    taken = []
    for series in study.series:
        if series.modality in rules.modalities and _shows(series, study, rules):
            frames = tuple(
                frame
                for frame in series.frames
                if min(frame.instance.rows, frame.instance.columns) >= rules.min_side_px
            )
            if frames:
                taken.append(replace(series, frames=frames))
    ct = {row: series for row, series in enumerate(taken) if series.modality is Modality.CT}
    chosen = {stack.row: stack.series for stack in _one_of_each_stretch(_axial_stacks(ct))}
    return tuple(
        chosen.get(row, series) for row, series in enumerate(taken) if row not in ct or row in chosen
    )


def why_not(study: Study, rules: InputRules, *, is_named: bool = False) -> str:
    """Say in a clause why a model does not take a study; empty where it does.

    A model for a body part is not given a study that does not say what it shows, nor any model a modality
    that it takes only when it is named, unless a person named that model (`is_named`).
    """
    usual = ", ".join(rules.modalities)
    if is_named:
        rules = _rules_as_named(study, rules)
    of_modality = [series for series in study.series if series.modality in rules.modalities]
    if not of_modality:
        return f"takes {usual}" + (
            f", and {', '.join(rules.when_named)} where it is named" if rules.when_named else ""
        )
    if rules.body_parts:
        parts = ", ".join(rules.body_parts)
        shown = [series for series in of_modality if _shows(series, study, rules)]
        if not shown:
            said = _said_anywhere(study, rules)
            return f"takes {parts}, and the study says {', '.join(sorted(said))}"
        if not is_named and not _said_anywhere(study, rules):
            return f"takes {parts}, and neither Body Part Examined nor a description says what it shows"
    taken = series_taken(study, rules)
    if not taken:
        large = f"pictures of at least {rules.min_side_px} px on the shorter side"
        is_ct = any(series.modality is Modality.CT for series in of_modality)
        return f"takes axial slices, no scouts or reformats, and {large}" if is_ct else f"takes {large}"
    n_frames = sum(len(series.frames) for series in taken)
    if n_frames > rules.max_frames:
        return f"takes at most {rules.max_frames} frames, not {n_frames}"
    return ""


def is_taken_as_named_only(study: Study, rules: InputRules) -> bool:
    """Whether a model takes nothing of a study unless it is named, and something then."""
    modalities = {series.modality for series in study.series}
    return modalities.isdisjoint(rules.modalities) and not modalities.isdisjoint(rules.when_named)


def _rules_as_named(study: Study, rules: InputRules) -> InputRules:
    if not is_taken_as_named_only(study, rules):
        return rules
    return rules.model_copy(update={"modalities": rules.when_named})


def _shows(series: Series, study: Study, rules: InputRules) -> bool:
    """Whether a series shows one of the body parts, or may for all that is said."""
    wanted = {part_of(part) for part in rules.body_parts}
    if not wanted:
        return True
    if said := _said_of(series):
        return bool(said & wanted)
    return _said_anywhere(study, rules) <= wanted


def _said_of(series: Series) -> frozenset[str]:
    if series.body_part:
        return parts_named(series.body_part) or frozenset({part_of(series.body_part)})
    return parts_named(series.description)


def _said_anywhere(study: Study, rules: InputRules) -> frozenset[str]:
    """Collect the body parts that a study's descriptions and its series of these modalities name."""
    of_series = (_said_of(series) for series in study.series if series.modality in rules.modalities)
    return parts_named(study.description).union(*of_series)


@dataclass(frozen=True, slots=True)
class _Stack:
    """The axial slices of the study's series number `row`, and their stretch along the body, where known."""

    row: int
    series: Series
    n_places: int
    spacing_mm: float
    extent_mm: tuple[float, float] | None

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """What makes it the better reconstruction of a stretch; the lowest is taken."""
        words = f"{self.series.kernel} {self.series.description}"
        is_sharp = bool(_SHARP_WORDS.search(words) or _SHARP_NUMBERS.search(self.series.kernel))
        has_contrast = bool(_CONTRAST_WORDS.search(words)) and not _WITHOUT_CONTRAST.search(words)
        return is_sharp, has_contrast, abs(float(np.log(self.spacing_mm / USUAL_SPACING_MM)))

    def overlap(self, other: "_Stack") -> float:
        """Give the part of this stack's stretch that the other covers; 0 where either has no geometry."""
        if self.extent_mm is None or other.extent_mm is None:
            return 0.0
        (low, high), (others_low, others_high) = self.extent_mm, other.extent_mm
        return max(0.0, min(high, others_high) - max(low, others_low)) / (high - low)


def _axial_stacks(ct: Mapping[int, Series]) -> list[_Stack]:
    has_units = any(
        _is_axial(frame) and _has_units(frame) for series in ct.values() for frame in series.frames
    )
    stacks = []
    for row, series in ct.items():
        frames = tuple(
            frame for frame in series.frames if _is_axial(frame) and (_has_units(frame) or not has_units)
        )
        if frames:
            stacks.append(_stack(row, replace(series, frames=frames)))
    longest = max((stack.n_places for stack in stacks), default=0)
    return [stack for stack in stacks if stack.n_places >= min(FEWEST_PLACES, longest)]


def _one_of_each_stretch(stacks: Sequence[_Stack]) -> list[_Stack]:
    chosen: list[_Stack] = []
    for stack in sorted(stacks, key=lambda one: one.rank):
        if all(stack.overlap(other) < LARGEST_OVERLAP for other in chosen):
            chosen.append(stack)
    return chosen


def _stack(row: int, series: Series) -> _Stack:
    heights_mm = [_height_mm(frame) for frame in series.frames]
    known = sorted({round(height, 1) for height in heights_mm if height is not None})
    if len(known) < 2 or None in heights_mm:
        n_places = len(known) if None not in heights_mm else len(series.frames)
        return _Stack(row, series, n_places, USUAL_SPACING_MM, None)
    spacing_mm = float(np.median(np.diff(known)))
    extent_mm = (known[0] - spacing_mm / 2, known[-1] + spacing_mm / 2)
    return _Stack(row, series, len(known), spacing_mm, extent_mm)


def _height_mm(frame: Frame) -> float | None:
    """Give a slice's place towards the head, whichever way its normal points."""
    if frame.position_mm is None or frame.normal is None:
        return frame.position_mm
    return frame.position_mm if frame.normal[2] >= 0 else -frame.position_mm


def _is_axial(frame: Frame) -> bool:
    if "LOCALIZER" in frame.instance.image_type:
        return False
    return frame.normal is None or abs(frame.normal[2]) >= np.cos(np.radians(LARGEST_TILT_DEGREES))


def _has_units(frame: Frame) -> bool:
    return frame.instance.unit is QuantityUnit.HOUNSFIELD
