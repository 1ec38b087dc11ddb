"""What an operating point is to reach, and the threshold that reaches it on given studies."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from models.calibration import threshold_for_sensitivity, threshold_for_specificity
from models.card import ModelCard, OperatingPoint
from models.measures import roc_curve

PointName = Literal["rule-out", "balanced", "rule-in"]


@dataclass(frozen=True, slots=True)
class Aim:
    """What an operating point is to reach: a sensitivity, a specificity, or the largest sum of both."""

    name: PointName
    classes: tuple[str, ...]
    sensitivity: float | None = None
    specificity: float | None = None


def aims_of(
    card: ModelCard, *, sensitivity: float | None = None, specificity: float | None = None
) -> tuple[Aim, ...]:
    """Say what each operating point of a card is to reach on other studies.

    Parameters
    ----------
    card : ModelCard
        What it states counts: the figure wanted; where it tells none, "rule-out" keeps the sensitivity and
        "rule-in" the specificity that were measured, and "balanced" makes their sum largest.
    sensitivity, specificity : float or None
        Instead, for "rule-out" and "rule-in"; a point that the card lacks is added, on the classes of the
        one in use.
    """
    aims = []
    for point in card.operating_points:
        wanted = point.wanted_sensitivity, point.wanted_specificity
        if wanted == (None, None) and point.name == "rule-out":
            wanted = point.sensitivity.value, None
        if wanted == (None, None) and point.name == "rule-in":
            wanted = None, point.specificity.value
        aims.append(Aim(point.name, point.classes, *wanted))
    in_use = next(aim for aim in aims if aim.name == card.default_operating_point)
    by_name = {aim.name: aim for aim in aims}
    if sensitivity is not None:
        classes = by_name.get("rule-out", in_use).classes
        by_name["rule-out"] = Aim("rule-out", classes, sensitivity, None)
    if specificity is not None:
        classes = by_name.get("rule-in", in_use).classes
        by_name["rule-in"] = Aim("rule-in", classes, None, specificity)
    return tuple(by_name[name] for name in get_args(PointName) if name in by_name)


def point_in_use(card: ModelCard) -> OperatingPoint:
    """Give the operating point at which a study is flagged."""
    return next(point for point in card.operating_points if point.name == card.default_operating_point)


def threshold_for(aim: Aim, scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Choose the threshold that reaches an aim.

    Parameters
    ----------
    aim : Aim
    scores : (n_studies,) float64
        Calibrated.
    positive : (n_studies,) bool
        The truth; some of each.

    Examples
    --------
    >>> scores = np.array([0.1, 0.35, 0.4, 0.8])
    >>> round(threshold_for(Aim("balanced", ("ill",)), scores, scores > 0.5), 6)
    0.6
    """
    if aim.sensitivity is not None:
        return threshold_for_sensitivity(scores, positive, aim.sensitivity)
    if aim.specificity is not None:
        return threshold_for_specificity(scores, positive, aim.specificity)
    false_rate, true_rate = roc_curve(positive, scores)
    best = int(np.argmax(true_rate - false_rate))
    return threshold_for_sensitivity(scores, positive, float(true_rate[best]) or 1.0)
