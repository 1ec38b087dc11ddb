import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from serving.cli import app
from tests.tiny_model import tiny_card, tiny_graph, write_tiny_artifact


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tiny_artifact(tmp_path, name="derm", version="1", with_novelty=True)
    write_tiny_artifact(tmp_path, name="derm", version="2")
    write_tiny_artifact(tmp_path, name="chest", classes=("normal", "pneumonia"))
    return tmp_path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["models", *map(str, arguments)])


def spoil(folder: Path) -> Path:
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"more")
    return folder


def test_the_list_says_who_is_in_charge_and_what_was_refused(folder: Path) -> None:
    spoil(folder / "chest" / "1")
    (folder / "in-charge.toml").write_text('in_charge = ["derm/1"]\n', encoding="utf-8")

    listed = json.loads(run("list", "--models", folder, "--format", "json").stdout)

    assert [(one["name"], one["version"], one["in_charge"]) for one in listed["models"]] == [
        ("derm", "1", True),
        ("derm", "2", False),
    ]
    assert listed["models"][0]["classes"] == ["benign", "malignant"]
    assert listed["models"][0]["modalities"] == ["XC", "DMS"]
    assert listed["models"][0]["licence"] == "Apache-2.0"
    assert [(one["file"], one["folder"]) for one in listed["refused"]] == [
        ("model.onnx", str(folder / "chest" / "1"))
    ]


def test_the_list_for_people_names_the_same(folder: Path) -> None:
    spoil(folder / "chest" / "1")

    result = run("list", "--models", folder)

    assert result.exit_code == 0
    assert "benign malignant" in result.output
    assert "is not the file that card.json speaks for" in result.output
    assert [line.split()[:3] for line in result.output.splitlines() if line.startswith("derm")] == [
        ["derm", "1", "XC"],
        ["derm", "2", "yes"],
    ]


def test_a_folder_without_models_is_said_so(tmp_path: Path) -> None:
    assert "there are no models" in run("list", "--models", tmp_path).output


def test_a_card_is_shown_with_points_figures_limits_and_licence(folder: Path) -> None:
    output = run("show", "derm@1", "--models", folder).output

    for text in (
        "derm/1",
        "not in charge",
        "for prioritisation only",
        "0.900 (0.800 to 0.950)",
        "temperature 1.000",
        "It measures colour, not disease.",
        "Apache-2.0",
        "微型测试模型",
    ):
        assert text in output


def test_a_card_for_programs_is_the_card(folder: Path) -> None:
    shown = json.loads(run("show", "derm", "--models", folder, "--format", "json").stdout)

    assert shown == json.loads((folder / "derm" / "2" / "card.json").read_text(encoding="utf-8"))


def test_a_model_that_is_not_there_is_named_with_those_that_are(folder: Path) -> None:
    result = run("show", "lung", "--models", folder)

    assert result.exit_code == 2
    assert "derm/1" in result.output


def test_sound_models_are_verified(folder: Path) -> None:
    result = run("verify", folder)

    assert result.exit_code == 0
    assert [line.split()[:2] for line in result.stdout.splitlines()] == [
        ["sound", "chest/1"],
        ["sound", "derm/1"],
        ["sound", "derm/2"],
    ]


def test_one_that_was_changed_is_refused_and_the_others_are_not(folder: Path) -> None:
    spoil(folder / "derm" / "1")

    result = run("verify", folder)

    assert result.exit_code == 1
    assert "sound    derm/2" in result.output
    assert f"refused  {folder / 'derm' / '1' / 'model.onnx'}" in result.output
    assert run("verify", folder / "derm" / "1").exit_code == 1
    assert run("verify", folder / "derm" / "2").exit_code == 0


def test_a_network_that_is_not_what_its_card_says_is_refused(tmp_path: Path) -> None:
    from models.artifact import write_artifact

    write_artifact(tmp_path / "tiny" / "1", onnx=tiny_graph(omit="map"), card=tiny_card())

    result = run("verify", tmp_path)

    assert result.exit_code == 1
    assert "no 'map'" in result.output


def test_both_variants_of_a_network_are_shown_and_verified(tmp_path: Path) -> None:
    written = write_tiny_artifact(tmp_path, int8=tiny_graph(is_one_sided=True))
    assert written.card.variants is not None
    assert written.card.variants.int8_sha256 is not None

    shown = run("show", "tiny", "--models", tmp_path).output
    verified = run("verify", tmp_path)

    assert "int8 (on a CPU)" in shown
    assert f"float {written.card.onnx_sha256[:12]}, int8 {written.card.variants.int8_sha256[:12]}" in shown
    assert verified.exit_code == 0
    assert verified.stdout.rstrip().endswith("(float, int8)")


def test_a_variant_that_was_changed_is_refused_though_the_other_is_sound(tmp_path: Path) -> None:
    written = write_tiny_artifact(tmp_path, int8=tiny_graph(is_one_sided=True), on_cpu="float")
    with (written.folder / "model-int8.onnx").open("ab") as file:
        file.write(b"more")

    result = run("verify", tmp_path)

    assert result.exit_code == 1
    assert f"refused  {written.folder / 'model-int8.onnx'}" in result.output


def test_a_variant_that_does_not_run_is_refused_also_where_the_other_is_used(tmp_path: Path) -> None:
    write_tiny_artifact(tmp_path, int8=tiny_graph(omit="map"), on_cpu="float")

    result = run("verify", tmp_path)

    assert result.exit_code == 1
    assert "model-int8.onnx" in result.output
    assert "no 'map'" in result.output
