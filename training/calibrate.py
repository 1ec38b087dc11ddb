"""Makes a run's scores mean what they say, and chooses the thresholds: on validation, measured on test."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.aims import Aim, threshold_for
from models.calibration import expected_calibration_error, fit_temperature, score_of, softmax
from models.card import Calibration, Interval, OperatingPoint
from models.measures import bootstrap_interval
from training.evaluate import N_RESAMPLES
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
    threshold = threshold_for(
        Aim(spec.name, recipe.positive, spec.sensitivity, spec.specificity),
        score_of(softmax(validation.logits, temperature), places),
        np.isin(validation.labels, places),
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


def _interval(
    is_right: NDArray[np.bool_], counts: NDArray[np.bool_], groups: NDArray[np.str_], seed: int
) -> Interval:
    """Give the part of the rows that count which are right, lesions resampled whole."""
    right = is_right[counts]
    part: Callable[[NDArray[np.intp]], float] = lambda rows: float(right[rows].mean())  # noqa: E731
    return bootstrap_interval(part, groups[counts], n_resamples=N_RESAMPLES, seed=seed)
