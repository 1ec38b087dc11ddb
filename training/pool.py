"""Puts together what the networks of a crossed recipe say of the folds that they never saw.

Each row is scored once, by the network that was trained without its fold. So all rows together measure the
recipe, and no network is measured on what it learnt from. The logits of different networks stand side by
side: that they may differ in scale can only lower a pooled figure.
"""

import numpy as np

from training.checkpoint import read_progress
from training.dataset import LabelledSet
from training.errors import RunError
from training.predictions import ScoredSet, join, read_scored
from training.recipe import Recipe
from training.run import Run


def finished_folds(recipe: Recipe, run: Run) -> tuple[int, ...]:
    """Give the folds of a crossed recipe whose run came to its end.

    Raises
    ------
    RunError
        If there is none.
    """
    checkpoints = {fold: run.of_fold(fold).checkpoint for fold in range(recipe.folds.n)}
    finished = tuple(
        fold for fold, path in checkpoints.items() if path.exists() and read_progress(path).is_finished
    )
    if not finished:
        raise RunError(f"{run.folder} holds no finished fold; train one with: firstread-train fit --fold 0")
    return finished


def measured_on(recipe: Recipe, run: Run) -> str:
    """Name the rows that a run's figures are of, as the card does: a crossed recipe's finished folds."""
    folds = recipe.folds
    return folds.text_of(finished_folds(recipe, run) if folds.cross else folds.test)


def read_out_of_fold(recipe: Recipe, run: Run) -> dict[int, ScoredSet]:
    """Read what each finished fold's network gives for its own test fold.

    Raises
    ------
    RunError
        If no fold is finished, or one was not evaluated yet.
    """
    return {fold: read_scored(run.of_fold(fold).predictions("test")) for fold in finished_folds(recipe, run)}


def pool(recipe: Recipe, labelled: LabelledSet, run: Run) -> ScoredSet:
    """Put the finished folds' predictions together, in the order of the set's rows.

    Parameters
    ----------
    recipe : Recipe
        Crossed.
    labelled : LabelledSet
        Its rows and their folds.
    run : Run
        The recipe's; those of its folds lie in it.

    Raises
    ------
    RunError
        If a fold's run is of another recipe or another split, or its predictions are not of its rows.
    """
    scored = read_out_of_fold(recipe, run)
    rows_of_fold = []
    for fold, part in scored.items():
        folder = run.of_fold(fold)
        folder.check_is_of(recipe.of_fold(fold), labelled)
        rows = labelled.rows_in((fold,))
        if part.names.tolist() != [labelled.names[row] for row in rows]:
            raise RunError(
                f"{folder.predictions('test')} is not of the rows of fold {fold}; "
                f"make it again with: firstread-train evaluate --fold {fold}"
            )
        rows_of_fold.append(rows)
    return join(scored.values()).at(np.argsort(np.concatenate(rows_of_fold)))
