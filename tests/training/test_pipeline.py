"""The whole way from a fitted run to a model that is shipped, on drawn images."""

import json
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from models.artifact import Artifact, read_artifact
from models.card import Precision
from models.networks.outputs import ImageClassifier
from models.runtime import Session
from training.cli import app, main
from training.errors import ExportError, RunError
from training.evaluate import best_network
from training.export import export
from training.predictions import read_scored
from training.quantise import verdict
from training.recipe import read_recipe
from training.report import PICTURES, PURPOSE
from training.work import Work, open_work


@pytest.fixture(scope="module")
def work(tiny_recipe: Path, tiny_datasets: Path, finished_run: Path) -> Work:
    work = open_work(tiny_recipe, run=finished_run, datasets=tiny_datasets, device="cpu", threads=None)
    work.evaluate()
    work.calibrate()
    return work


def _network(work: Work) -> ImageClassifier:
    return best_network(work.recipe, work.run, work.device)


@pytest.fixture(scope="module")
def artifact(work: Work) -> Artifact:
    written, difference = work.export(None)
    assert difference <= 1e-4
    work.report(None)
    return read_artifact(written.folder)


def test_the_metrics_file_has_a_line_for_each_epoch(finished_run: Path) -> None:
    lines = [json.loads(line) for line in (finished_run / "metrics.jsonl").read_text().splitlines()]

    assert [(line["epoch"], line["px"]) for line in lines] == [(1, 24), (2, 32)]
    assert lines[1]["loss"] < lines[0]["loss"]


def test_the_parts_of_the_split_share_no_lesion_and_hold_every_image(work: Work) -> None:
    parts = [read_scored(work.run.predictions(part)) for part in ("train", "validation", "test")]

    lesions = [set(part.groups) for part in parts]
    assert sum(len(part.names) for part in parts) == 90
    for first, second in combinations(lesions, 2):
        assert not first & second


def test_the_shipped_model_scores_what_torch_scored(work: Work, artifact: Artifact) -> None:
    test = read_scored(work.run.predictions("test"))
    rows = work.labelled.rows_in(work.recipe.folds.test)

    outputs = Session(artifact, precision=Precision.FLOAT).run(work.pixels_at(32)[rows])

    np.testing.assert_allclose(outputs.logits, test.logits, atol=1e-4)
    np.testing.assert_allclose(outputs.features, test.features, atol=1e-4)
    assert outputs.maps.shape == (len(rows), 1, 1, 3)


def test_the_card_tells_split_calibration_points_and_licence(work: Work, artifact: Artifact) -> None:
    card = artifact.card

    assert {part.role for part in card.training_data} == {"train", "validation", "test"}
    assert {part.split_sha256 for part in card.training_data} == {work.labelled.split_sha256}
    assert sum(part.n_images for part in card.training_data) == 90
    assert card.calibration.fitted_on == "fold 1 of 5 by group, seed 1"
    assert [point.name for point in card.operating_points] == ["rule-out", "balanced"]
    assert card.recipe_sha256 == work.recipe.sha256
    names = {"balanced_accuracy", "balanced_accuracy_even", "macro_auc", "auc_positive", "auc_mel"}
    assert names <= {metric.name for metric in card.metrics}
    assert card.calibration.shares == pytest.approx([1 / 3] * 3)


def test_the_report_shows_every_figure_of_the_card_and_its_pictures(artifact: Artifact) -> None:
    text = (artifact.folder / "CARD.md").read_text(encoding="utf-8")

    assert PURPOSE in text
    assert "may not be used commercially" in text
    headings = (
        "Use",
        "Licence",
        "Fairness",
        "Groups",
        "Evidence",
        "Failures",
        "Data",
        "Versions",
        "Checklists",
    )
    assert all(f"\n## {heading}\n" in text for heading in headings)
    assert "No lesion or patient stands in two of these parts" in text
    assert re.search(r"trained in \d+ min on 1 threads \(cpu\)", text)
    assert artifact.card.variants is not None
    assert "## In floating point and in integers" in text
    assert verdict(artifact.card.variants) in text
    for key, offset in zip(artifact.card.class_keys, artifact.card.calibration.offsets, strict=True):
        assert f"| `{key}` | {offset:+.3f} | 0.333 |" in text
    for metric in artifact.card.metrics:
        assert f"{metric.figure.value:.3f} ({metric.figure.low:.3f} to {metric.figure.high:.3f})" in text
    for file in PICTURES:
        assert f"({file})" in text
        with Image.open(artifact.folder / file) as picture:
            assert picture.width > 300
        assert (artifact.folder / file).stat().st_size < 100_000


def test_an_export_that_torch_does_not_agree_with_is_not_written(
    work: Work, artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, pixels = _network(work), work.pixels_at(32)[:64]
    onnx = artifact.onnx_path.read_bytes()
    monkeypatch.setattr("training.export.to_onnx", lambda *_: onnx)
    network.head.bias.data += 0.001

    with pytest.raises(ExportError, match="differ by"):
        export(work.recipe, network, pixels, work.run, tmp_path)

    assert not list(tmp_path.iterdir())


def test_too_few_images_prove_nothing(work: Work, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="63 images"):
        export(work.recipe, _network(work), work.pixels_at(32)[:63], work.run, tmp_path)


def test_a_run_of_another_recipe_is_not_continued(
    tiny_recipe: Path, tiny_datasets: Path, finished_run: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(
        tiny_recipe.read_text(encoding="utf-8").replace("seed = 3", "seed = 4"), encoding="utf-8"
    )
    work = open_work(other, run=finished_run, datasets=tiny_datasets, device="cpu", threads=None)

    with pytest.raises(RunError, match="run of another recipe"):
        work.fit(5.0)


def test_another_name_of_a_class_leaves_the_run_as_it_is(tiny_recipe: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    text = tiny_recipe.read_text(encoding="utf-8")
    other.write_text(text.replace("Dark blob", "Black blob"), encoding="utf-8")

    first, second = read_recipe(tiny_recipe), read_recipe(other)

    assert first.fit_sha256 == second.fit_sha256
    assert first.sha256 != second.sha256


def test_the_program_says_what_is_wrong_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["firstread-train", "fit", str(tmp_path / "absent.toml")])

    with pytest.raises(SystemExit) as ended:
        main()

    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert said.count("\n") == 1
    assert "absent.toml cannot be read" in said


@pytest.mark.parametrize("arguments", [["fit"], ["fit", "a.toml", "--device", "abacus"], ["knead", "a.toml"]])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2
