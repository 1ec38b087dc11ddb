"""Figures of merit for classifiers, and their uncertainty when samples come in groups.

All are plain functions of arrays. A class without any sample has no figure (NaN); a mean over classes is
taken over those that have one.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from models.card import Interval

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


def confusion_matrix(truth_labels: Labels, predicted_labels: Labels, n_classes: int) -> NDArray[np.int64]:
    """Count how often each class was called what.

    Returns
    -------
    (n_classes, n_classes) int64
        Row: the truth. Column: the prediction.

    Examples
    --------
    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    array([[1, 1], [0, 1]])
    """
    cells = truth_labels * n_classes + predicted_labels
    return np.bincount(cells, minlength=n_classes**2).reshape(n_classes, n_classes)


def accuracy(truth_labels: Labels, predicted_labels: Labels) -> float:
    """Give the part of predictions that are right."""
    return float(np.mean(truth_labels == predicted_labels)) if truth_labels.size else float("nan")


def recall_of_classes(truth_labels: Labels, predicted_labels: Labels, n_classes: int) -> Floats:
    """Give each class's part that was called by its name, (n_classes,) float64; NaN without samples."""
    counts = confusion_matrix(truth_labels, predicted_labels, n_classes)
    n_true = counts.sum(axis=1)
    recalls = np.full(n_classes, np.nan)
    np.divide(np.diag(counts), n_true, out=recalls, where=n_true > 0)
    return recalls


def balanced_accuracy(truth_labels: Labels, predicted_labels: Labels, n_classes: int) -> float:
    """Give the mean recall over the classes that have samples."""
    return _mean_of_numbers(recall_of_classes(truth_labels, predicted_labels, n_classes))


def class_shares(labels: Labels, n_classes: int) -> tuple[float, ...]:
    """Give the part of each class, by its number.

    Examples
    --------
    >>> class_shares(np.array([0, 0, 2, 0]), 3)
    (0.75, 0.0, 0.25)
    """
    return tuple((np.bincount(labels, minlength=n_classes) / labels.size).tolist())


def even_handed_classes(probabilities: Floats, shares: Sequence[float]) -> Labels:
    """Name for each sample the class that is likelier than it is common by the largest factor.

    Parameters
    ----------
    probabilities : (n_samples, n_classes) float64
        Calibrated.
    shares : sequence of float, (n_classes,)
        The part of each class where they were calibrated. A class without any is never named.

    Returns
    -------
    (n_samples,) int64

    Notes
    -----
    Balanced accuracy counts the recall of a rare class as much as that of a common one: it is the mean of
    ``P(called c | c)`` over the classes, so by Bayes' rule it is largest if each sample is called the class
    with the largest ``p(x | c)``, which goes with ``p(c | x) / P(c)``. The likeliest class, that with the
    largest ``p(c | x)``, makes plain accuracy largest: in doubt it is the common one.

    Examples
    --------
    Two in ten are of the second class; here it is four:

    >>> even_handed_classes(np.array([[0.6, 0.4], [0.9, 0.1]]), (0.8, 0.2))
    array([1, 0])
    """
    of_class = np.asarray(shares, np.float64)
    odds = np.where(of_class > 0.0, probabilities / np.where(of_class > 0.0, of_class, 1.0), -1.0)
    return np.asarray(odds.argmax(axis=1), np.int64)


def auc(is_positive: NDArray[np.bool_], scores: Floats) -> float:
    """Give the area under the ROC curve.

    Parameters
    ----------
    is_positive : (n_samples,) bool
        The truth.
    scores : (n_samples,) float64
        Higher means more likely positive.

    Returns
    -------
    float
        NaN if all samples are of one kind.

    Notes
    -----
    It is the probability that a positive scores above a negative, a tie counting half: the rank sum of
    Mann and Whitney, with mean ranks for ties.

    Examples
    --------
    >>> auc(np.array([False, True, False, True]), np.array([0.1, 0.4, 0.4, 0.8]))
    0.875
    """
    n_positive = int(is_positive.sum())
    n_negative = is_positive.size - n_positive
    if n_positive == 0 or n_negative == 0:
        return float("nan")
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last_rank = np.cumsum(counts)
    mean_ranks = last_rank - (counts - 1) / 2.0
    rank_sum = mean_ranks[place][is_positive].sum()
    return float((rank_sum - n_positive * (n_positive + 1) / 2.0) / (n_positive * n_negative))


def auc_of_classes(truth_labels: Labels, probabilities: Floats) -> Floats:
    """Give the area of each class against the rest, (n_classes,) float64."""
    return np.array(
        [auc(truth_labels == place, probabilities[:, place]) for place in range(probabilities.shape[1])]
    )


def macro_auc(truth_labels: Labels, probabilities: Floats) -> float:
    """Give the mean over classes of the area against the rest."""
    return _mean_of_numbers(auc_of_classes(truth_labels, probabilities))


def roc_curve(is_positive: NDArray[np.bool_], scores: Floats) -> tuple[Floats, Floats]:
    """Give the ROC curve's corners: false and true positive rates, each (n_corners,), rising from 0 to 1."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    hits = np.cumsum(is_positive[order])[ends]
    alarms = ends + 1 - hits
    true_rate = np.concatenate([[0.0], hits / max(hits[-1], 1)])
    false_rate = np.concatenate([[0.0], alarms / max(alarms[-1], 1)])
    return false_rate, true_rate


def bootstrap_interval(
    figure: Callable[[NDArray[np.intp]], float],
    groups: NDArray[np.str_],
    *,
    n_resamples: int,
    seed: int,
) -> Interval:
    """Give a figure with its 95 % interval, resampling whole groups.

    Two images of one lesion are no two witnesses; so lesions are drawn, with replacement, each with all
    of its images [1]_.

    Parameters
    ----------
    figure : callable
        Takes row numbers (with repeats), gives the figure; NaN where it has none.
    groups : (n_rows,) str
        The lesion or patient of each row.
    n_resamples : int
        How many draws.
    seed : int
        Of the draws.

    Returns
    -------
    Interval
        The figure on all rows, the 2.5 and 97.5 % points of the draws, and the number of rows. The
        interval is widened to hold the figure where the draws' points do not.

    References
    ----------
    .. [1] C. Field, A. Welsh, "Bootstrapping clustered data", J. R. Statist. Soc. B 69 (2007) 369-390.
    """
    value = figure(np.arange(len(groups)))
    _, group_of_row = np.unique(groups, return_inverse=True)
    rows_by_group = np.argsort(group_of_row, kind="stable")
    sizes = np.bincount(group_of_row)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    draws = np.random.default_rng(seed)
    figures = np.empty(n_resamples)
    for resample in range(n_resamples):
        chosen = draws.integers(len(sizes), size=len(sizes))
        figures[resample] = figure(_rows_of(chosen, rows_by_group, starts, sizes))
    low, high = np.nanpercentile(figures, [2.5, 97.5])
    return Interval(value=value, low=min(float(low), value), high=max(float(high), value), n=len(groups))


def _rows_of(
    chosen: NDArray[np.int64],
    rows_by_group: NDArray[np.intp],
    starts: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> NDArray[np.intp]:
    """Give the rows of the chosen groups, without a loop over them."""
    chosen_sizes = sizes[chosen]
    first_places = np.cumsum(chosen_sizes) - chosen_sizes
    within = np.arange(chosen_sizes.sum()) - np.repeat(first_places, chosen_sizes)
    return np.asarray(rows_by_group[np.repeat(starts[chosen], chosen_sizes) + within])


def _mean_of_numbers(values: Floats) -> float:
    numbers = values[~np.isnan(values)]
    return float(numbers.mean()) if numbers.size else float("nan")
