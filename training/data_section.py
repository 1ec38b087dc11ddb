"""Tells in CARD.md what data the model was made from and measured on: whom, by whom labelled, how split."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from models.card import ModelCard
from training.groups import AttributeFigures
from training.markdown import table
from training.pool import read_out_of_fold
from training.predictions import ScoredSet, read_scored
from training.recipe import Recipe
from training.run import Run
from training.statement import TITLES, Statement

_PEOPLE = (
    "Whom the rows show on which the model was measured, as far as the set tells (images and cases by part; "
    "skin tones are estimates from the images):"
)
_ASKED = ("sex", "age in years", "body site", "skin tone")


def read_parts(recipe: Recipe, run: Run) -> Mapping[str, ScoredSet]:
    """Read the rows of each part of the split, or of each fold of a crossed recipe.

    Raises
    ------
    training.errors.RunError
        If the run was not evaluated.
    """
    if recipe.folds.cross:
        return {f"fold {fold}": scored for fold, scored in read_out_of_fold(recipe, run).items()}
    return {part: read_scored(run.predictions(part)) for part in recipe.folds.parts}


def section(
    card: ModelCard,
    recipe: Recipe,
    statement: Statement,
    parts: Mapping[str, ScoredSet],
    measured: Sequence[AttributeFigures],
) -> str:
    """Give the card's part on data as Markdown."""
    sources = [
        (one.role, one.source, one.licence, one.split, str(one.n_images), str(one.n_groups))
        for one in card.training_data
    ]
    return "\n\n".join(
        [
            "## Data",
            table(("role", "source", "licence", "split", "images", "groups"), sources),
            _told(statement),
            "Images and cases (lesions or patients) of each class:",
            _classes(recipe, parts),
            _leaks(recipe, parts),
            _people(measured),
        ]
    )


def shared_groups(parts: Mapping[str, ScoredSet]) -> int:
    """Count the lesions or patients that stand in more than one part."""
    groups = [set(scored.groups.tolist()) for scored in parts.values()]
    return len(set().union(*(one & other for one, other in combinations(groups, 2))))


def _told(statement: Statement) -> str:
    lines = ["- Design: retrospective; images that were taken for other ends, none for this model"]
    lines += [f"- {title}: {text}" for name, title in TITLES.items() if (text := getattr(statement, name))]
    if statement.missing:
        lines.append(
            f"- **Missing** (not stated by its makers, or not known here): {_list(statement.missing)}"
        )
    return "\n".join(lines)


def _classes(recipe: Recipe, parts: Mapping[str, ScoredSet]) -> str:
    rows = []
    for part, scored in parts.items():
        cells = []
        for place in range(len(recipe.classes)):
            is_of = scored.labels == place
            cells.append(f"{int(is_of.sum())} ({len(np.unique(scored.groups[is_of]))})")
        rows.append((part, *cells))
    return table(("part", *recipe.class_keys), rows)


def _leaks(recipe: Recipe, parts: Mapping[str, ScoredSet]) -> str:
    n_shared = shared_groups(parts)
    whole = "No lesion or patient stands" if n_shared == 0 else f"**{n_shared} lesions or patients stand**"
    text = f"{whole} in two of these parts: counted from what was scored, when this card was written."
    if recipe.folds.official:
        text += (
            " The test part is the source's own; whether one patient has two names in it cannot be told here."
        )
    return (
        f"{text} One picture under two names is looked for by perceptual hash before training "
        "(`firstread-train fit RECIPE --check`)."
    )


def _people(measured: Sequence[AttributeFigures]) -> str:
    rows = [
        (attribute.name, group.name, str(group.n_images), str(group.n_lesions))
        for attribute in measured
        for group in (*attribute.groups, *([attribute.unknown] if attribute.unknown else []))
    ]
    known = " ".join(attribute.name for attribute in measured)
    absent = [name for name in _ASKED if name not in known]
    text = f"{_PEOPLE}\n\n{table(('by', 'group', 'images', 'cases'), rows)}" if rows else ""
    if absent:
        missing = f"**Missing**: the set does not tell {_list(absent)}, so no figure is given by it."
        text = f"{text}\n\n{missing}" if text else missing
    return text


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)
