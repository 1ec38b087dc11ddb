"""Measures a run's best weights on the test folds, with intervals that know of lesions.

The figures of the test folds come from weights, temperature and thresholds that never saw them: the
validation folds chose all three. Those of a crossed recipe are measured on all rows, each scored by the
network of the fold that it was left out of.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from models.calibration import score_of, softmax
from models.card import Interval, Metric
from models.measures import (
    Floats,
    accuracy,
    auc,
    balanced_accuracy,
    bootstrap_interval,
    confusion_matrix,
    macro_auc,
)
from models.networks.outputs import ImageClassifier
from training.checkpoint import read_tensors
from training.dataset import LabelledSet, Pixels
from training.errors import RunError
from training.inference import move, predict
from training.network import network_of
from training.pool import pool, read_out_of_fold
from training.predictions import ScoredSet, write_scored
from training.recipe import Recipe, SplitPart
from training.run import Run, write_json

N_RESAMPLES = 1000
# Fewer positives or negatives than this say nothing of a subgroup.
MIN_PER_SUBGROUP = 30


def best_network(recipe: Recipe, run: Run, device: torch.device) -> ImageClassifier:
    """Make the network with the weights of the run's best epoch, in evaluation.

    Raises
    ------
    RunError
        If the run has not reached its last stage yet.
    """
    if not run.best.exists():
        raise RunError(f"{run.best} does not exist yet; let firstread-train fit come to its last stage")
    network = network_of(recipe)
    network.load_state_dict(read_tensors(run.best))
    move(network, device)
    network.eval()
    return network


def evaluate(
    recipe: Recipe,
    labelled: LabelledSet,
    pixels: Pixels,
    run: Run,
    *,
    device: torch.device,
    parts: Sequence[SplitPart] = ("train", "validation", "test"),
) -> None:
    """Score parts of the split, keep what the network gave, measure the test folds.

    The figures stand in the run's ``evaluation.json``: ``metrics``, as in the card, and ``confusion``.
    """
    network = best_network(recipe, run, device)
    scored: dict[SplitPart, ScoredSet] = {}
    for part in parts:
        rows = labelled.rows_in(recipe.folds.parts[part])
        given = predict(network, pixels, rows, device, with_mirror=recipe.input.flips)
        names = np.array(labelled.names)[rows]
        scored[part] = ScoredSet(
            given.logits, given.features, labelled.labels[rows], labelled.groups[rows], names
        )
        write_scored(run.predictions(part), scored[part])
    write_json(run.evaluation, _figures_of(recipe, scored["test"], recipe.folds.text_of(recipe.folds.test)))


def evaluate_pooled(recipe: Recipe, labelled: LabelledSet, run: Run) -> None:
    """Measure a crossed recipe on all rows of its finished folds, and each fold by itself.

    Beside ``metrics`` and ``confusion``, ``evaluation.json`` then holds each fold's figures in ``folds``.
    """
    parts = read_out_of_fold(recipe, run)
    pooled = pool(recipe, labelled, run)
    write_scored(run.predictions("test"), pooled)
    of_folds = [
        {"fold": fold, "n": len(part.labels), "figures": _values(recipe, part)}
        for fold, part in parts.items()
    ]
    figures = _figures_of(recipe, pooled, recipe.folds.text_of(tuple(parts)))
    write_json(run.evaluation, figures | {"folds": of_folds})


def _figures_of(recipe: Recipe, scored: ScoredSet, split: str) -> dict[str, object]:
    counts = confusion_matrix(scored.labels, _first(softmax(scored.logits)), len(recipe.classes))
    metrics = measure(recipe, scored, split=split)
    return {"metrics": [metric.model_dump(mode="json") for metric in metrics], "confusion": counts.tolist()}


def measure(recipe: Recipe, scored: ScoredSet, *, split: str) -> tuple[Metric, ...]:
    """Give the figures of a scored set with 95 % intervals, lesions resampled whole.

    Parameters
    ----------
    recipe : Recipe
        Names the classes and which of them are positive.
    scored : ScoredSet
        None of which the network was fitted on.
    split : str
        What the rows are, as the card calls it.
    """
    metrics = [
        Metric(name=name, split=split, figure=_interval(figure, scored.groups, recipe.seed))
        for name, figure in _figures(recipe, scored).items()
    ]
    truth, predicted = scored.labels, _first(scored.logits)
    for place, key in enumerate(recipe.class_keys):
        is_called = predicted[truth == place] == place
        interval = _interval(_part_of(is_called), scored.groups[truth == place], recipe.seed)
        metrics.append(Metric(name=f"recall_{key}", split=split, figure=interval))
    return tuple(metrics)


def _values(recipe: Recipe, scored: ScoredSet) -> dict[str, float]:
    """Give the figures of a scored set without intervals."""
    every = np.arange(len(scored.labels))
    return {name: figure(every) for name, figure in _figures(recipe, scored).items()}


def _figures(recipe: Recipe, scored: ScoredSet) -> dict[str, Callable[[NDArray[np.intp]], float]]:
    """Give each figure as a function of row numbers."""
    probabilities = softmax(scored.logits)
    truth, predicted = scored.labels, _first(probabilities)
    n_classes = len(recipe.classes)
    positive_classes = [recipe.class_keys.index(key) for key in recipe.positive]
    is_positive = np.isin(truth, positive_classes)
    positive_scores = score_of(probabilities, positive_classes)
    figures: dict[str, Callable[[NDArray[np.intp]], float]] = {
        "accuracy": lambda rows: accuracy(truth[rows], predicted[rows]),
        "balanced_accuracy": lambda rows: balanced_accuracy(truth[rows], predicted[rows], n_classes),
        "macro_auc": lambda rows: macro_auc(truth[rows], probabilities[rows]),
        "auc_positive": lambda rows: auc(is_positive[rows], positive_scores[rows]),
    }
    for place, key in enumerate(recipe.class_keys):
        figures[f"auc_{key}"] = _auc_of(truth == place, probabilities[:, place])
    return figures


def _interval(figure: Callable[[NDArray[np.intp]], float], groups: NDArray[np.str_], seed: int) -> Interval:
    return bootstrap_interval(figure, groups, n_resamples=N_RESAMPLES, seed=seed)


def _auc_of(is_positive: NDArray[np.bool_], scores: Floats) -> Callable[[NDArray[np.intp]], float]:
    return lambda rows: auc(is_positive[rows], scores[rows])


def _part_of(is_right: NDArray[np.bool_]) -> Callable[[NDArray[np.intp]], float]:
    return lambda rows: float(is_right[rows].mean())


def _first(scores: Floats | NDArray[np.float32]) -> NDArray[np.int64]:
    return np.asarray(scores.argmax(axis=1), np.int64)
