"""A model may hold its network twice; the card binds both, and says which a CPU runs."""

import json
from pathlib import Path

import numpy as np
import pytest

from models.artifact import Artifact, read_artifact, write_artifact
from models.card import ModelCard, Precision
from models.errors import ArtifactError
from models.registry import shipped_folder
from models.runtime import Session
from serving.scoring.score import identity
from tests.power_cut import cut_power
from tests.tiny_model import (
    tiny_card,
    tiny_graph,
    tiny_logits,
    tiny_novelty,
    tiny_variants,
    write_tiny_artifact,
)

# It looks at the left half of a picture alone, so a reader can tell which of the two has run.
OTHER = tiny_graph(is_one_sided=True)


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return write_tiny_artifact(tmp_path, int8=OTHER, with_novelty=True)


def half_white() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    picture = np.zeros((1, 32, 32, 3), np.uint8)
    picture[:, :, 16:] = 255
    return picture


def change_card(artifact: Artifact, **fields: object) -> None:
    path = artifact.folder / "card.json"
    content = json.loads(path.read_text())
    content["variants"] |= fields
    path.write_text(json.dumps(content))


def test_both_files_stand_in_the_folder_and_are_bound(artifact: Artifact) -> None:
    again = read_artifact(artifact.folder)

    assert again.precisions == (Precision.FLOAT, Precision.INT8)
    assert again.read_variant(Precision.FLOAT) == tiny_graph()
    assert again.read_variant(Precision.INT8) == OTHER
    assert again.card.variants is not None
    assert again.card.variants.int8_sha256 not in {None, again.card.onnx_sha256}


def test_a_cpu_runs_the_one_the_card_chose(tmp_path: Path) -> None:
    for version, on_cpu in (("1", "int8"), ("2", "float")):
        session = Session(write_tiny_artifact(tmp_path, version=version, int8=OTHER, on_cpu=on_cpu))
        assert session.precision == on_cpu
        assert session.artifact.cpu_precision == on_cpu


def test_either_can_be_asked_for(artifact: Artifact) -> None:
    picture = half_white()
    black = np.zeros_like(picture)

    plain = Session(artifact, precision=Precision.FLOAT).run(picture).logits
    other = Session(artifact, precision=Precision.INT8).run(picture).logits

    np.testing.assert_allclose(plain, tiny_logits(picture), atol=1e-5)
    np.testing.assert_allclose(other, tiny_logits(black), atol=1e-5)


def test_a_result_names_the_file_that_made_it(artifact: Artifact) -> None:
    assert artifact.card.variants is not None
    integers = identity(Session(artifact))
    floats = identity(Session(artifact, precision=Precision.FLOAT))

    assert integers.sha256 == artifact.card.variants.int8_sha256
    assert floats.sha256 == artifact.card.onnx_sha256


def test_what_is_not_there_cannot_be_asked_for(tmp_path: Path) -> None:
    plain = write_tiny_artifact(tmp_path)

    assert plain.precisions == (Precision.FLOAT,)
    with pytest.raises(ArtifactError, match="names no int8 variant; run the float one"):
        Session(plain, precision=Precision.INT8)


def test_a_refused_variant_leaves_its_reasons_and_no_file(tmp_path: Path) -> None:
    refused = tiny_variants(on_cpu="float", refusals=["sensitivity falls"])

    artifact = write_artifact(tmp_path / "1", onnx=tiny_graph(), card=tiny_card() | {"variants": refused})

    assert artifact.precisions == (Precision.FLOAT,)
    assert Session(artifact).precision is Precision.FLOAT
    with pytest.raises(ArtifactError, match="sensitivity falls"):
        Session(artifact, precision=Precision.INT8)


@pytest.mark.parametrize("file", ["model.onnx", "model-int8.onnx"])
def test_a_changed_file_is_refused_by_its_name(artifact: Artifact, file: str) -> None:
    with (artifact.folder / file).open("ab") as content:
        content.write(b"more")

    with pytest.raises(ArtifactError, match=r"is not the file that card\.json speaks for") as refusal:
        read_artifact(artifact.folder)
    assert refusal.value.file == file


@pytest.mark.parametrize("file", ["model.onnx", "model-int8.onnx"])
def test_a_missing_file_is_refused_by_its_name(artifact: Artifact, file: str) -> None:
    (artifact.folder / file).unlink()

    with pytest.raises(ArtifactError, match="cannot be read: No such file") as refusal:
        read_artifact(artifact.folder)
    assert refusal.value.file == file


def test_a_file_that_changes_between_reading_and_running_is_refused(artifact: Artifact) -> None:
    (artifact.folder / "model-int8.onnx").write_bytes(tiny_graph(n_classes=3))

    with pytest.raises(ArtifactError, match=r"model-int8\.onnx is not the file"):
        Session(artifact)
    assert Session(artifact, precision=Precision.FLOAT).precision is Precision.FLOAT


def test_a_file_the_card_does_not_name_is_refused(tmp_path: Path) -> None:
    plain = write_tiny_artifact(tmp_path)
    (plain.folder / "model-int8.onnx").write_bytes(OTHER)

    with pytest.raises(ArtifactError, match=r"model-int8\.onnx is not named in card\.json"):
        read_artifact(plain.folder)


@pytest.mark.parametrize(
    "fields",
    [
        {"int8_sha256": None},  # neither bound nor refused
        {"refusals": ["sensitivity falls"]},  # both
        {"int8_sha256": None, "refusals": ["sensitivity falls"]},  # refused, and yet to be run
        {"on_cpu": "int4"},
    ],
)
def test_a_card_that_contradicts_itself_is_refused(artifact: Artifact, fields: dict[str, object]) -> None:
    change_card(artifact, **fields)

    with pytest.raises(ArtifactError, match=r"card\.json has 1 wrong field"):
        read_artifact(artifact.folder)


def test_integers_without_figures_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="has no variants"):
        write_artifact(tmp_path / "1", onnx=tiny_graph(), int8=OTHER, card=tiny_card())
    assert list(tmp_path.iterdir()) == []


def test_a_graph_of_integers_that_is_not_what_the_card_says_is_refused_by_its_file(tmp_path: Path) -> None:
    artifact = write_tiny_artifact(tmp_path, int8=tiny_graph(omit="map"))

    with pytest.raises(ArtifactError, match="no 'map'") as refusal:
        Session(artifact)
    assert refusal.value.file == "model-int8.onnx"


def test_a_card_handed_in_whole_loses_the_figures_of_what_is_not_written(
    artifact: Artifact, tmp_path: Path
) -> None:
    other = write_artifact(tmp_path / "other", onnx=tiny_graph(), card=artifact.card)

    assert other.card.variants is None


@pytest.mark.parametrize("n_written", range(8))
def test_a_write_that_stops_leaves_nothing_that_could_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_written: int
) -> None:
    """Every fsync in turn is the last thing that happens, as when power fails."""
    done = cut_power(monkeypatch, after=n_written)
    folder = tmp_path / "tiny" / "1"
    card = tiny_card() | {"variants": tiny_variants()}
    try:
        write_artifact(folder, onnx=tiny_graph(), int8=OTHER, card=card, novelty=tiny_novelty())
    except KeyboardInterrupt:
        assert len(done) == n_written + 1
    if folder.exists():
        assert read_artifact(folder).precisions == (Precision.FLOAT, Precision.INT8)


def test_a_card_from_before_there_were_variants_loads(artifact: Artifact) -> None:
    fields = artifact.card.model_dump(mode="json")
    del fields["variants"]

    card = ModelCard.model_validate(fields)

    assert card.variants is None
    assert all(read_artifact(card.parent) for card in shipped_folder().glob("*/*/card.json"))
