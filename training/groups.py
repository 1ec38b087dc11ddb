"""Whom a model serves how well: its figures by sex, age, body site and skin tone, and the gaps between.

A group's figure stands only where enough lesions speak for it; elsewhere it says "too few". Lesions are
counted, not images, for the images of one lesion are no separate witnesses:

* Sensitivity takes 30 positive lesions, specificity 30 negative ones, the area for one class 30 of it and 30
  others. A proportion of 30 is known to within 18 points; with fewer, chance decides which group is worst.
* A mean over classes runs over the same classes in every group, or the group with the easier diseases would
  win: those with 30 lesions in the whole set, at least two. It takes 30 / (number of these classes) lesions
  of each, and so rests on as much as one proportion of 30.
* The expected calibration error takes 150, ten for each of its bins, and even so it grows by chance alone as
  a group shrinks. So groups are not compared by it but by their overconfidence, which does not.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.calibration import expected_calibration_error, score_of, wilson_interval
from models.card import Interval, Metric
from models.measures import auc, auc_of_classes, bootstrap_interval, recall_of_classes
from training import markdown
from training.attributes import SKIN_TONE, Attribute

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
Mask = NDArray[np.bool_]

MIN_LESIONS = 30
MIN_LESIONS_FOR_ECE = 150
TOO_FEW = "too few"
UNKNOWN = "not known"
# Draws of the range of equal groups: its 95 % point is then known to 1 %.
N_RANGES = 10_000
Z_95 = 1.959964

_INTRODUCTION = f"""## Groups

Figures of the test folds at the operating point "balanced", with 95 % intervals; cases (lesions or patients)
are resampled whole. "{TOO_FEW.capitalize()}": below {MIN_LESIONS} cases of the kind that the figure rests on
({MIN_LESIONS_FOR_ECE} for the expected calibration error). Overconfidence is mean confidence less accuracy. A
gap lies between the groups that turned out highest and lowest; were all groups equal, it would stay below the
last column 19 times of 20."""
_ON_SKIN_TONE = """The skin tone is an estimate: the individual typology angle of the skin around the lesion,
as the camera showed it (cut-offs 55, 41, 28, 10 and -30 degrees). It depends on light and white balance and
says nothing of a person; where the white balance is colder than any skin, there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class JudgedSet:
    """What a calibrated model says of labelled images.

    Attributes
    ----------
    probabilities : (n_rows, n_classes) float64
        Calibrated; every row sums to 1.
    labels : (n_rows,) int64
        Index of the true class.
    lesions : (n_rows,) str
        The lesion or patient of each image.
    class_keys : tuple of str
        The classes' keys.
    positive_keys : tuple of str
        Of the classes that the operating point flags.
    threshold : float
        On the summed probability of the positive classes.
    watched_key : str or None
        The class whose own area is measured, melanoma on skin.
    """

    probabilities: Floats
    labels: NDArray[np.int64]
    lesions: NDArray[np.str_]
    class_keys: tuple[str, ...]
    positive_keys: tuple[str, ...]
    threshold: float
    watched_key: str | None = None

    def __post_init__(self) -> None:
        n_rows, n_classes = self.probabilities.shape
        if self.labels.shape != (n_rows,) or self.lesions.shape != (n_rows,):
            raise ValueError(
                f"shapes disagree: probabilities {self.probabilities.shape}, labels {self.labels.shape}, "
                f"lesions {self.lesions.shape}"
            )
        if n_classes != len(self.class_keys):
            raise ValueError(f"{n_classes} probabilities a row, but {len(self.class_keys)} classes")
        wanted = {*self.positive_keys, *([self.watched_key] if self.watched_key else [])}
        if not wanted <= set(self.class_keys):
            raise ValueError(f"{sorted(wanted - set(self.class_keys))} are none of {self.class_keys}")


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """One group: its size, and each figure or None where there is too little to tell."""

    name: str
    n_images: int
    n_lesions: int
    figures: Mapping[str, Interval | None]


@dataclass(frozen=True, slots=True)
class Gap:
    """How far the groups with the highest and the lowest value of a figure are apart.

    Attributes
    ----------
    figure : str
        What is compared.
    highest, lowest : str
        The two groups.
    difference : Interval
        Between these two.
    by_chance : float
        Were all groups equal, the highest and the lowest would lie closer together than this 19 times of 20.
    """

    figure: str
    highest: str
    lowest: str
    difference: Interval
    by_chance: float


@dataclass(frozen=True, slots=True)
class AttributeFigures:
    """Every group of one attribute, the gaps between them, and the images of which it is not known."""

    name: str
    groups: tuple[GroupFigures, ...]
    gaps: tuple[Gap, ...]
    unknown: GroupFigures | None


def measure_groups(
    judged: JudgedSet, attributes: Sequence[Attribute], *, seed: int, n_resamples: int = 1000
) -> tuple[AttributeFigures, ...]:
    """Measure every group of every attribute, and the gaps between the groups.

    Parameters
    ----------
    judged : JudgedSet
        Images that neither the weights nor the calibration have seen.
    attributes : sequence of Attribute
        Of the same rows.
    seed : int
        Of the draws.
    n_resamples : int
        Draws for each interval, lesions whole.

    Raises
    ------
    ValueError
        If an attribute has another number of rows, or a group that is missing in its order.

    Notes
    -----
    A gap is the difference of the two groups that turned out highest and lowest, its interval made of theirs
    by the square-and-add rule [1]_. Of many equal groups some two always lie apart; how far is simulated:
    each group's value is drawn from a normal distribution as wide as its interval says, all around one mean,
    and the range of the draws has its 95 % point at `by_chance`. Of 60 drawn sets with five equal groups, 15
    to 38 % (by figure) had a gap whose own interval lay above 0, but 3 to 10 % one above `by_chance`.

    Where all of a group's positives (or negatives) are called right, or all wrong, every draw of lesions
    says the same, and the interval is Wilson's instead, for as many trials as there are lesions.

    References
    ----------
    .. [1] R. G. Newcombe, "Interval estimation for the difference between independent proportions",
       Statistics in Medicine 17 (1998) 873-890.
    """
    figures = _figures(judged)
    return tuple(
        _measure_attribute(judged, one, figures, seed=seed, n_resamples=n_resamples) for one in attributes
    )


def group_metrics(measured: Sequence[AttributeFigures], split: str) -> tuple[Metric, ...]:
    """Give the figures as the machine's card holds them; those with too few lesions are left out."""
    return tuple(
        Metric(name=name, split=split, figure=interval, group=f"{attribute.name}: {group.name}")
        for attribute in measured
        for group in (*attribute.groups, *([attribute.unknown] if attribute.unknown else []))
        for name, interval in group.figures.items()
        if interval is not None
    )


def section(measured: Sequence[AttributeFigures]) -> str:
    """Give the card's part on fairness as Markdown: a table an attribute, and its gaps."""
    parts = [_INTRODUCTION, *(_attribute_section(attribute) for attribute in measured)]
    if any(attribute.name == SKIN_TONE for attribute in measured):
        parts.append(_ON_SKIN_TONE)
    return "\n\n".join(parts)


@dataclass(frozen=True, slots=True, eq=False)
class _Figure:
    """A figure of any rows; `counts` are the rows it looks at, `is_enough` says whether they will do."""

    name: str
    of: Callable[[Rows], float]
    counts: Mask
    is_enough: Callable[[Rows], bool]
    is_compared: bool = True
    is_proportion: bool = False


def _figures(judged: JudgedSet) -> tuple[_Figure, ...]:
    labels, probabilities = judged.labels, judged.probabilities
    n_classes = len(judged.class_keys)
    predicted = np.asarray(probabilities.argmax(axis=1), np.int64)
    overconfidence = probabilities.max(axis=1) - (predicted == labels)
    places = [judged.class_keys.index(key) for key in judged.positive_keys]
    is_positive = np.isin(labels, places)
    is_called = score_of(probabilities, places) >= judged.threshold
    everything = np.ones(len(labels), np.bool_)

    def has(mask: Mask, n_least: int) -> Callable[[Rows], bool]:
        return lambda rows: _n_lesions(judged, rows[mask[rows]]) >= n_least

    def has_all(masks: Sequence[Mask], n_least: int) -> Callable[[Rows], bool]:
        return lambda rows: len(masks) > 1 and all(has(mask, n_least)(rows) for mask in masks)

    every_row = np.arange(len(labels))
    classes = [place for place in range(n_classes) if has(labels == place, MIN_LESIONS)(every_row)]
    has_classes = has_all(
        [labels == place for place in classes], math.ceil(MIN_LESIONS / max(len(classes), 1))
    )

    def mean_recall(rows: Rows) -> float:
        return _mean(recall_of_classes(labels[rows], predicted[rows], n_classes)[classes])

    def mean_area(rows: Rows) -> float:
        return _mean(auc_of_classes(labels[rows], probabilities[rows])[classes])

    figures = [
        _Figure(
            "sensitivity",
            lambda rows: _mean(is_called[rows]),
            is_positive,
            has(is_positive, MIN_LESIONS),
            is_proportion=True,
        ),
        _Figure(
            "specificity",
            lambda rows: _mean(~is_called[rows]),
            ~is_positive,
            has(~is_positive, MIN_LESIONS),
            is_proportion=True,
        ),
        _Figure("balanced_accuracy", mean_recall, everything, has_classes),
        _Figure("macro_auc", mean_area, everything, has_classes),
        _Figure(
            "expected_calibration_error",
            lambda rows: expected_calibration_error(probabilities[rows], labels[rows]),
            everything,
            has(everything, MIN_LESIONS_FOR_ECE),
            is_compared=False,
        ),
        _Figure(
            "overconfidence",
            lambda rows: _mean(overconfidence[rows]),
            everything,
            has(everything, MIN_LESIONS),
        ),
    ]
    if judged.watched_key is not None:
        place = judged.class_keys.index(judged.watched_key)
        watched = labels == place
        area = _Figure(
            f"auc_{judged.watched_key}",
            lambda rows: auc(watched[rows], probabilities[rows, place]),
            everything,
            has_all([watched, ~watched], MIN_LESIONS),
        )
        figures.insert(2, area)
    return tuple(figures)


def _measure_attribute(
    judged: JudgedSet, attribute: Attribute, figures: Sequence[_Figure], *, seed: int, n_resamples: int
) -> AttributeFigures:
    values = attribute.values
    if values.shape != judged.labels.shape:
        raise ValueError(f"{attribute.name} has {values.shape} rows, expected {judged.labels.shape}")
    unplaced = sorted({*values.tolist()} - {*attribute.order, ""})
    if unplaced:
        raise ValueError(f"{attribute.name} has groups without a place in its order: {', '.join(unplaced)}")
    groups = [
        _measure_group(judged, name, rows, figures, seed=seed, n_resamples=n_resamples)
        for name in (*attribute.order, "")
        if (rows := np.flatnonzero(values == name)).size
    ]
    unknown = groups.pop() if (values == "").any() else None
    gaps = [_gap(figure.name, groups, seed) for figure in figures if figure.is_compared]
    return AttributeFigures(
        name=attribute.name,
        groups=tuple(groups),
        gaps=tuple(gap for gap in gaps if gap is not None),
        unknown=unknown,
    )


def _measure_group(
    judged: JudgedSet, name: str, rows: Rows, figures: Sequence[_Figure], *, seed: int, n_resamples: int
) -> GroupFigures:
    measured = {
        figure.name: _interval(judged, figure, rows, seed=seed, n_resamples=n_resamples)
        if figure.is_enough(rows)
        else None
        for figure in figures
    }
    return GroupFigures(name or UNKNOWN, rows.size, _n_lesions(judged, rows), measured)


def _interval(judged: JudgedSet, figure: _Figure, rows: Rows, *, seed: int, n_resamples: int) -> Interval:
    looked_at = rows[figure.counts[rows]]
    interval = bootstrap_interval(
        lambda chosen: figure.of(looked_at[chosen]),
        judged.lesions[looked_at],
        n_resamples=n_resamples,
        seed=seed,
    )
    if not figure.is_proportion or 0.0 < interval.value < 1.0:
        return interval
    n_lesions = _n_lesions(judged, looked_at)
    wilson = wilson_interval(round(interval.value * n_lesions), n_lesions)
    return wilson.model_copy(update={"n": looked_at.size})


def _gap(figure: str, groups: Sequence[GroupFigures], seed: int) -> Gap | None:
    known = {group.name: interval for group in groups if (interval := group.figures[figure])}
    if len(known) < 2:
        return None
    lowest, *_, highest = sorted(known, key=lambda name: known[name].value)
    difference = _difference(known[highest], known[lowest])
    return Gap(figure, highest, lowest, difference, _gap_by_chance(list(known.values()), seed))


def _difference(high: Interval, low: Interval) -> Interval:
    """Subtract two figures of different cases; the sides of the interval add as squares."""
    value = high.value - low.value
    return Interval(
        value=value,
        low=value - math.hypot(high.value - high.low, low.high - low.value),
        high=value + math.hypot(high.high - high.value, low.value - low.low),
        n=high.n + low.n,
    )


def _gap_by_chance(intervals: Sequence[Interval], seed: int) -> float:
    """Give the 95 % point of the range of equal groups with these intervals."""
    deviations = np.array([interval.high - interval.low for interval in intervals]) / (2 * Z_95)
    draws = np.random.default_rng(seed).normal(0.0, deviations, (N_RANGES, len(intervals)))
    return float(np.quantile(np.ptp(draws, axis=1), 0.95))


def _attribute_section(attribute: AttributeFigures) -> str:
    groups = [*attribute.groups, *([attribute.unknown] if attribute.unknown else [])]
    names = list(groups[0].figures)
    text = f"### By {attribute.name}\n\n" + markdown.table(
        ("group", "images", "cases", *map(_title, names)),
        [
            (
                group.name,
                str(group.n_images),
                str(group.n_lesions),
                *(_text(group.figures[name]) for name in names),
            )
            for group in groups
        ],
    )
    if not attribute.gaps:
        return text + "\n\nNo two groups are large enough to be compared."
    gaps = [
        (_title(gap.figure), gap.highest, gap.lowest, _text(gap.difference), f"{gap.by_chance:.3f}")
        for gap in attribute.gaps
    ]
    return (
        text
        + "\n\n"
        + markdown.table(("gap in", "highest", "lowest", "difference (95 % interval)", "by chance"), gaps)
    )


def _title(figure: str) -> str:
    return figure.replace("_", " ").replace("auc", "AUC")


def _text(interval: Interval | None) -> str:
    if interval is None:
        return TOO_FEW
    return markdown.figure(interval)


def _n_lesions(judged: JudgedSet, rows: Rows) -> int:
    return len(np.unique(judged.lesions[rows]))


def _mean(values: NDArray[np.float64] | Mask) -> float:
    """Give the mean of those that are numbers, NaN of none."""
    numbers = np.asarray(values, np.float64)
    numbers = numbers[~np.isnan(numbers)]
    return float(numbers.mean()) if numbers.size else float("nan")
