"""The network that ships of a crossed recipe: trained on all folds, so that no image is left to measure it.

What its card tells of it was measured on the networks of the folds, which the same recipe made and each of
which was shown images that it never saw. One number of its own it needs all the same: how far from the
features of training an image of its own kind may lie. Images that trained a network lie nearer than others,
so the distance at which others lie is taken from the folds' networks: there both are known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models import novelty
from models.calibration import softmax
from training.dataset import LabelledSet
from training.errors import RunError
from training.pool import finished_folds, pool
from training.predictions import ScoredSet
from training.recipe import Recipe, SplitPart
from training.run import Run

# Of the rows that trained a fold's network so many tell where such rows lie.
N_KNOWN = 2000


def check_folds(recipe: Recipe, run: Run) -> None:
    """Raise RunError unless every fold of a crossed recipe is finished."""
    if missing := sorted({*range(recipe.folds.n)} - {*finished_folds(recipe, run)}):
        raise RunError(
            f"{run.folder} lacks fold {', '.join(map(str, missing))}; train with: "
            f"firstread-train fit --fold {missing[0]}"
        )


def soft_targets(recipe: Recipe, labelled: LabelledSet, run: Run) -> NDArray[np.float32] | None:
    """Give what the network shall learn from the folds' networks, (n_rows, n_classes); None for nothing.

    Each row's is the word of the one network that never saw it.

    Raises
    ------
    RunError
        If a fold is not finished, or was not evaluated.
    """
    if recipe.distil is None:
        return None
    check_folds(recipe, run)
    return softmax(pool(recipe, labelled, run).logits, recipe.distil.temperature).astype(np.float32)


def known_rows(recipe: Recipe, labelled: LabelledSet, fold: int) -> NDArray[np.intp]:
    """Draw rows that trained a fold's network, in rising order."""
    rows = labelled.rows_in(recipe.of_fold(fold).folds.train)
    draws = np.random.default_rng((recipe.seed, fold))
    return np.sort(draws.permutation(rows)[:N_KNOWN])


def stretch(known: Sequence[ScoredSet], unknown: Sequence[ScoredSet], *, acceptance: float) -> float:
    """Say how many times as far from training's features images lie that a network was not trained on.

    Parameters
    ----------
    known : sequence of ScoredSet
        Rows that trained the network of each fold.
    unknown : sequence of ScoredSet
        The rows that it was tested on.
    acceptance : float
        The part of either set within the distances that are compared.

    Returns
    -------
    float
        At least 1; the geometric mean over the folds.
    """
    logs = []
    for trained_on, tested_on in zip(known, unknown, strict=True):
        near = novelty.fit(trained_on.features, trained_on.labels, acceptance=acceptance)
        far = novelty.distance(tested_on.features, near)
        logs.append(np.log(np.quantile(far, acceptance, method="higher") / near.threshold))
    return max(1.0, float(np.exp(np.mean(logs))))


def moved_away(scored: ScoredSet, times: float) -> ScoredSet:
    """Move features `times` as far from the mean of their class as they lie: where unknown rows would."""
    features = np.array(scored.features)
    for label in np.unique(scored.labels):
        rows = scored.labels == label
        middle = features[rows].mean(axis=0)
        features[rows] = middle + times * (features[rows] - middle)
    return replace(scored, features=features)


def shipped_parts(
    recipe: Recipe, labelled: LabelledSet, scored: ScoredSet, times: float
) -> Mapping[SplitPart, ScoredSet]:
    """Split what the network that ships gives for all rows as :attr:`Recipe.shipped` says.

    The features of the validation part are moved to where those of unknown rows would lie.
    """
    folds = recipe.shipped.folds.parts
    parts = {part: scored.at(labelled.rows_in(numbers)) for part, numbers in folds.items()}
    return parts | {"validation": moved_away(parts["validation"], times)}
