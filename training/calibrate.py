"""Makes a run's scores mean what they say, and chooses the thresholds, on rows that the network never saw.

What temperature and thresholds give is measured on rows that chose neither: on the test folds if they were
fitted on the validation folds. A crossed recipe has no fold to spare. There each fold is judged by numbers
fitted on the other folds' predictions alone, and those that are kept are fitted on all folds; the figures are
then those of the procedure, as is usual in cross-fitting.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.aims import Aim, threshold_for
from models.calibration import expected_calibration_error, fit_temperature, score_of, softmax
from models.card import Calibration, Interval, OperatingPoint
from models.measures import bootstrap_interval
from training.errors import RunError
from training.evaluate import N_RESAMPLES
from training.pool import read_out_of_fold
from training.predictions import ScoredSet, join, read_scored
from training.recipe import PointSpec, Recipe
from training.run import Run, write_json


@dataclass(frozen=True, eq=False)
class Trial:
    """Rows to fit on, and rows of other groups to measure on."""

    fitted: ScoredSet
    measured: ScoredSet

    @cached_property
    def temperature(self) -> float:
        """The temperature under which the labels of the rows to fit on are most likely."""
        return fit_temperature(self.fitted.logits, self.fitted.labels)


@dataclass(frozen=True, eq=False)
class Trials:
    """What is fitted for good, and how it is measured.

    Attributes
    ----------
    fitted : ScoredSet
        What the temperature and thresholds that are kept are fitted on.
    fitted_on : str
        These rows, as the card calls them.
    each : tuple of Trial
        Together they measure every row that is measured once.
    """

    fitted: ScoredSet
    fitted_on: str
    each: tuple[Trial, ...]

    @cached_property
    def measured(self) -> ScoredSet:
        """The measured rows of all trials, one after the other."""
        return join(trial.measured for trial in self.each)


def calibrate(recipe: Recipe, run: Run) -> tuple[Calibration, tuple[OperatingPoint, ...]]:
    """Fit the temperature and choose the operating points of a run that was evaluated.

    Returns
    -------
    Calibration, tuple of OperatingPoint
        As they stand in the run's ``calibration.json``.

    Raises
    ------
    training.errors.RunError
        If the run was not evaluated yet, or only one fold of a crossed recipe is finished.
    """
    trials = _crossed(recipe, run) if recipe.folds.cross else _held_out(recipe, run)
    calibration = fit_calibration(trials)
    points = tuple(
        choose_point(recipe, spec, calibration.temperature, trials) for spec in recipe.operating_points
    )
    write_json(
        run.calibration,
        {
            "calibration": calibration.model_dump(mode="json"),
            "operating_points": [point.model_dump(mode="json") for point in points],
        },
    )
    return calibration, points


def _held_out(recipe: Recipe, run: Run) -> Trials:
    """Fit on the validation folds, measure on the test folds."""
    validation, test = (read_scored(run.predictions(part)) for part in ("validation", "test"))
    fitted_on = recipe.folds.text_of(recipe.folds.validation)
    return Trials(validation, fitted_on, (Trial(validation, test),))


def _crossed(recipe: Recipe, run: Run) -> Trials:
    """Fit on all folds; measure each by what is fitted on the others."""
    parts = read_out_of_fold(recipe, run)
    if len(parts) == 1:
        raise RunError(f"{run.folder} holds one finished fold; calibration needs a second to be measured on")
    return cross_fit(tuple(parts.values()), recipe.folds.text_of(tuple(parts)))


def cross_fit(parts: Sequence[ScoredSet], fitted_on: str) -> Trials:
    """Give the trials that leave out one part after the other."""
    each = tuple(
        Trial(join(other for other in parts if other is not left_out), left_out) for left_out in parts
    )
    return Trials(join(parts), fitted_on, each)


def fit_calibration(trials: Trials) -> Calibration:
    """Fit the temperature; its errors are those of the rows measured."""
    measured = trials.measured
    calibrated = np.concatenate([softmax(one.measured.logits, one.temperature) for one in trials.each])
    return Calibration(
        temperature=fit_temperature(trials.fitted.logits, trials.fitted.labels),
        fitted_on=trials.fitted_on,
        n=len(trials.fitted.labels),
        ece_before=expected_calibration_error(softmax(measured.logits), measured.labels),
        ece_after=expected_calibration_error(calibrated, measured.labels),
    )


def choose_point(recipe: Recipe, spec: PointSpec, temperature: float, trials: Trials) -> OperatingPoint:
    """Choose a threshold on the sum of the positive classes at `temperature`; measure how it does."""
    places = [recipe.class_keys.index(key) for key in recipe.positive]
    aim = Aim(spec.name, recipe.positive, spec.sensitivity, spec.specificity)

    def scores(scored: ScoredSet, divisor: float) -> NDArray[np.float64]:
        return score_of(softmax(scored.logits, divisor), places)

    def threshold(scored: ScoredSet, divisor: float) -> float:
        return threshold_for(aim, scores(scored, divisor), np.isin(scored.labels, places))

    is_called = np.concatenate(
        [
            scores(trial.measured, trial.temperature) >= threshold(trial.fitted, trial.temperature)
            for trial in trials.each
        ]
    )
    is_positive = np.isin(trials.measured.labels, places)
    groups = trials.measured.groups
    return OperatingPoint(
        name=spec.name,
        classes=recipe.positive,
        threshold=threshold(trials.fitted, temperature),
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
