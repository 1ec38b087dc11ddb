"""Fits a model's calibration and operating points anew, on labelled studies of one's own.

What was calibrated on the maker's pictures is not calibrated on those of another camera, clinic or
population. The network stays as it is: one temperature, an offset for each class where these pay, and a
threshold for each operating point are fitted, few enough numbers for a few hundred studies. What they give is
measured out of fold: the groups (patients) are dealt to folds, and the studies of each are judged by numbers
fitted on the others alone, so the figures do not flatter themselves. The numbers that are kept are then
fitted on all studies.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from data.errors import FoldError
from data.folds import make_folds
from models.aims import Aim, point_in_use, threshold_for
from models.calibration import (
    TEMPERATURE_RANGE,
    expected_calibration_error,
    fit_temperature,
    score_of,
    search_temperature,
)
from models.card import Interval, Metric, ModelCard, Pooling
from models.errors import RecalibrationError
from models.measures import accuracy, auc, balanced_accuracy, bootstrap_interval, class_shares
from models.pooling import study_probabilities
from models.scaling import Scaling, fit_scaling

Floats = NDArray[np.float64]

# With fewer of either kind an operating point's interval is wider than 20 points.
MIN_STUDIES = 30
MIN_GROUPS = 10
N_FOLDS = 5
N_RESAMPLES = 1000


@dataclass(frozen=True, slots=True, eq=False)
class ScoredStudies:
    """What a network says of labelled studies.

    Attributes
    ----------
    frame_logits : tuple of (n_frames, n_classes) float32
        One array a study.
    labels : (n_studies,) int64
        Index of the true class.
    groups : (n_studies,) str
        The patient or lesion of each.
    """

    frame_logits: tuple[NDArray[np.float32], ...]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]

    def at(self, rows: NDArray[np.intp]) -> "ScoredStudies":
        """Give the studies of these rows alone."""
        return ScoredStudies(
            tuple(self.frame_logits[row] for row in rows), self.labels[rows], self.groups[rows]
        )


@dataclass(frozen=True, slots=True)
class PointFigures:
    """What a threshold gives."""

    threshold: float
    sensitivity: Interval
    specificity: Interval


@dataclass(frozen=True, slots=True)
class Performance:
    """How well probabilities and thresholds do on labelled studies.

    `loss` is the mean negative log likelihood of the true class in nats, which calibration makes small;
    `calibration_error` that of the top class; `metrics` say how well the studies are told apart.
    """

    loss: Interval
    calibration_error: Interval
    points: dict[str, PointFigures]
    metrics: tuple[Metric, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Recalibration:
    """What was fitted and what it gives.

    Attributes
    ----------
    scaling : Scaling
    keeps_scaling : bool
        The card's own stays: on groups left out, no other was better.
    shares : tuple of float
        The part of each class among the studies.
    aims : tuple of Aim
    before : Performance
        With the card's scaling and thresholds.
    after : Performance
        Out of fold, but for the thresholds named, which are those fitted on all, and the area, which is that
        of the scaling fitted on all.
    folds : (n_studies,) intp
        The fold in which each study was left out.
    """

    scaling: Scaling
    keeps_scaling: bool
    shares: tuple[float, ...]
    aims: tuple[Aim, ...]
    before: Performance
    after: Performance
    folds: NDArray[np.intp]


def recalibrate(card: ModelCard, scored: ScoredStudies, aims: Sequence[Aim], *, seed: int) -> Recalibration:
    """Fit calibration and thresholds, and measure out of fold what they give.

    Parameters
    ----------
    card : ModelCard
        Of the network that gave the logits.
    scored : ScoredStudies
        None of which the network was fitted on.
    aims : sequence of Aim
        See :func:`models.aims.aims_of`.
    seed : int
        Of the folds and of the intervals' draws.

    Raises
    ------
    RecalibrationError
        If there are fewer than `MIN_STUDIES` studies in `MIN_GROUPS` groups of either kind for a point, or
        if the studies say nothing of how sure the model may be.

    Notes
    -----
    Of the card's own calibration, another temperature, and another temperature with other offsets the one
    with the lowest loss out of fold is taken, in doubt the first. Intervals are 95 %, of a bootstrap that
    draws groups whole; what is fitted differs from fold to fold a little, so figures out of fold are those of
    the procedure, as is usual in cross-fitting.
    """
    for aim in aims:
        _check_enough(card, scored, aim)
    folds = _folds(card, scored)
    own = Scaling.of(card.calibration)
    before = _served(card, scored)
    ways = _ways(card, scored)
    judged = [_out_of_fold(card, scored, aims, folds, way) for way in ways]
    best = int(np.argmin([_loss(one, scored) for one in judged]))
    scaling, after = ways[best](scored), judged[best]
    if best:
        _check_temperature(ways[1](scored).temperature / (own.temperature if own.offsets else 1.0))
    final = pooled_probabilities(card, scored, scaling)
    chosen = {str(aim.name): threshold_for(aim, *_scores(card, aim.classes, final, scored)) for aim in aims}
    kept = {str(point.name): point.threshold for point in card.operating_points}
    return Recalibration(
        scaling=scaling,
        keeps_scaling=best == 0,
        shares=class_shares(scored.labels, len(card.classes)),
        aims=tuple(aims),
        before=_performance(card, before, before.probabilities, kept, scored, seed=seed),
        after=_performance(card, after, final, chosen, scored, seed=seed),
        folds=folds,
    )


def pooled_probabilities(card: ModelCard, scored: ScoredStudies, scaling: Scaling) -> Floats:
    """Give each study's probabilities, (n_studies, n_classes), as they would be served."""
    if card.pooling is Pooling.MEAN_LOGITS:
        return scaling.probabilities(_mean_logits(scored))
    is_finding = np.array([spec.is_finding for spec in card.classes])
    return np.stack(
        [
            study_probabilities(
                logits,
                pooling=card.pooling,
                scaling=scaling,
                is_finding=is_finding,
                parameters=card.pooling_parameters,
            )
            for logits in scored.frame_logits
        ]
    )


def fit_study_temperature(card: ModelCard, scored: ScoredStudies) -> Scaling:
    """Find the temperature under which the studies' true classes are most likely.

    What the card adds to each class stays: its offsets, if it has any, are divided by the temperature too.

    Notes
    -----
    Where the mean of the logits, or a single frame, makes the score, the loss is convex and
    :func:`models.calibration.fit_temperature` solves it. Otherwise the temperature changes how frames are
    pooled, and :func:`models.calibration.search_temperature` looks for it.
    """
    own = Scaling.of(card.calibration)
    first = own if own.offsets else Scaling()
    if _is_mean(card, scored):
        return first.softened(fit_temperature(first.logits(_mean_logits(scored)), scored.labels))

    def loss(temperature: float) -> float:
        probabilities = pooled_probabilities(card, scored, first.softened(temperature))
        return float(_losses(probabilities, scored.labels).mean())

    return first.softened(search_temperature(loss))


_Way = Callable[[ScoredStudies], Scaling]


def _ways(card: ModelCard, scored: ScoredStudies) -> tuple[_Way, ...]:
    """Give the ways to calibrate, the one with the fewest numbers first."""
    own = Scaling.of(card.calibration)
    few: tuple[_Way, ...] = (lambda _: own, partial(fit_study_temperature, card))
    if not _is_mean(card, scored):
        return few
    return (*few, lambda studies: fit_scaling(_mean_logits(studies), studies.labels))


def _is_mean(card: ModelCard, scored: ScoredStudies) -> bool:
    """Say whether the calibrated mean of a study's logits makes its score."""
    return card.pooling is Pooling.MEAN_LOGITS or (
        card.pooling is not Pooling.ATTENTION and all(len(logits) == 1 for logits in scored.frame_logits)
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """Probabilities (n_studies, n_classes) and, by operating point, who is called and who is positive."""

    probabilities: Floats
    is_called: dict[str, NDArray[np.bool_]]
    positive: dict[str, NDArray[np.bool_]]


def _served(card: ModelCard, scored: ScoredStudies) -> _Judged:
    """Judge the studies as the card does."""
    probabilities = pooled_probabilities(card, scored, Scaling.of(card.calibration))
    is_called: dict[str, NDArray[np.bool_]] = {}
    positive: dict[str, NDArray[np.bool_]] = {}
    for point in card.operating_points:
        scores, positive[point.name] = _scores(card, point.classes, probabilities, scored)
        is_called[point.name] = scores >= point.threshold
    return _Judged(probabilities, is_called, positive)


def _out_of_fold(
    card: ModelCard,
    scored: ScoredStudies,
    aims: Sequence[Aim],
    folds: NDArray[np.intp],
    way: _Way,
) -> _Judged:
    """Judge each study by numbers fitted without its fold."""
    n_studies = len(scored.labels)
    probabilities = np.empty((n_studies, len(card.classes)))
    is_called = {str(aim.name): np.zeros(n_studies, np.bool_) for aim in aims}
    positive = {str(aim.name): _scores(card, aim.classes, probabilities, scored)[1] for aim in aims}
    for fold in range(N_FOLDS):
        rows = np.flatnonzero(folds == fold)
        left_out, others = scored.at(rows), scored.at(np.flatnonzero(folds != fold))
        fitted = way(others)
        known = pooled_probabilities(card, others, fitted)
        probabilities[rows] = pooled_probabilities(card, left_out, fitted)
        for aim in aims:
            threshold = threshold_for(aim, *_scores(card, aim.classes, known, others))
            scores, _ = _scores(card, aim.classes, probabilities[rows], left_out)
            is_called[aim.name][rows] = scores >= threshold
    return _Judged(probabilities, is_called, positive)


def _scores(
    card: ModelCard, classes: Sequence[str], probabilities: Floats, scored: ScoredStudies
) -> tuple[Floats, NDArray[np.bool_]]:
    """Give the studies' scores for some classes together, and which studies are of these classes."""
    places = [card.class_keys.index(key) for key in classes]
    return score_of(probabilities, places), np.isin(scored.labels, places)


def _mean_logits(scored: ScoredStudies) -> Floats:
    return np.stack([logits.astype(np.float64).mean(axis=0) for logits in scored.frame_logits])


def _loss(judged: _Judged, scored: ScoredStudies) -> float:
    return float(_losses(judged.probabilities, scored.labels).mean())


def _losses(probabilities: Floats, labels: NDArray[np.int64]) -> Floats:
    truth = probabilities[np.arange(len(labels)), labels]
    return np.asarray(-np.log(np.maximum(truth, np.finfo(np.float64).tiny)))


def _performance(
    card: ModelCard,
    judged: _Judged,
    of_one_scaling: Floats,
    thresholds: dict[str, float],
    scored: ScoredStudies,
    *,
    seed: int,
) -> Performance:
    labels, groups, probabilities = scored.labels, scored.groups, judged.probabilities
    points = {}
    for name, threshold in thresholds.items():
        is_called, positive = judged.is_called[name], judged.positive[name]
        points[name] = PointFigures(
            threshold=threshold,
            sensitivity=_interval(_mean_of(is_called[positive]), groups[positive], seed),
            specificity=_interval(_mean_of(~is_called[~positive]), groups[~positive], seed),
        )
    return Performance(
        loss=_interval(_mean_of(_losses(probabilities, labels)), groups, seed),
        calibration_error=_interval(
            lambda rows: expected_calibration_error(probabilities[rows], labels[rows]), groups, seed
        ),
        points=points,
        metrics=_metrics(card, probabilities, of_one_scaling, scored, seed=seed),
    )


def _metrics(
    card: ModelCard, probabilities: Floats, of_one_scaling: Floats, scored: ScoredStudies, *, seed: int
) -> tuple[Metric, ...]:
    labels, predicted = scored.labels, probabilities.argmax(axis=1).astype(np.int64)
    scores, positive = _scores(card, point_in_use(card).classes, of_one_scaling, scored)
    figures: dict[str, Callable[[NDArray[np.intp]], float]] = {
        "accuracy": lambda rows: accuracy(labels[rows], predicted[rows]),
        "balanced_accuracy": lambda rows: balanced_accuracy(labels[rows], predicted[rows], len(card.classes)),
        "auc_positive": lambda rows: auc(positive[rows], scores[rows]),
    }
    return tuple(
        Metric(name=name, split="local studies", figure=_interval(figure, scored.groups, seed))
        for name, figure in figures.items()
    )


def _mean_of(values: NDArray[np.bool_] | Floats) -> Callable[[NDArray[np.intp]], float]:
    return lambda rows: float(values[rows].mean())


def _interval(figure: Callable[[NDArray[np.intp]], float], groups: NDArray[np.str_], seed: int) -> Interval:
    return bootstrap_interval(figure, groups, n_resamples=N_RESAMPLES, seed=seed)


def _folds(card: ModelCard, scored: ScoredStudies) -> NDArray[np.intp]:
    positive = np.isin(scored.labels, [card.class_keys.index(key) for key in point_in_use(card).classes])
    kinds = ["positive" if is_one else "negative" for is_one in positive]
    try:
        # a fixed deal: the same table gives the same version
        return make_folds(kinds, scored.groups.tolist(), n_folds=N_FOLDS, seed=0)
    except FoldError as error:
        raise RecalibrationError(f"the studies cannot be dealt to {N_FOLDS} folds: {error}") from error


def _check_enough(card: ModelCard, scored: ScoredStudies, aim: Aim) -> None:
    positive = np.isin(scored.labels, [card.class_keys.index(key) for key in aim.classes])
    for kind, chosen in (("of", positive), ("without", ~positive)):
        n_studies, n_groups = int(chosen.sum()), len(np.unique(scored.groups[chosen]))
        if n_studies < MIN_STUDIES or n_groups < MIN_GROUPS:
            raise RecalibrationError(
                f"there are {n_studies} studies in {n_groups} groups {kind} {' or '.join(aim.classes)}, "
                f"expected at least {MIN_STUDIES} in {MIN_GROUPS}; label more"
            )


def _check_temperature(temperature: float) -> None:
    coldest, hottest = TEMPERATURE_RANGE
    if temperature < coldest * 1.01:
        raise RecalibrationError(
            "the model makes no error on these studies, so they cannot say how sure it may be; "
            "add more of them, and difficult ones"
        )
    if temperature > hottest * 0.99:
        raise RecalibrationError(
            "what the model says has nothing to do with these labels; check that the labels are right and "
            "that the model is for such images"
        )
