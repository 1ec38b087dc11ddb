"""Makes a run's scores mean what they say, and chooses the thresholds: on validation, measured on test."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.calibration import (
    expected_calibration_error,
    fit_temperature,
    score_of,
    softmax,
    threshold_for_sensitivity,
    threshold_for_specificity,
)
from models.card import Calibration, Interval, OperatingPoint
from training.evaluate import N_RESAMPLES
from training.metrics import Floats, bootstrap_interval, roc_curve
from training.predictions import ScoredSet, read_scored
from training.recipe import PointSpec, Recipe
from training.run import Run, write_json


def calibrate(recipe: Recipe, run: Run) -> tuple[Calibration, tuple[OperatingPoint, ...]]:
    """Fit the temperature and choose the operating points of a run that was evaluated.

    Returns
    -------
    Calibration, tuple of OperatingPoint
        As they stand in the run's ``calibration.json``.

    Raises
    ------
    training.errors.RunError
        If the run was not evaluated yet.
    """
    validation = read_scored(run.predictions("validation"))
    test = read_scored(run.predictions("test"))
    calibration = fit_calibration(recipe, validation, test)
    points = tuple(
        choose_point(recipe, spec, calibration.temperature, validation, test)
        for spec in recipe.operating_points
    )
    write_json(
        run.calibration,
        {
            "calibration": calibration.model_dump(mode="json"),
            "operating_points": [point.model_dump(mode="json") for point in points],
        },
    )
    return calibration, points


def fit_calibration(recipe: Recipe, validation: ScoredSet, test: ScoredSet) -> Calibration:
    """Fit the temperature on the validation folds; its errors are the test folds'."""
    temperature = fit_temperature(validation.logits, validation.labels)
    return Calibration(
        temperature=temperature,
        fitted_on=recipe.folds.text_of(recipe.folds.validation),
        n=len(validation.labels),
        ece_before=expected_calibration_error(softmax(test.logits), test.labels),
        ece_after=expected_calibration_error(softmax(test.logits, temperature), test.labels),
    )


def choose_point(
    recipe: Recipe, spec: PointSpec, temperature: float, validation: ScoredSet, test: ScoredSet
) -> OperatingPoint:
    """Choose a threshold on the sum of the positive classes; measure it on the test folds."""
    places = [recipe.class_keys.index(key) for key in recipe.positive]
    threshold = choose_threshold(
        spec, score_of(softmax(validation.logits, temperature), places), np.isin(validation.labels, places)
    )
    is_called = score_of(softmax(test.logits, temperature), places) >= threshold
    is_positive = np.isin(test.labels, places)
    return OperatingPoint(
        name=spec.name,
        classes=recipe.positive,
        threshold=threshold,
        sensitivity=_interval(is_called, is_positive, test.groups, recipe.seed),
        specificity=_interval(~is_called, ~is_positive, test.groups, recipe.seed),
        chosen_on=recipe.folds.text_of(recipe.folds.validation),
        wanted_sensitivity=spec.sensitivity,
        wanted_specificity=spec.specificity,
    )


def choose_threshold(spec: PointSpec, scores: Floats, is_positive: NDArray[np.bool_]) -> float:
    """Give the threshold that keeps what the recipe states.

    Parameters
    ----------
    spec : PointSpec
        A sensitivity, a specificity, or neither: then their sum is made largest (Youden's index).
    scores : (n_samples,) float64
        Calibrated.
    is_positive : (n_samples,) bool
        The truth.

    Examples
    --------
    >>> scores = np.array([0.1, 0.4, 0.35, 0.8])
    >>> round(choose_threshold(PointSpec(name="rule-in", specificity=0.5), scores, scores > 0.3), 3)
    0.225
    """
    if spec.specificity is not None:
        return threshold_for_specificity(scores, is_positive, spec.specificity)
    if spec.sensitivity is not None:
        return threshold_for_sensitivity(scores, is_positive, spec.sensitivity)
    false_rate, true_rate = roc_curve(is_positive, scores)
    best = int(np.argmax(true_rate - false_rate))
    return threshold_for_sensitivity(scores, is_positive, float(true_rate[best]) or 1.0)


def _interval(
    is_right: NDArray[np.bool_], counts: NDArray[np.bool_], groups: NDArray[np.str_], seed: int
) -> Interval:
    """Give the part of the rows that count which are right, lesions resampled whole."""
    right = is_right[counts]
    part: Callable[[NDArray[np.intp]], float] = lambda rows: float(right[rows].mean())  # noqa: E731
    return bootstrap_interval(part, groups[counts], n_resamples=N_RESAMPLES, seed=seed)
