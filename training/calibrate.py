"""Makes a run's scores mean what they say, and chooses the thresholds, on rows that the network never saw.

What calibration and thresholds give is measured on rows that chose neither (:mod:`training.trials`).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.aims import Aim, threshold_for
from models.calibration import expected_calibration_error, score_of
from models.card import Calibration, Interval, OperatingPoint
from models.measures import bootstrap_interval
from training.figures import N_RESAMPLES
from training.recipe import PointSpec, Recipe
from training.run import Run, write_json
from training.trials import Trial, Trials, trials_of
from training.units import Judged


def calibrate(recipe: Recipe, run: Run) -> tuple[Calibration, tuple[OperatingPoint, ...]]:
    """Fit the calibration and choose the operating points of a run that was evaluated.

    Returns
    -------
    Calibration, tuple of OperatingPoint
        As they stand in the run's ``calibration.json``.

    Raises
    ------
    training.errors.RunError
        If the run was not evaluated yet, or only one fold of a crossed recipe is finished.
    """
    trials = trials_of(recipe, run)
    calibration = fit_calibration(trials)
    points = tuple(choose_point(spec, trials) for spec in recipe.operating_points)
    pooling = trials.kept.fit.pooling.model_copy(update={"fitted_on": trials.fitted_on})
    write_json(
        run.calibration,
        {
            "calibration": calibration.model_dump(mode="json"),
            "pooling_parameters": pooling.model_dump(mode="json"),
            "operating_points": [point.model_dump(mode="json") for point in points],
        },
    )
    return calibration, points


def fit_calibration(trials: Trials) -> Calibration:
    """Give the calibration that is kept; its errors are those of the rows measured."""
    before, after = trials.judged_unfitted, trials.judged
    fit = trials.kept.fit
    return Calibration(
        method="bias-corrected temperature" if fit.scaling.offsets else "temperature",
        temperature=fit.scaling.temperature,
        offsets=fit.scaling.offsets,
        shares=fit.shares,
        fitted_on=trials.fitted_on,
        n=fit.n,
        ece_before=expected_calibration_error(before.probabilities, before.labels),
        ece_after=expected_calibration_error(after.probabilities, after.labels),
    )


def choose_point(spec: PointSpec, trials: Trials) -> OperatingPoint:
    """Choose a threshold on the sum of the positive classes; measure how those of the trials do."""
    recipe = trials.kept.recipe
    places = [recipe.class_keys.index(key) for key in recipe.positive]
    aim = Aim(spec.name, recipe.positive, spec.sensitivity, spec.specificity)

    def threshold(judged: Judged) -> float:
        scores = score_of(judged.probabilities, places)
        return threshold_for(aim, scores, np.isin(judged.labels, places))

    def called(trial: Trial) -> NDArray[np.bool_]:
        return np.asarray(score_of(trial.judged.probabilities, places) >= threshold(trial.known))

    is_called = np.concatenate([called(trial) for trial in trials.each])
    is_positive = np.isin(trials.judged.labels, places)
    groups = trials.judged.groups
    return OperatingPoint(
        name=spec.name,
        classes=recipe.positive,
        threshold=threshold(trials.kept.judged),
        sensitivity=_interval(is_called, is_positive, groups, recipe.seed),
        specificity=_interval(~is_called, ~is_positive, groups, recipe.seed),
        chosen_on=trials.fitted_on,
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
