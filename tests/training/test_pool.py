"""A crossed recipe: every fold is tested once, by a network that never saw its lesions."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from training.checkpoint import read_progress
from training.cli import app
from training.errors import RecipeError, RunError
from training.pool import pool, read_out_of_fold
from training.predictions import read_scored, write_scored
from training.recipe import read_recipe
from training.run import Run
from training.work import Work, open_work

N_FOLDS = 3


@pytest.fixture(scope="module")
def crossed_recipe(tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    text = tiny_recipe.read_text(encoding="utf-8")
    path = tmp_path_factory.mktemp("crossed") / "tiny.toml"
    first_stage = text[text.index("[[stages]]") : text.rindex("[[stages]]")]
    text = text.replace(first_stage, "").replace("pretrained = true", "pretrained = false")
    path.write_text(
        text.replace("n = 5", f"n = {N_FOLDS}\ncross = true") + '\n[stopping]\nchoose = "last"\n',
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def work(crossed_recipe: Path, tiny_datasets: Path, tmp_path_factory: pytest.TempPathFactory) -> Work:
    run = tmp_path_factory.mktemp("runs") / "tiny"
    work = open_work(crossed_recipe, run=run, datasets=tiny_datasets, device="cpu", threads=1)
    work.of_fold(1).fit(5.0)
    work.fit(5.0)
    work.evaluate()
    work.calibrate()
    return work


def test_a_fold_trains_on_all_others_when_nothing_is_held_back_to_choose_the_epoch(work: Work) -> None:
    spec = work.recipe.of_fold(1).folds

    assert (spec.train, spec.validation, spec.test) == ((0, 2), (), (1,))
    history = read_progress(work.run.of_fold(1).checkpoint).history
    assert "balanced_accuracy" not in history[-1]


def test_a_fold_of_a_crossed_recipe_is_the_recipe_that_names_its_folds(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    named = read_recipe(tiny_recipe)
    crossed = tmp_path / "crossed.toml"
    crossed.write_text(tiny_recipe.read_text(encoding="utf-8").replace("n = 5", "n = 5\ncross = true"))

    recipe = read_recipe(crossed)

    assert recipe.of_fold(0).fit_sha256 == named.fit_sha256
    assert recipe.of_fold(0).sha256 == named.sha256
    assert recipe.of_fold(4).folds.validation == (0,)
    assert len({recipe.sha256, *(recipe.of_fold(fold).sha256 for fold in range(5))}) == 6


def test_pooled_predictions_hold_each_image_once_scored_by_the_network_of_its_fold(work: Work) -> None:
    pooled = read_scored(work.run.predictions("test"))

    assert pooled.names.tolist() == list(work.labelled.names)
    for fold in range(N_FOLDS):
        part = read_scored(work.run.of_fold(fold).predictions("test"))
        rows = work.labelled.rows_in((fold,))
        np.testing.assert_array_equal(pooled.logits[rows], part.logits)
        trained_on = work.labelled.rows_in(work.recipe.of_fold(fold).folds.train)
        assert not set(part.groups) & set(work.labelled.groups[trained_on])


def test_the_figures_say_that_they_are_out_of_fold_and_stand_beside_those_of_each_fold(work: Work) -> None:
    evaluation = json.loads(work.run.evaluation.read_text(encoding="utf-8"))
    calibration = json.loads(work.run.calibration.read_text(encoding="utf-8"))

    said = "out of fold, 3 folds by group, seed 1"
    assert {metric["split"] for metric in evaluation["metrics"]} == {said}
    assert {metric["figure"]["n"] for metric in evaluation["metrics"]} == {90, 30}
    assert np.sum(evaluation["confusion"]) == 90
    assert [(fold["fold"], fold["n"]) for fold in evaluation["folds"]] == [(0, 30), (1, 30), (2, 30)]
    assert calibration["calibration"]["fitted_on"] == said
    assert calibration["calibration"]["n"] == 90
    assert {point["chosen_on"] for point in calibration["operating_points"]} == {said}


def test_a_fold_that_was_not_finished_is_left_out_and_the_split_says_so(
    crossed_recipe: Path, work: Work, tmp_path: Path
) -> None:
    for fold in (0, 2):
        (tmp_path / f"fold-{fold}").symlink_to(work.run.of_fold(fold).folder)
    partial = open_work(crossed_recipe, run=tmp_path, datasets=work.datasets, device="cpu", threads=None)

    figures = json.loads(partial.evaluate().read_text(encoding="utf-8"))

    assert figures["metrics"][0]["split"] == "out of fold, folds 0, 2 of 3 by group, seed 1"
    assert figures["metrics"][0]["figure"]["n"] == 60


def test_a_fold_is_scored_again_only_when_its_weights_are_newer(work: Work) -> None:
    predictions = work.run.of_fold(0).predictions("test")
    os.utime(predictions, ns=(2_000_000_000_000_000_000,) * 2)
    work.evaluate()
    assert predictions.stat().st_mtime_ns == 2_000_000_000_000_000_000

    os.utime(predictions, ns=(1, 1))
    work.evaluate()

    assert predictions.stat().st_mtime_ns > 1


def test_predictions_of_other_rows_are_not_pooled(work: Work, tmp_path: Path) -> None:
    run = Run(tmp_path)
    for fold in range(N_FOLDS):
        run.of_fold(fold).folder.mkdir()
        for file in work.run.of_fold(fold).folder.iterdir():
            (run.of_fold(fold).folder / file.name).write_bytes(file.read_bytes())
    fold_0 = read_out_of_fold(work.recipe, run)[0]
    write_scored(run.of_fold(0).predictions("test"), fold_0.at(np.arange(29)))

    with pytest.raises(RunError, match="not of the rows of fold 0"):
        pool(work.recipe, work.labelled, run)


def test_folds_of_another_recipe_are_not_pooled(crossed_recipe: Path, work: Work, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(crossed_recipe.read_text(encoding="utf-8").replace("seed = 3", "seed = 4"))

    with pytest.raises(RunError, match="run of another recipe"):
        pool(read_recipe(other), work.labelled, work.run)


def test_a_crossed_recipe_without_a_finished_fold_says_how_to_train_one(tmp_path: Path, work: Work) -> None:
    with pytest.raises(RunError, match="fit --fold 0"):
        pool(work.recipe, work.labelled, Run(tmp_path))


def test_a_fold_is_asked_for_only_where_there_is_one(tiny_recipe: Path, crossed_recipe: Path) -> None:
    with pytest.raises(RecipeError, match="names its test folds"):
        read_recipe(tiny_recipe).of_fold(0)
    with pytest.raises(RecipeError, match="no fold 3; they are 0 to 2"):
        read_recipe(crossed_recipe).of_fold(3)


def test_the_program_evaluates_one_fold(work: Work, crossed_recipe: Path) -> None:
    arguments = ["evaluate", str(crossed_recipe), "--fold", "2", "--run", str(work.run.folder)]

    done = CliRunner().invoke(app, [*arguments, "--data", str(work.datasets)])

    assert done.exit_code == 0
    assert "fold-2/evaluation.json" in "".join(done.output.split())
