"""Chooses which of age, sex and body site a model takes into account, and measures what that gives.

A field is taken if, known alone, it makes the true classes likelier, out of fold and with a 95 % interval
above zero, and does not lower the mean area over the classes. What is chosen is measured as temperature and
thresholds are (:mod:`training.trials`): on rows that chose neither, by the picture alone and together with
the context of the same rows, so that the gain has an interval of its own.

Thresholds are chosen without context, for a study may come without it; what they give with it is measured.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from data.errors import FoldError
from data.folds import make_folds
from data.study import LabelledImage
from models.aims import Aim, threshold_for
from models.calibration import expected_calibration_error, score_of
from models.card import ContextField, ContextPoint, Interval, Metric, PatientFactors, Severity
from models.context import KnownContext, fuse, known_context, log_ratios
from models.measures import auc, balanced_accuracy, bootstrap_interval, macro_auc
from training.attributes import AGE_BANDS, age_band
from training.dataset import LabelledSet
from training.errors import DatasetError, RunError
from training.factors import Factors, fit_factors
from training.groups import MIN_LESIONS
from training.recipe import PointSpec, Recipe
from training.run import Run, read_json, write_json
from training.trials import Trials, trials_of
from training.units import Judged, join_judged

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
Fields = Sequence[ContextField]
Contexts = Mapping[str, KnownContext]
# Takes probabilities (n_units, n_classes) and row numbers, with repeats; gives a figure.
Measure = Callable[[Floats, Rows], float]

# A factor of three apart: the loss of the first skin model differs by .001 between neighbours.
RIDGES = (3.0, 10.0, 30.0, 100.0)
N_FOLDS = 5
N_RESAMPLES = 1000
WITH_CONTEXT = "with context"


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """The same units judged by the picture alone and together with the patient's context."""

    alone: Judged
    together: Judged


def contexts_of(names: Sequence[str], images: Sequence[LabelledImage]) -> dict[str, KnownContext]:
    """Give what is known of each image's patient, by the image's name."""
    return {name: known_context(image.context) for name, image in zip(names, images, strict=True)}


def choose_context(recipe: Recipe, run: Run, labelled: LabelledSet) -> PatientFactors:
    """Fit and measure the factors of a run that was evaluated; they stand in its ``context.json``."""
    factors = choose_factors(recipe, trials_of(recipe, run), contexts_of(labelled.names, labelled.images))
    write_json(context_file(run), factors.model_dump(mode="json"))
    return factors


def read_context(recipe: Recipe, run: Run) -> PatientFactors | None:
    """Read what :func:`choose_context` wrote; None where the recipe asks for no context.

    Raises
    ------
    RunError
        If the file is missing or holds something else.
    """
    if recipe.context is None:
        return None
    path = context_file(run)
    try:
        return PatientFactors.model_validate_json(json.dumps(read_json(path)))
    except ValidationError as error:
        raise RunError(f"{path} holds no factors; make it again with: firstread-train calibrate") from error


def context_file(run: Run) -> Path:
    """Where a run's factors stand."""
    return run.folder / "context.json"


def choose_factors(
    recipe: Recipe, trials: Trials, contexts: Contexts, *, n_resamples: int = N_RESAMPLES
) -> PatientFactors:
    """Fit the factors of the recipe's fields that pay; it may be none.

    Parameters
    ----------
    recipe : Recipe
        Its `context` names the fields.
    trials : Trials
        What to fit on and how to measure.
    contexts : mapping of str to KnownContext
        By the images' names; see :func:`contexts_of`.
    n_resamples : int
        Draws for each interval, lesions whole.

    Raises
    ------
    DatasetError
        If a class lies in too few groups to be fitted out of fold.
    """
    wanted = recipe.context.fields if recipe.context else ()
    fitted_on = trials.kept.judged
    folds = _folds(fitted_on, recipe.seed)
    ridge = min(RIDGES, key=lambda ridge: float(_losses(fitted_on, contexts, folds, wanted, ridge).mean()))
    without = _losses(fitted_on, contexts, folds, (), ridge)
    kept = []
    for field in wanted:
        saved = without - _losses(fitted_on, contexts, folds, (field,), ridge)
        interval = bootstrap_interval(
            _mean_of(saved), fitted_on.groups, n_resamples=n_resamples, seed=recipe.seed
        )
        if interval.low > 0.0 and _area_gain(fitted_on, contexts, folds, (field,), ridge) >= 0.0:
            kept.append(field)
    compared = tuple(
        compare(trial.judged, contexts, _fit(trial.known, contexts, kept, ridge)) for trial in trials.each
    )
    return PatientFactors(
        terms=_fit(fitted_on, contexts, kept, ridge).terms,
        left_out=tuple(field for field in wanted if field not in kept),
        ridge=ridge,
        fitted_on=trials.fitted_on,
        n=len(fitted_on.labels),
        metrics=(
            *measure_context(recipe, compared, split=trials.measured_on, n_resamples=n_resamples),
            *_by_age(recipe, trials, compared, contexts, n_resamples),
        )
        if kept
        else (),
        operating_points=tuple(
            _point(recipe, spec, trials, compared, n_resamples) for spec in recipe.operating_points if kept
        ),
    )


def compare(judged: Judged, contexts: Contexts, fitted: Factors) -> Compared:
    """Judge units again, together with what is known of the patients."""
    ratios = _ratios(judged, contexts, fitted)
    return Compared(judged, replace(judged, probabilities=fuse(judged.probabilities, ratios)))


def measure_context(
    recipe: Recipe, compared: Sequence[Compared], *, split: str, n_resamples: int = N_RESAMPLES
) -> tuple[Metric, ...]:
    """Give each figure with the context, and by how much it is above that of the picture alone.

    `split` is what the rows are, as the card calls it.
    """
    alone = join_judged(part.alone for part in compared)
    together = join_judged(part.together for part in compared)
    metrics = []
    for name, measure in _measures(recipe, alone.labels).items():
        figures = {
            name: partial(measure, together.probabilities),
            f"{name}_gain": partial(_gain, measure, together.probabilities, alone.probabilities),
        }
        for said, figure in figures.items():
            interval = bootstrap_interval(figure, alone.groups, n_resamples=n_resamples, seed=recipe.seed)
            metrics.append(Metric(name=said, split=split, figure=interval, group=WITH_CONTEXT))
    return tuple(metrics)


def _folds(judged: Judged, seed: int) -> Rows:
    labels, groups = judged.labels.astype(str).tolist(), judged.groups.tolist()
    try:
        return make_folds(labels, groups, n_folds=N_FOLDS, seed=seed)
    except FoldError as error:
        raise DatasetError(f"age, sex and body site cannot be fitted out of fold: {error}") from error


def _at(judged: Judged, rows: Rows) -> Judged:
    return Judged(judged.probabilities[rows], judged.labels[rows], judged.groups[rows], judged.names[rows])


def _fit(judged: Judged, contexts: Contexts, fields: Fields, ridge: float) -> Factors:
    known = [contexts[name] for name in judged.names.tolist()]
    return fit_factors(_log(judged.probabilities), judged.labels, known, fields, ridge=ridge)


def _ratios(judged: Judged, contexts: Contexts, fitted: Factors) -> Floats:
    factors = PatientFactors(terms=fitted.terms, ridge=1.0, fitted_on="other rows", n=1)
    n_classes = judged.probabilities.shape[1]
    return np.stack([log_ratios(contexts[name], factors, n_classes) for name in judged.names.tolist()])


def _losses(judged: Judged, contexts: Contexts, folds: Rows, fields: Fields, ridge: float) -> Floats:
    """Give each unit's loss out of fold, in nats, (n_units,), with the constants that are dropped later.

    Without them a field would be credited with, or blamed for, frequencies of classes that are the picture's.
    """
    losses = np.empty(len(judged.labels))
    for fold in range(N_FOLDS):
        rows = np.flatnonzero(folds == fold)
        left_out = _at(judged, rows)
        fitted = _fit(_at(judged, np.flatnonzero(folds != fold)), contexts, fields, ridge)
        moved = fuse(left_out.probabilities, _ratios(left_out, contexts, fitted) + fitted.constants)
        losses[rows] = -_log(moved)[np.arange(len(rows)), left_out.labels]
    return losses


def _area_gain(judged: Judged, contexts: Contexts, folds: Rows, fields: Fields, ridge: float) -> float:
    """Give by how much fields raise the mean area over the classes, out of fold and as it is served."""
    together = np.empty_like(judged.probabilities)
    for fold in range(N_FOLDS):
        rows = np.flatnonzero(folds == fold)
        fitted = _fit(_at(judged, np.flatnonzero(folds != fold)), contexts, fields, ridge)
        together[rows] = compare(_at(judged, rows), contexts, fitted).together.probabilities
    return macro_auc(judged.labels, together) - macro_auc(judged.labels, judged.probabilities)


def _log(probabilities: Floats) -> Floats:
    return np.asarray(np.log(np.maximum(probabilities, np.finfo(np.float64).tiny)))


def _measures(recipe: Recipe, labels: NDArray[np.int64]) -> dict[str, Measure]:
    positive = [recipe.class_keys.index(key) for key in recipe.positive]
    is_positive = np.isin(labels, positive)

    def mean_recall(probabilities: Floats, rows: Rows) -> float:
        predicted = np.asarray(probabilities[rows].argmax(axis=1), np.int64)
        return balanced_accuracy(labels[rows], predicted, len(recipe.classes))

    def area_of(place: int) -> Measure:
        return lambda probabilities, rows: auc(labels[rows] == place, probabilities[rows, place])

    measures: dict[str, Measure] = {
        "balanced_accuracy": mean_recall,
        "macro_auc": lambda probabilities, rows: macro_auc(labels[rows], probabilities[rows]),
        "auc_positive": lambda probabilities, rows: auc(
            is_positive[rows], score_of(probabilities[rows], positive)
        ),
        "expected_calibration_error": lambda probabilities, rows: expected_calibration_error(
            probabilities[rows], labels[rows]
        ),
    }
    critical = [place for place, spec in enumerate(recipe.classes) if spec.severity is Severity.CRITICAL]
    return measures | {f"auc_{recipe.class_keys[place]}": area_of(place) for place in critical}


def _gain(measure: Measure, together: Floats, alone: Floats, rows: Rows) -> float:
    return measure(together, rows) - measure(alone, rows)


def _mean_of(values: Floats | NDArray[np.bool_]) -> Callable[[Rows], float]:
    return lambda rows: float(values[rows].mean())


def _by_age(
    recipe: Recipe, trials: Trials, compared: Sequence[Compared], contexts: Contexts, n_resamples: int
) -> tuple[Metric, ...]:
    """Measure how many of the dangerous the point 'balanced' finds at each age: where context may harm."""
    spec = next(spec for spec in recipe.operating_points if spec.name == "balanced")
    positive = np.isin(trials.judged.labels, [recipe.class_keys.index(key) for key in recipe.positive])
    together = _called(recipe, spec, trials, [part.together for part in compared]).astype(np.float64)
    alone = _called(recipe, spec, trials, [part.alone for part in compared])
    bands = np.array([age_band(contexts[name].age_years) for name in trials.judged.names.tolist()])
    metrics = []
    for band in AGE_BANDS.values():
        rows = np.flatnonzero(positive & (bands == band))
        groups = trials.judged.groups[rows]
        if len(np.unique(groups)) < MIN_LESIONS:
            continue
        for name, values in (("sensitivity", together[rows]), ("sensitivity_gain", (together - alone)[rows])):
            figure = bootstrap_interval(_mean_of(values), groups, n_resamples=n_resamples, seed=recipe.seed)
            group = f"{WITH_CONTEXT}, {band}"
            metrics.append(Metric(name=name, split=trials.measured_on, figure=figure, group=group))
    return tuple(metrics)


def _called(recipe: Recipe, spec: PointSpec, trials: Trials, judged: Sequence[Judged]) -> NDArray[np.bool_]:
    """Say of each unit whether it reaches a threshold that its trial chose by the picture alone."""
    places = [recipe.class_keys.index(key) for key in recipe.positive]
    aim = Aim(spec.name, recipe.positive, spec.sensitivity, spec.specificity)

    def threshold(known: Judged) -> float:
        return threshold_for(aim, score_of(known.probabilities, places), np.isin(known.labels, places))

    return np.concatenate(
        [
            score_of(part.probabilities, places) >= threshold(trial.known)
            for trial, part in zip(trials.each, judged, strict=True)
        ]
    )


def _point(
    recipe: Recipe, spec: PointSpec, trials: Trials, compared: Sequence[Compared], n_resamples: int
) -> ContextPoint:
    """Measure with the context a threshold that was chosen without."""
    is_called = _called(recipe, spec, trials, [part.together for part in compared])
    judged = trials.judged
    is_positive = np.isin(judged.labels, [recipe.class_keys.index(key) for key in recipe.positive])

    def part_of(is_right: NDArray[np.bool_], counts: NDArray[np.bool_]) -> Interval:
        return bootstrap_interval(
            _mean_of(is_right[counts]), judged.groups[counts], n_resamples=n_resamples, seed=recipe.seed
        )

    return ContextPoint(
        name=spec.name,
        sensitivity=part_of(is_called, is_positive),
        specificity=part_of(~is_called, ~is_positive),
    )
