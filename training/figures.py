"""The figures of a recipe: what each is called, and how it is computed of any choice of rows.

Where the unit is the study, a study's class, how well single images are told apart and whether the first key
images show what was found are figures of their own.

Balanced accuracy stands twice. Once each image is called its likeliest class: in calibrated probabilities, in
doubt, the common one. That is right for accuracy, and makes the mean recall low though the classes are told
apart. ``balanced_accuracy_even`` is that of the decision that balanced accuracy asks for: the class whose
probability is largest beside its share (:func:`models.measures.even_handed_classes`). The shares are those of
the rows that the calibration was fitted on, so nothing is chosen on the rows measured.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.calibration import score_of
from models.card import Interval, Metric
from models.measures import (
    Floats,
    accuracy,
    auc,
    balanced_accuracy,
    bootstrap_interval,
    confusion_matrix,
    even_handed_classes,
    macro_auc,
)
from training.predictions import ScoredSet
from training.recipe import Recipe
from training.units import Fit, Judged, Studies, join_judged, judge_images, judge_units

N_RESAMPLES = 1000

Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Reading:
    """Scored rows, and what was fitted, on others, to judge them by."""

    scored: ScoredSet
    fit: Fit


@dataclass(frozen=True, eq=False)
class Figure:
    """A figure of merit.

    Attributes
    ----------
    name : str
    compute : callable
        Takes row numbers, with repeats, into `groups`.
    groups : (n_rows,) str
        The lesion or patient of each of its rows; groups are resampled whole.
    """

    name: str
    compute: Callable[[Rows], float]
    groups: NDArray[np.str_]

    def value(self) -> float | None:
        """Give the figure on all rows; None where it has none."""
        value = self.compute(np.arange(len(self.groups)))
        return None if np.isnan(value) else value

    def interval(self, seed: int) -> Interval:
        """Give the figure on all rows with its 95 % interval."""
        return bootstrap_interval(self.compute, self.groups, n_resamples=N_RESAMPLES, seed=seed)


def measure(recipe: Recipe, readings: Sequence[Reading], *, split: str) -> tuple[Metric, ...]:
    """Give the figures of all readings together with 95 % intervals.

    Parameters
    ----------
    recipe : Recipe
        Names the unit, the classes and which of them are positive.
    readings : sequence of Reading
        Of rows that no network was fitted on which scored them.
    split : str
        What the rows are, as the card calls it.
    """
    return tuple(
        Metric(name=figure.name, split=split, figure=figure.interval(recipe.seed))
        for figure in figures_of(recipe, readings)
    )


def confusion(recipe: Recipe, readings: Sequence[Reading]) -> NDArray[np.int64]:
    """Count the recipe's units by true (row) and likeliest class (column)."""
    judged = _judged(recipe, readings)
    return confusion_matrix(judged.labels, _first(judged.probabilities), len(recipe.classes))


def figures_of(recipe: Recipe, readings: Sequence[Reading]) -> tuple[Figure, ...]:
    """Give the figures of the recipe's units, in the order in which a card shows them."""
    of_units = (*_figures(recipe, _judged(recipe, readings)), *_even_handed(recipe, readings))
    if recipe.unit == "image":
        return of_units
    images = join_judged(judge_images(reading.scored, Fit()) for reading in readings)
    return (
        *(_named(f"study_{figure.name}", figure) for figure in of_units),
        *(
            _named(f"image_{figure.name}", figure)
            for figure in _figures(recipe, images)
            if figure.name in {"balanced_accuracy", "auc_positive"}
        ),
        *_key_image_figures(recipe, readings),
    )


def _judged(recipe: Recipe, readings: Sequence[Reading]) -> Judged:
    return join_judged(judge_units(recipe, reading.scored, reading.fit) for reading in readings)


def _figures(recipe: Recipe, judged: Judged) -> tuple[Figure, ...]:
    probabilities, truth, predicted = judged.probabilities, judged.labels, _first(judged.probabilities)
    n_classes = len(recipe.classes)
    positive_classes = [recipe.class_keys.index(key) for key in recipe.positive]
    is_positive = np.isin(truth, positive_classes)
    positive_scores = score_of(probabilities, positive_classes)
    of_all: dict[str, Callable[[Rows], float]] = {
        "accuracy": lambda rows: accuracy(truth[rows], predicted[rows]),
        "balanced_accuracy": lambda rows: balanced_accuracy(truth[rows], predicted[rows], n_classes),
        "macro_auc": lambda rows: macro_auc(truth[rows], probabilities[rows]),
        "auc_positive": lambda rows: auc(is_positive[rows], positive_scores[rows]),
    }
    for place, key in enumerate(recipe.class_keys):
        of_all[f"auc_{key}"] = _auc_of(truth == place, probabilities[:, place])
    figures = [Figure(name, compute, judged.groups) for name, compute in of_all.items()]
    for place, key in enumerate(recipe.class_keys):
        is_called = predicted[truth == place] == place
        figures.append(Figure(f"recall_{key}", _part_of(is_called), judged.groups[truth == place]))
    return tuple(figures)


def _even_handed(recipe: Recipe, readings: Sequence[Reading]) -> tuple[Figure, ...]:
    """Measure the decision that gives each class equal weight, where the classes' shares are known."""
    if not all(reading.fit.shares for reading in readings):
        return ()
    judged = [judge_units(recipe, reading.scored, reading.fit) for reading in readings]
    called = np.concatenate(
        [
            even_handed_classes(one.probabilities, reading.fit.shares)
            for one, reading in zip(judged, readings, strict=True)
        ]
    )
    units, n_classes = join_judged(judged), len(recipe.classes)
    figure = Figure(
        "balanced_accuracy_even",
        lambda rows: balanced_accuracy(units.labels[rows], called[rows], n_classes),
        units.groups,
    )
    return (figure,)


def _key_image_figures(recipe: Recipe, readings: Sequence[Reading]) -> tuple[Figure, ...]:
    """Measure in how many positive studies the first key images show a positive image."""
    hits, groups = [], []
    for reading in readings:
        studies = Studies(recipe, reading.scored)
        has_any = np.array([is_positive.any() for is_positive in studies.is_positive])
        hits.append(studies.key_image_hits(reading.fit)[has_any])
        groups.append(np.array([reading.scored.groups[rows[0]] for rows in studies.rows])[has_any])
    is_hit, of_groups = np.concatenate(hits), np.concatenate(groups)
    if not of_groups.size:
        return ()
    return tuple(
        Figure(f"key_image_first_{n_shown}", _part_of(is_hit[:, n_shown - 1]), of_groups)
        for n_shown in (1, 3)
    )


def _named(name: str, figure: Figure) -> Figure:
    return Figure(name, figure.compute, figure.groups)


def _auc_of(is_positive: NDArray[np.bool_], scores: Floats) -> Callable[[Rows], float]:
    return lambda rows: auc(is_positive[rows], scores[rows])


def _part_of(is_right: NDArray[np.bool_]) -> Callable[[Rows], float]:
    return lambda rows: float(is_right[rows].mean()) if len(rows) else float("nan")


def _first(probabilities: Floats) -> NDArray[np.int64]:
    return np.asarray(probabilities.argmax(axis=1), np.int64)
