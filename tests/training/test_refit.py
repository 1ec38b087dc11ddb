"""The network of a crossed recipe that ships: what it learns from, and what its card says of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from models.artifact import Artifact, read_artifact
from models.calibration import softmax
from models.runtime import Session
from training.checkpoint import read_progress
from training.errors import RecipeError, RunError, TrainingError
from training.evaluate import best_network
from training.kept import keep, read_kept
from training.loss import distillation
from training.pool import read_out_of_fold
from training.predictions import ScoredSet, read_scored
from training.recipe import Recipe, read_recipe
from training.refit import moved_away, soft_targets, stretch
from training.run import Run
from training.shipping import ITSELF
from training.trials import cross_fit
from training.units import judge_units
from training.work import Work, open_work

N_FOLDS = 3


@pytest.fixture(scope="module")
def distilled_recipe(tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    text = tiny_recipe.read_text(encoding="utf-8")
    first_stage = text[text.index("[[stages]]") : text.rindex("[[stages]]")]
    text = text.replace(first_stage, "").replace("pretrained = true", "pretrained = false")
    text = text.replace("n = 5", f"n = {N_FOLDS}\ncross = true")
    path = tmp_path_factory.mktemp("crossed") / "tiny.toml"
    path.write_text(
        text + '\n[stopping]\nchoose = "last"\n\n[distil]\nweight = 0.5\ntemperature = 2.0\n',
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def work(distilled_recipe: Path, tiny_datasets: Path, tmp_path_factory: pytest.TempPathFactory) -> Work:
    run = tmp_path_factory.mktemp("runs") / "tiny"
    work = open_work(distilled_recipe, run=run, datasets=tiny_datasets, device="cpu", threads=1)
    work.fit(5.0)
    work.evaluate()
    work.calibrate()
    work.refit(5.0)
    return work


@pytest.fixture(scope="module")
def artifact(work: Work) -> Artifact:
    artifact, difference = work.export(None, with_int8=False)
    assert difference <= 1e-4
    work.report(None)
    return read_artifact(artifact.folder)


def test_all_folds_train_the_network_that_ships(work: Work) -> None:
    whole = work.recipe.whole

    assert whole.folds.train == (0, 1, 2)
    assert (whole.folds.validation, whole.folds.test) == ((), ())
    progress = read_progress(work.run.refit.checkpoint)
    assert progress.is_finished
    assert progress.n_steps == 90 // 8


def test_soft_targets_are_what_the_network_says_that_never_saw_the_row(work: Work) -> None:
    targets = soft_targets(work.recipe, work.labelled, work.run)

    assert targets is not None
    assert targets.shape == (90, 3)
    for fold in range(N_FOLDS):
        rows = work.labelled.rows_in((fold,))
        logits = read_scored(work.run.of_fold(fold).predictions("test")).logits
        np.testing.assert_allclose(targets[rows], softmax(logits, 2.0), rtol=1e-5)


def test_what_ships_is_the_refit_network_and_its_card_says_so(work: Work, artifact: Artifact) -> None:
    network = best_network(work.recipe.whole, work.run.refit, torch.device("cpu"))
    pixels = np.array(work.pixels_at(32)[:8])
    with torch.inference_mode():
        logits = network(torch.from_numpy(pixels).permute(0, 3, 1, 2).float()).logits.numpy()
    np.testing.assert_allclose(Session(artifact).run(pixels).logits, logits, atol=1e-4)

    card = artifact.card
    assert card.recipe_sha256 == work.recipe.sha256
    assert [(part.role, part.split, part.n_images) for part in card.training_data] == [
        ("train", "folds 0, 1, 2 of 3 by group, seed 1", 90),
        ("test", "out of fold, 3 folds by group, seed 1", 90),
    ]
    assert card.calibration.fitted_on == "out of fold, 3 folds by group, seed 1"
    assert any("no image is left on which it could be measured" in limit for limit in card.limits)
    text = (artifact.folder / "CARD.md").read_text(encoding="utf-8")
    assert "no image is left on which it could be measured" in text
    assert "measured on each fold with those of the other folds" in text


def test_the_network_of_a_fold_ships_measured_on_the_fold_it_never_saw(
    work: Work, artifact: Artifact, tmp_path: Path
) -> None:
    of_fold, difference = work.export(tmp_path, with_int8=False, fold=1)
    text = work.report(tmp_path).read_text(encoding="utf-8")

    assert difference <= 1e-4
    card, refitted = of_fold.card, artifact.card
    assert card.onnx_sha256 != refitted.onnx_sha256
    network = best_network(work.recipe.of_fold(1), work.run.of_fold(1), torch.device("cpu"))
    pixels = np.array(work.pixels_at(32)[:8])
    with torch.inference_mode():
        logits = network(torch.from_numpy(pixels).permute(0, 3, 1, 2).float()).logits.numpy()
    np.testing.assert_allclose(Session(of_fold).run(pixels).logits, logits, atol=1e-4)
    # What the recipe is measured by, and calibrated on, is the same; what trained the network is not.
    assert (card.calibration, card.operating_points) == (refitted.calibration, refitted.operating_points)
    assert [(part.role, part.split, part.n_images) for part in card.training_data] == [
        ("train", "folds 0, 2 of 3 by group, seed 1", 60),
        ("test", "out of fold, 3 folds by group, seed 1", 90),
    ]
    itself = {one.name: one for one in card.metrics if one.group == ITSELF}
    scored = read_scored(work.run.of_fold(1).predictions("test"))
    trials = cross_fit(work.recipe, [*read_out_of_fold(work.recipe, work.run).values()], "out of fold")
    judged = judge_units(work.recipe, scored, trials.each[1].fit)
    assert itself["accuracy"].figure.value == np.mean(judged.probabilities.argmax(axis=1) == scored.labels)
    assert itself["accuracy"].split == "fold 1 of 3 by group, seed 1"
    assert any(
        "that of fold 1; on the 30 images of that fold it gives accuracy" in one for one in card.limits
    )
    assert "which was refitted on all folds" not in text
    work.export(tmp_path / "refit", with_int8=False)  # the run's last export is the refit's again
    assert "which was refitted on all folds" in work.report(tmp_path / "refit").read_text(encoding="utf-8")


def test_what_two_folds_measured_is_told_to_be_of_two_folds(work: Work, tmp_path: Path) -> None:
    run = tmp_path / "two"
    run.mkdir()
    for fold in (1, 2):
        (run / f"fold-{fold}").symlink_to(work.run.of_fold(fold).folder)
    partial = replace(work, run=Run(run))
    partial.evaluate()
    partial.calibrate()

    artifact, _ = partial.export(None, with_int8=False, fold=2)
    partial.report(None)

    split = "out of fold, folds 1, 2 of 3 by group, seed 1"
    card = artifact.card
    itself = {metric for metric in card.metrics if metric.group == ITSELF}
    own = {metric for metric in card.metrics if metric.name in {"abstained", "novelty_auroc"}}
    assert {metric.split for metric in {*card.metrics} - itself - own} == {split}
    assert card.calibration.fitted_on == split
    assert card.training_data[-1].split == split
    assert any(
        one.startswith("Figures, calibration and thresholds were measured on the networks of 2 folds")
        for one in card.limits
    )
    beside = tmp_path / "tiny.toml"
    kept = read_kept(keep(work.recipe, beside, partial.run))
    assert (kept.measured_on, kept.recipe_sha256) == (split, work.recipe.sha256)
    assert kept.calibration == card.calibration
    assert {*kept.metrics} < {*card.metrics}
    assert kept.cost.startswith("2 networks, trained in")
    with pytest.raises(TrainingError, match="fold 0 is not finished"):
        partial.export(tmp_path, fold=0)


def test_only_a_crossed_recipe_ships_a_fold(tiny_recipe: Path, tiny_datasets: Path, tmp_path: Path) -> None:
    work = open_work(tiny_recipe, run=tmp_path, datasets=tiny_datasets, device="cpu", threads=None)

    with pytest.raises(RecipeError, match="it has no run for fold 1 alone"):
        work.export(None, fold=1)


def test_a_refit_waits_for_the_folds_that_teach_it(
    distilled_recipe: Path, work: Work, tmp_path: Path
) -> None:
    (tmp_path / "fold-1").symlink_to(work.run.of_fold(1).folder)
    partial = open_work(distilled_recipe, run=tmp_path, datasets=work.datasets, device="cpu", threads=None)

    with pytest.raises(RunError, match=r"lacks fold 0, 2; train with: firstread-train fit --fold 0"):
        partial.refit(5.0)


def test_only_a_crossed_recipe_is_refitted(tiny_recipe: Path, tiny_datasets: Path, tmp_path: Path) -> None:
    work = open_work(tiny_recipe, run=tmp_path, datasets=tiny_datasets, device="cpu", threads=None)

    with pytest.raises(TrainingError, match="what fit trained is what ships"):
        work.refit(5.0)


def test_distillation_is_part_of_the_refit_alone(distilled_recipe: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    text = distilled_recipe.read_text(encoding="utf-8")
    other.write_text(text.replace("weight = 0.5", "weight = 0.8"), encoding="utf-8")
    first, second = read_recipe(distilled_recipe), read_recipe(other)

    assert first.of_fold(0).fit_sha256 == second.of_fold(0).fit_sha256
    assert first.whole.fit_sha256 != second.whole.fit_sha256
    assert first.sha256 != second.sha256


def test_distillation_asks_for_a_crossed_recipe(tiny_recipe: Path, tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(tiny_recipe.read_text(encoding="utf-8") + "\n[distil]\nweight = 0.5\n")

    with pytest.raises(RecipeError, match=r"set folds\.cross = true"):
        read_recipe(path)


def test_the_distillation_loss_is_least_at_the_teachers_own_logits() -> None:
    teacher = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 3.0]])
    soft = functional.softmax(teacher / 2.0, dim=1)
    entropy = -(soft * soft.log()).sum(dim=1).mean()

    own = distillation(teacher, soft, 2.0)

    assert own.item() == pytest.approx(4.0 * entropy.item(), rel=1e-6)
    assert distillation(teacher + torch.tensor([0.1, 0.0, 0.0]), soft, 2.0) > own


def _drawn(seed: int, scale: float) -> ScoredSet:
    draws = np.random.default_rng(seed)
    n = 4000
    return ScoredSet(
        logits=np.zeros((n, 2), np.float32),
        features=(scale * draws.normal(size=(n, 6))).astype(np.float32),
        labels=np.zeros(n, np.int64),
        groups=np.arange(n).astype(str),
        names=np.arange(n).astype(str),
        studies=np.arange(n).astype(str),
        positions=np.zeros(n, np.int64),
    )


def test_what_lies_twice_as_far_out_of_fold_is_stretched_to_twice_the_distance() -> None:
    known, unknown = [_drawn(0, 1.0), _drawn(1, 3.0)], [_drawn(2, 2.0), _drawn(3, 6.0)]

    times = stretch(known, unknown, acceptance=0.95)

    assert times == pytest.approx(2.0, rel=0.03)
    moved = moved_away(known[0], times)
    middle = known[0].features.mean(axis=0)
    np.testing.assert_allclose(
        moved.features - middle, times * (known[0].features - middle), rtol=1e-3, atol=1e-5
    )
    assert stretch(known, [_drawn(2, 0.5), _drawn(3, 1.5)], acceptance=0.95) == 1.0


def test_the_parts_of_the_shipped_view_say_that_they_were_seen(distilled_recipe: Path) -> None:
    recipe: Recipe = read_recipe(distilled_recipe)

    shipped = recipe.shipped.folds

    assert (shipped.test, shipped.validation, shipped.train) == ((0,), (2,), (1,))
    assert shipped.text_of(shipped.test) == "fold 0 of 3 by group, seed 1, which trained it too"


def test_the_run_of_the_refit_lies_beside_those_of_the_folds(tmp_path: Path) -> None:
    assert Run(tmp_path).refit.folder == tmp_path / "refit"
