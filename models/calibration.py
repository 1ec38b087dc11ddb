"""From logits to probabilities that mean what they say, and from probabilities to thresholds.

Temperature scaling divides all logits by one number, so it changes how sure the model is but never which
class it puts first. An operating point is a threshold on the summed probability of the classes that count;
a score at or above the threshold is called positive.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.card import Interval

Floats = NDArray[np.float64] | NDArray[np.float32]

# Where the temperature is sought. Near a border the logits carry no information (the upper), or separate
# the validation set without an error (the lower), and the figure should not be trusted.
TEMPERATURE_RANGE = (0.05, 20.0)

# The normal distribution's 97.5 % point, for two-sided 95 % intervals.
_Z_95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class ReliabilityCurve:
    """How often an event came true against how probable it was said to be.

    Attributes
    ----------
    predicted : (n_filled,) float64
        Mean probability in each bin that is not empty.
    observed : (n_filled,) float64
        Part of the bin in which the event came true.
    n : (n_filled,) int64
        Predictions in the bin.
    """

    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]
    n: NDArray[np.int64]

    @property
    def error(self) -> float:
        """Mean distance of observed from predicted, each bin weighted by its predictions."""
        return float(np.average(np.abs(self.observed - self.predicted), weights=self.n))


@dataclass(frozen=True, slots=True)
class Discrimination:
    """What a threshold gives: both figures with Wilson's 95 % interval."""

    sensitivity: Interval
    specificity: Interval


def softmax(logits: Floats, temperature: float = 1.0) -> NDArray[np.float64]:
    """Turn logits into probabilities.

    Parameters
    ----------
    logits : (..., n_classes) float
        Any finite values; they may be large.
    temperature : float
        Above 1 softens, below 1 sharpens.

    Returns
    -------
    (..., n_classes) float64
        Sums to 1 over the last axis.

    Examples
    --------
    >>> softmax(np.array([[0.0, np.log(3.0)]]))
    array([[0.25, 0.75]])
    """
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}, expected more than 0")
    scaled = np.asarray(logits, np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float64)


def negative_log_likelihood(logits: Floats, labels: NDArray[np.integer], temperature: float = 1.0) -> float:
    """Give the mean of ``-log p`` of the true classes, in nats.

    Parameters
    ----------
    logits : (n_samples, n_classes) float
    labels : (n_samples,) integer
        Index of the true class.
    temperature : float
        The logits are divided by it.
    """
    scaled = np.asarray(logits, np.float64) / temperature
    _check_labels(scaled, labels)
    highest = scaled.max(axis=1)
    log_sum = highest + np.log(np.exp(scaled - highest[:, None]).sum(axis=1))
    return float(np.mean(log_sum - scaled[np.arange(len(labels)), labels]))


def fit_temperature(logits: Floats, labels: NDArray[np.integer]) -> float:
    """Find the temperature under which the true classes are most likely.

    Parameters
    ----------
    logits : (n_samples, n_classes) float
        Of images the network was not fitted on.
    labels : (n_samples,) integer
        Index of the true class.

    Returns
    -------
    float
        Within `TEMPERATURE_RANGE`.

    Notes
    -----
    The negative log likelihood is convex in ``b = 1 / T`` and its slope is the mean of
    ``E_p[z] - z_true`` with ``p = softmax(b z)``, which grows with ``b``. The slope's root is found by
    bisection in ``log b``, to a relative 1e-9: thirty-odd passes, no step size, no start value [1]_.

    References
    ----------
    .. [1] C. Guo et al., "On calibration of modern neural networks", ICML 2017.

    Examples
    --------
    Three of four are right, so an equal pair of logits should say 3 to 1:

    >>> logits = np.array([[6.0, 0.0]] * 4)
    >>> round(fit_temperature(logits, np.array([0, 0, 0, 1])), 4)
    5.4614
    """
    values = np.asarray(logits, np.float64)
    _check_labels(values, labels)
    if not np.isfinite(values).all():
        raise ValueError("logits are not all finite")
    truth = values[np.arange(len(labels)), labels]
    coldest, hottest = TEMPERATURE_RANGE
    low, high = math.log(1.0 / hottest), math.log(1.0 / coldest)
    while high - low > 1e-9:
        middle = (low + high) / 2.0
        probabilities = softmax(values, math.exp(-middle))
        slope = float(np.mean((probabilities * values).sum(axis=1) - truth))
        if slope < 0.0:
            low = middle
        else:
            high = middle
    return math.exp(-(low + high) / 2.0)


def search_temperature(loss: Callable[[float], float]) -> float:
    """Find the temperature with the least loss, where the loss need not be convex.

    Parameters
    ----------
    loss : callable
        Takes a temperature.

    Returns
    -------
    float
        Within `TEMPERATURE_RANGE`, to a relative 1e-4.

    Notes
    -----
    The loss is looked at in 41 places even in ``log T``; around the best of them the interval is narrowed
    down by golden section.

    Examples
    --------
    >>> round(search_temperature(lambda temperature: (temperature - 2.5) ** 2), 3)
    2.5
    """
    places = np.linspace(math.log(TEMPERATURE_RANGE[0]), math.log(TEMPERATURE_RANGE[1]), 41)
    best = int(np.argmin([loss(math.exp(place)) for place in places]))
    low, high = float(places[max(best - 1, 0)]), float(places[min(best + 1, len(places) - 1)])
    golden = (math.sqrt(5.0) - 1.0) / 2.0
    while high - low > 1e-4:
        left, right = high - golden * (high - low), low + golden * (high - low)
        if loss(math.exp(left)) <= loss(math.exp(right)):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2.0)


def reliability_curve(
    probabilities: Floats, came_true: NDArray[np.bool_], *, n_bins: int = 15, equal_mass: bool = False
) -> ReliabilityCurve:
    """Compare how probable an event was said to be with how often it came true.

    Parameters
    ----------
    probabilities : (n_samples,) float
        Predicted probability of the event.
    came_true : (n_samples,) bool
    n_bins : int
        Bins over (0, 1]; each takes its upper border in, the first also 0.
    equal_mass : bool
        Bins of equally many predictions in place of equal width.
    """
    predicted = np.asarray(probabilities, np.float64)
    if predicted.ndim != 1 or predicted.shape != came_true.shape or not predicted.size:
        raise ValueError(f"shapes disagree: {predicted.shape} probabilities, {came_true.shape} events")
    if equal_mass:
        rank = np.argsort(np.argsort(predicted, kind="stable"), kind="stable")
        bin_of = rank * n_bins // predicted.size
    else:
        inner = np.arange(1, n_bins) / n_bins
        bin_of = np.searchsorted(inner, predicted, side="left")
    n = np.bincount(bin_of, minlength=n_bins)
    filled = n > 0
    sums = np.bincount(bin_of, weights=predicted, minlength=n_bins)
    hits = np.bincount(bin_of, weights=came_true.astype(np.float64), minlength=n_bins)
    return ReliabilityCurve(sums[filled] / n[filled], hits[filled] / n[filled], n[filled])


def expected_calibration_error(
    probabilities: Floats, labels: NDArray[np.integer], *, n_bins: int = 15, equal_mass: bool = False
) -> float:
    """Mean gap between how sure the model is of its first class and how often that class is right.

    Parameters
    ----------
    probabilities : (n_samples, n_classes) float
        Rows sum to 1.
    labels : (n_samples,) integer
        Index of the true class.
    n_bins : int
        Bins of equal width over (0, 1].
    equal_mass : bool
        Bins of equally many samples in place of equal width.

    Notes
    -----
    ``sum_b n_b / n * |accuracy_b - confidence_b|`` over the top label only (Guo et al., 2017). It is
    biased upwards on small samples: with n samples and b bins even a perfect model shows about
    ``sqrt(b / n) / 3``.

    Examples
    --------
    >>> sure = np.array([[0.9, 0.1]] * 10)
    >>> round(expected_calibration_error(sure, np.array([0] * 7 + [1] * 3)), 6)
    0.2
    """
    values = np.asarray(probabilities, np.float64)
    _check_labels(values, labels)
    came_true = values.argmax(axis=1) == labels
    return reliability_curve(values.max(axis=1), came_true, n_bins=n_bins, equal_mass=equal_mass).error


def classwise_calibration_error(
    probabilities: Floats, labels: NDArray[np.integer], *, n_bins: int = 15
) -> NDArray[np.float64]:
    """Give each class's own calibration error, (n_classes,) float64, over all its probabilities."""
    values = np.asarray(probabilities, np.float64)
    _check_labels(values, labels)
    errors = [
        reliability_curve(values[:, index], labels == index, n_bins=n_bins).error
        for index in range(values.shape[1])
    ]
    return np.array(errors, np.float64)


def score_of(probabilities: Floats, class_indices: Sequence[int]) -> NDArray[np.float64]:
    """Sum the probabilities of the classes that count, (...) float64 from (..., n_classes)."""
    if not len(class_indices) or len(set(class_indices)) != len(class_indices):
        raise ValueError(f"class indices {list(class_indices)} are empty or repeat")
    chosen = np.asarray(probabilities, np.float64)[..., list(class_indices)]
    # softmax over many classes may sum to a last digit above 1
    return np.asarray(np.minimum(chosen.sum(axis=-1), 1.0), np.float64)


def threshold_for_sensitivity(scores: Floats, is_positive: NDArray[np.bool_], sensitivity: float) -> float:
    """Find the highest threshold that still calls enough of the positives positive.

    Parameters
    ----------
    scores : (n_samples,) float
    is_positive : (n_samples,) bool
    sensitivity : float
        Part of the positives that must score at or above the threshold, in (0, 1].

    Returns
    -------
    float
        Half-way between the last positive that must be called and the next score below it, so that
        the last digit of another machine's arithmetic does not turn a case.

    Examples
    --------
    >>> scores = np.array([0.1, 0.2, 0.6, 0.8])
    >>> threshold_for_sensitivity(scores, np.array([False, False, True, True]), 1.0)
    0.4
    """
    values, positive = _scores(scores, is_positive)
    _check_part(sensitivity, "sensitivity")
    ranked = np.sort(values[positive])[::-1]
    needed = ranked[_count_needed(sensitivity, ranked.size) - 1]
    below = values[values < needed]
    lower = float(below.max()) if below.size else min(0.0, float(needed))
    return _between(lower, float(needed))


def threshold_for_specificity(scores: Floats, is_positive: NDArray[np.bool_], specificity: float) -> float:
    """Find the lowest threshold that still calls enough of the negatives negative.

    Parameters
    ----------
    scores : (n_samples,) float
    is_positive : (n_samples,) bool
    specificity : float
        Part of the negatives that must score below the threshold, in (0, 1].

    Returns
    -------
    float
        Half-way between the last negative that must be cleared and the next score above it. Where
        that negative has the highest score of all, half-way to 1.

    Examples
    --------
    >>> scores = np.array([0.1, 0.2, 0.6, 0.8])
    >>> threshold_for_specificity(scores, np.array([False, False, True, True]), 1.0)
    0.4
    """
    values, positive = _scores(scores, is_positive)
    _check_part(specificity, "specificity")
    ranked = np.sort(values[~positive])
    cleared = ranked[_count_needed(specificity, ranked.size) - 1]
    above = values[values > cleared]
    upper = float(above.min()) if above.size else max(1.0, float(np.nextafter(cleared, np.inf)))
    return _between(float(cleared), upper)


def sensitivity_specificity(
    scores: Floats, is_positive: NDArray[np.bool_], threshold: float
) -> Discrimination:
    """Measure what a threshold gives, with Wilson's 95 % intervals.

    Parameters
    ----------
    scores : (n_samples,) float
        At or above `threshold` is called positive.
    is_positive : (n_samples,) bool
        At least one of each.
    threshold : float

    Notes
    -----
    The intervals take samples as independent. Where several images show one lesion they are too
    narrow; the bootstrap over groups (in training) is the one for a card.
    """
    values, positive = _scores(scores, is_positive)
    called = values >= threshold
    n_positive = int(positive.sum())
    n_negative = int(positive.size - n_positive)
    return Discrimination(
        sensitivity=wilson_interval(int((called & positive).sum()), n_positive),
        specificity=wilson_interval(int((~called & ~positive).sum()), n_negative),
    )


def wilson_interval(n_hits: int, n: int) -> Interval:
    """Give a proportion with Wilson's 95 % score interval, which holds for small and extreme counts.

    References
    ----------
    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).

    Examples
    --------
    >>> interval = wilson_interval(8, 10)
    >>> round(interval.low, 4), interval.value, round(interval.high, 4)
    (0.4902, 0.8, 0.9433)
    """
    if not 0 <= n_hits <= n or n == 0:
        raise ValueError(f"{n_hits} of {n} is not a proportion")
    part, z2 = n_hits / n, _Z_95**2
    centre = (part + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z_95 / (1 + z2 / n) * math.sqrt(part * (1 - part) / n + z2 / (4 * n * n))
    return Interval(value=part, low=max(0.0, centre - half), high=min(1.0, centre + half), n=n)


def _count_needed(part: float, n: int) -> int:
    # 0.9 of 10 is 9, although 0.9 * 10 may be a last digit above it
    return max(1, math.ceil(part * n - 1e-9))


def _between(lower: float, upper: float) -> float:
    middle = (lower + upper) / 2.0
    return middle if lower < middle < upper else upper


def _scores(scores: Floats, is_positive: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values, positive = np.asarray(scores, np.float64), np.asarray(is_positive, np.bool_)
    if values.ndim != 1 or values.shape != positive.shape:
        raise ValueError(f"shapes disagree: scores {values.shape}, is_positive {positive.shape}")
    if not np.isfinite(values).all():
        raise ValueError("scores are not all finite")
    if not positive.any() or positive.all():
        raise ValueError(f"{int(positive.sum())} of {positive.size} are positive, expected some of each")
    return values, positive


def _check_part(part: float, name: str) -> None:
    if not 0 < part <= 1:
        raise ValueError(f"{name} is {part}, expected more than 0 and at most 1")


def _check_labels(values: NDArray[np.float64], labels: NDArray[np.integer]) -> None:
    if values.ndim != 2 or labels.shape != (len(values),) or not len(values):
        raise ValueError(f"shapes disagree: {values.shape} samples by classes, {labels.shape} labels")
    if labels.min() < 0 or labels.max() >= values.shape[1]:
        raise ValueError(
            f"labels reach {labels.min()} to {labels.max()}, expected 0 to {values.shape[1] - 1}"
        )
