"""Measures a run's best weights on the test folds, with intervals that know of lesions.

The figures of the test folds come from weights, calibration and thresholds that never saw them: the
validation folds chose all three. Those of a crossed recipe are measured on all rows, each scored by the
network of the fold that it was left out of.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from models.networks.outputs import ImageClassifier
from training.checkpoint import check_is_of, read_tensors
from training.dataset import LabelledSet, Pixels
from training.errors import RunError
from training.figures import Reading, confusion, figures_of, measure
from training.inference import move, predict
from training.network import network_of
from training.pool import pool, read_out_of_fold
from training.predictions import ScoredSet, write_scored
from training.recipe import Recipe, SplitPart
from training.run import Run, write_json
from training.trials import cross_fit
from training.units import Fit, fit_units


def best_network(recipe: Recipe, run: Run, device: torch.device) -> ImageClassifier:
    """Make the network with the weights of the run's best epoch, in evaluation.

    Raises
    ------
    RunError
        If the run has not reached its last stage yet, or the weights are of another recipe.
    """
    if not run.best.exists():
        raise RunError(f"{run.best} does not exist yet; let firstread-train fit come to its last stage")
    check_is_of(run.best, recipe.fit_sha256)
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

    The figures stand in the run's ``evaluation.json``: ``metrics``, as in the card, and ``confusion``. They
    are of probabilities as they are served, calibrated on the validation folds; where these are not among
    `parts`, nothing is fitted.
    """
    network = best_network(recipe, run, device)
    scored = {
        part: score(
            recipe, network, labelled, pixels, rows=labelled.rows_in(recipe.folds.parts[part]), device=device
        )
        for part in parts
    }
    for part, given in scored.items():
        write_scored(run.predictions(part), given)
    fit = fit_units(recipe, scored["validation"]) if "validation" in scored else Fit()
    readings = [Reading(scored["test"], fit)]
    write_json(run.evaluation, _content(recipe, readings, recipe.folds.text_of(recipe.folds.test)))


def score(
    recipe: Recipe,
    network: ImageClassifier,
    labelled: LabelledSet,
    pixels: Pixels,
    *,
    rows: NDArray[np.intp],
    device: torch.device,
) -> ScoredSet:
    """Run a network over some rows."""
    given = predict(network, pixels, rows, device, with_mirror=recipe.input.flips)
    images = [labelled.images[row] for row in rows]
    names = np.array(labelled.names)[rows]
    return ScoredSet(
        logits=given.logits,
        features=given.features,
        labels=labelled.labels[rows],
        groups=labelled.groups[rows],
        names=names,
        studies=np.array([image.study or name for image, name in zip(images, names, strict=True)]),
        positions=np.array([image.position for image in images], np.int64),
    )


def evaluate_pooled(recipe: Recipe, labelled: LabelledSet, run: Run) -> None:
    """Measure a crossed recipe on all rows of its finished folds, and each fold by itself.

    Beside ``metrics`` and ``confusion``, ``evaluation.json`` then holds each fold's figures in ``folds``.
    """
    write_scored(run.predictions("test"), pool(recipe, labelled, run))
    parts = read_out_of_fold(recipe, run)
    split = recipe.folds.text_of(tuple(parts))
    fits = [Fit()] * len(parts)
    if len(parts) > 1:
        fits = [trial.fit for trial in cross_fit(recipe, [*parts.values()], split).each]
    readings = [Reading(part, fit) for part, fit in zip(parts.values(), fits, strict=True)]
    of_folds = [
        {
            "fold": fold,
            "n": len(reading.scored.labels),
            "figures": {figure.name: figure.value() for figure in figures_of(recipe, [reading])},
        }
        for fold, reading in zip(parts, readings, strict=True)
    ]
    write_json(run.evaluation, _content(recipe, readings, split) | {"folds": of_folds})


def _content(recipe: Recipe, readings: Sequence[Reading], split: str) -> dict[str, object]:
    metrics = measure(recipe, readings, split=split)
    return {
        "metrics": [metric.model_dump(mode="json") for metric in metrics],
        "confusion": confusion(recipe, readings).tolist(),
    }
