"""Measures a run's best weights on the test folds, with intervals that know of lesions.

The figures of the test folds come from weights, temperature and thresholds that never saw them: the
validation folds chose all three.
"""

from collections.abc import Callable

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
from models.networks.build import build_network
from models.networks.outputs import ImageClassifier
from training.checkpoint import read_tensors
from training.dataset import LabelledSet, Pixels
from training.errors import RunError
from training.inference import move, predict
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
    network = build_network(recipe.network.name, n_classes=len(recipe.classes))
    network.load_state_dict(read_tensors(run.best))
    move(network, device)
    network.eval()
    return network


def evaluate(
    recipe: Recipe, labelled: LabelledSet, pixels: Pixels, run: Run, *, device: torch.device
) -> dict[str, object]:
    """Score every part of the split, keep what the network gave, measure the test folds.

    Returns
    -------
    dict
        As it stands in the run's ``evaluation.json``: ``metrics`` (as in the card) and ``confusion``.
    """
    network = best_network(recipe, run, device)
    parts: dict[SplitPart, ScoredSet] = {}
    for part, folds in recipe.folds.parts.items():
        rows = labelled.rows_in(folds)
        given = predict(network, pixels, rows, device, with_mirror=recipe.input.flips)
        names = np.array(labelled.names)[rows]
        parts[part] = ScoredSet(
            given.logits, given.features, labelled.labels[rows], labelled.groups[rows], names
        )
        write_scored(run.predictions(part), parts[part])
    test = parts["test"]
    metrics = measure(recipe, test)
    counts = confusion_matrix(test.labels, _first(softmax(test.logits)), len(recipe.classes))
    result = {"metrics": [metric.model_dump(mode="json") for metric in metrics], "confusion": counts.tolist()}
    write_json(run.evaluation, result)
    return result


def measure(recipe: Recipe, scored: ScoredSet) -> tuple[Metric, ...]:
    """Give the figures of a scored set with 95 % intervals, lesions resampled whole.

    Parameters
    ----------
    recipe : Recipe
        Names the classes and which of them are positive.
    scored : ScoredSet
        Of the test folds.
    """
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
    split = recipe.folds.text_of(recipe.folds.test)
    metrics = [
        Metric(name=name, split=split, figure=_interval(figure, scored.groups, recipe.seed))
        for name, figure in figures.items()
    ]
    for place, key in enumerate(recipe.class_keys):
        is_called = predicted[truth == place] == place
        interval = _interval(_part_of(is_called), scored.groups[truth == place], recipe.seed)
        metrics.append(Metric(name=f"recall_{key}", split=split, figure=interval))
    return tuple(metrics)


def _interval(figure: Callable[[NDArray[np.intp]], float], groups: NDArray[np.str_], seed: int) -> Interval:
    return bootstrap_interval(figure, groups, n_resamples=N_RESAMPLES, seed=seed)


def _auc_of(is_positive: NDArray[np.bool_], scores: Floats) -> Callable[[NDArray[np.intp]], float]:
    return lambda rows: auc(is_positive[rows], scores[rows])


def _part_of(is_right: NDArray[np.bool_]) -> Callable[[NDArray[np.intp]], float]:
    return lambda rows: float(is_right[rows].mean())


def _first(probabilities: Floats) -> NDArray[np.int64]:
    return np.asarray(probabilities.argmax(axis=1), np.int64)
