from pathlib import Path

import numpy as np
import pytest

from data.skin_tone import SkinTone
from data.study import LabelledImage
from models.runtime import Session
from tests.tiny_model import write_tiny_artifact
from training.appraisal import (
    estimate_tone,
    groups_file,
    measure_evidence,
    measure_groups_of,
    read_evidence,
    read_groups,
)
from training.dataset import LabelledSet, cached_pixels, read_labelled_set
from training.errors import DatasetError, RunError
from training.predictions import ScoredSet, write_scored
from training.recipe import Recipe, read_recipe
from training.run import Run, write_json


@pytest.fixture
def recipe(tiny_recipe: Path) -> Recipe:
    return read_recipe(tiny_recipe)


@pytest.fixture
def labelled(recipe: Recipe, tiny_datasets: Path) -> LabelledSet:
    return read_labelled_set(recipe, tiny_datasets)


@pytest.fixture
def run(recipe: Recipe, labelled: LabelledSet, tmp_path: Path) -> Run:
    """Give a run that calls every image right and is calibrated."""
    run = Run(tmp_path)
    rows = labelled.rows_in(recipe.folds.test)
    labels = labelled.labels[rows]
    logits = (4 * np.eye(3)[labels]).astype(np.float32)
    names = np.array(labelled.names)[rows]
    features = np.zeros((len(rows), 1), np.float32)
    positions = np.zeros(len(rows), np.int64)
    scored = ScoredSet(logits, features, labels, labelled.groups[rows], names, names, positions)
    write_scored(run.predictions("test"), scored)
    interval = {"value": 0.9, "low": 0.8, "high": 1.0, "n": 10}
    point = {"name": "balanced", "classes": ["mel"], "threshold": 0.5, "chosen_on": "made up"}
    write_json(
        run.calibration,
        {
            "calibration": {"temperature": 1.0, "fitted_on": "x", "n": 1, "ece_before": 0, "ece_after": 0},
            "operating_points": [{**point, "sensitivity": interval, "specificity": interval}],
        },
    )
    return run


def test_a_runs_groups_are_read_back_as_they_were_measured(
    recipe: Recipe, labelled: LabelledSet, run: Run
) -> None:
    measured = measure_groups_of(recipe, labelled, run)

    assert read_groups(run) == measured
    by_name = {attribute.name: attribute for attribute in measured}
    assert [group.name for group in by_name["sex"].groups] == ["female"]
    n_images = len(labelled.rows_in(recipe.folds.test))
    assert by_name["sex"].groups[0].n_images == n_images
    assert by_name["sex"].groups[0].n_lesions == n_images / 2


def test_the_drawn_skin_is_seen_in_every_image_and_too_few_lesions_give_no_figure(
    recipe: Recipe, labelled: LabelledSet, run: Run
) -> None:
    tones = next(one for one in measure_groups_of(recipe, labelled, run) if one.name.startswith("skin tone"))

    # the fixture's skin (215, 180, 160) has an angle of 57.7 degrees
    assert [group.name for group in tones.groups] == ["very light"]
    assert tones.unknown is None
    assert set(tones.groups[0].figures.values()) == {None}


def test_a_runs_evidence_is_read_back_as_it_was_measured(
    recipe: Recipe, labelled: LabelledSet, tmp_path: Path
) -> None:
    run = Run(tmp_path)
    session = Session(write_tiny_artifact(tmp_path, classes=("mel", "nv", "vasc")))
    pixels = cached_pixels(labelled, recipe.input, tmp_path)

    figures = measure_evidence(recipe, session, labelled, pixels, run)

    assert read_evidence(run) == figures
    n_lesions = len(set(labelled.groups[labelled.rows_in(recipe.folds.test)]))
    assert figures.deletion_gain["shifted"].n == n_lesions
    (tmp_path / "evidence.json").write_text("{}")
    with pytest.raises(RunError, match="holds no figures of evidence"):
        read_evidence(run)


def test_figures_of_groups_that_are_missing_or_something_else_are_refused(run: Run) -> None:
    with pytest.raises(RunError, match=r"groups\.json"):
        read_groups(run)

    write_json(groups_file(run), {"groups": [{"name": "sex"}]})
    with pytest.raises(RunError, match="holds no figures by group"):
        read_groups(run)


def test_a_file_that_is_no_photograph_shows_no_skin_and_a_broken_one_is_named(
    labelled: LabelledSet, tmp_path: Path
) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no picture")
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(labelled.images[0].path.read_bytes()[:300])

    assert estimate_tone(labelled.images[0]) is SkinTone.VERY_LIGHT
    assert estimate_tone(LabelledImage(text, "nv", "lesion")) is None
    with pytest.raises(DatasetError, match=r"cut\.jpg"):
        estimate_tone(LabelledImage(cut, "nv", "lesion"))
