"""Rows to fit numbers on, and rows of other groups to measure them on.

A plain recipe fits calibration and thresholds on its validation folds and measures on its test folds. A
crossed one has no fold to spare: there each fold is judged by numbers fitted on the other folds' predictions
alone, and those that are kept are fitted on all folds. The figures are then those of the procedure, as is
usual in cross-fitting.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from training.errors import RunError
from training.pool import read_out_of_fold
from training.predictions import ScoredSet, join, read_scored
from training.recipe import Recipe
from training.run import Run
from training.units import Fit, Judged, fit_units, join_judged, judge_units


@dataclass(frozen=True, eq=False)
class Trial:
    """Rows to fit on, and rows of other groups to measure on."""

    recipe: Recipe
    fitted: ScoredSet
    measured: ScoredSet

    @cached_property
    def fit(self) -> Fit:
        """What is fitted."""
        return fit_units(self.recipe, self.fitted)

    @cached_property
    def known(self) -> Judged:
        """What is then said of the rows to fit on."""
        return judge_units(self.recipe, self.fitted, self.fit)

    @cached_property
    def judged(self) -> Judged:
        """What is then said of the rows to measure on."""
        return judge_units(self.recipe, self.measured, self.fit)


@dataclass(frozen=True, eq=False)
class Trials:
    """What is fitted for good, and how it is measured.

    Attributes
    ----------
    kept : Trial
        What is kept is fitted on all rows that may be fitted on; measured on them too, for it is not known
        on others.
    fitted_on : str
        These rows, as the card calls them.
    each : tuple of Trial
        Together they measure every row that is measured once.
    measured_on : str
        What they measure, as the card calls it.
    """

    kept: Trial
    fitted_on: str
    each: tuple[Trial, ...]
    measured_on: str

    @property
    def fitted(self) -> ScoredSet:
        """All rows that may be fitted on."""
        return self.kept.fitted

    @cached_property
    def judged(self) -> Judged:
        """What is said of all that is measured, trial by trial."""
        return join_judged(trial.judged for trial in self.each)

    @cached_property
    def judged_unfitted(self) -> Judged:
        """The same without anything fitted."""
        return join_judged(judge_units(trial.recipe, trial.measured, Fit()) for trial in self.each)


def trials_of(recipe: Recipe, run: Run) -> Trials:
    """Read the trials of a run that was evaluated.

    Raises
    ------
    RunError
        If it was not, or only one fold of a crossed recipe is finished.
    """
    if not recipe.folds.cross:
        validation, test = (read_scored(run.predictions(part)) for part in ("validation", "test"))
        return held_out(recipe, validation, test)
    parts = read_out_of_fold(recipe, run)
    if len(parts) == 1:
        raise RunError(
            f"{run.folder} holds one finished fold; it takes a second to fit on: firstread-train fit --fold"
        )
    return cross_fit(recipe, tuple(parts.values()), recipe.folds.text_of(tuple(parts)))


def held_out(recipe: Recipe, validation: ScoredSet, test: ScoredSet) -> Trials:
    """Fit on the validation folds, measure on the test folds."""
    fitted_on = recipe.folds.text_of(recipe.folds.validation)
    measured_on = recipe.folds.text_of(recipe.folds.test)
    each = (Trial(recipe, validation, test),)
    return Trials(Trial(recipe, validation, validation), fitted_on, each, measured_on)


def cross_fit(recipe: Recipe, parts: Sequence[ScoredSet], fitted_on: str) -> Trials:
    """Fit on all parts; measure each by what is fitted on the others."""
    pooled = join(parts)
    each = tuple(
        Trial(recipe, join(other for other in parts if other is not left_out), left_out) for left_out in parts
    )
    return Trials(Trial(recipe, pooled, pooled), fitted_on, each, fitted_on)
