"""A model's folder is complete and bound by its card, or it is refused."""

import json
import pickle  # noqa: TID251 - what the scoring pool does with its arguments
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.artifact import Artifact, read_artifact, write_artifact
from models.card import ModelCard
from models.errors import ArtifactError
from tests.power_cut import cut_power
from tests.tiny_model import tiny_card, tiny_graph, tiny_novelty, write_tiny_artifact

Change = Callable[[dict[str, object]], object]


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return write_tiny_artifact(tmp_path, with_novelty=True)


def change_card(artifact: Artifact, change: Change) -> None:
    path = artifact.folder / "card.json"
    fields = json.loads(path.read_text())
    change(fields)
    path.write_text(json.dumps(fields))


def test_what_was_written_is_read_again(artifact: Artifact) -> None:
    again = read_artifact(artifact.folder)
    assert again == artifact
    assert again.label == "tiny/1"
    assert again.onnx_path.read_bytes() == tiny_graph()
    assert again.novelty is not None
    assert np.array_equal(again.novelty.basis, tiny_novelty().basis)


def test_an_artifact_crosses_to_a_scoring_process(artifact: Artifact) -> None:
    again = pickle.loads(pickle.dumps(artifact))
    assert again == artifact
    assert again.novelty.threshold == tiny_novelty().threshold


def test_the_card_is_bound_to_what_was_written(artifact: Artifact) -> None:
    assert artifact.card.novelty is not None
    assert artifact.card.novelty.threshold == tiny_novelty().threshold
    assert artifact.card.onnx_sha256 != "0" * 64


def test_a_whole_card_may_be_handed_in_and_is_bound_anew(artifact: Artifact, tmp_path: Path) -> None:
    other = write_artifact(tmp_path / "other", onnx=tiny_graph(side=64), card=artifact.card)
    assert other.card.onnx_sha256 != artifact.card.onnx_sha256
    assert other.card.novelty is None


def test_parts_of_a_card_may_be_values_of_their_own(artifact: Artifact, tmp_path: Path) -> None:
    fields = {name: getattr(artifact.card, name) for name in ModelCard.model_fields}
    del fields["onnx_sha256"], fields["novelty"]
    assert (
        write_artifact(tmp_path / "other", onnx=tiny_graph(), card=fields).card.classes
        == artifact.card.classes
    )


def test_further_files_may_stand_beside(artifact: Artifact) -> None:
    (artifact.folder / "CARD.md").write_text("# Tiny\n")
    assert read_artifact(artifact.folder) == artifact


@pytest.mark.parametrize(
    ("field", "remedy"),
    [("calibration", "calibrate"), ("operating_points", "calibrate"), ("input", "export again")],
)
def test_a_card_without_what_scoring_rests_on_is_refused(artifact: Artifact, field: str, remedy: str) -> None:
    change_card(artifact, lambda fields: fields.pop(field))
    with pytest.raises(ArtifactError, match=f"card.json has no {field};.*{remedy}"):
        read_artifact(artifact.folder)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda card: card.update(operating_points=[]), "operating_points"),
        (lambda card: card["calibration"].update(temperature=0), r"calibration\.temperature"),
        (lambda card: card["calibration"].update(temperature=float("nan")), r"calibration\.temperature"),
        (lambda card: card["classes"][0].update(severity="dreadful"), r"classes\.0\.severity"),
        (lambda card: card["operating_points"][0].update(classes=["unknown"]), "unknown classes"),
        (lambda card: card.update(colour="blue"), "colour"),
        (lambda card: card.pop("onnx_sha256"), "onnx_sha256"),
    ],
)
def test_a_card_that_does_not_parse_is_refused_by_the_field(
    artifact: Artifact, change: Change, named: str
) -> None:
    change_card(artifact, change)
    with pytest.raises(ArtifactError, match=named) as refusal:
        read_artifact(artifact.folder)
    assert refusal.value.file == "card.json"
    assert str(artifact.folder) in str(refusal.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_what_is_not_a_card_is_refused(artifact: Artifact, content: bytes) -> None:
    (artifact.folder / "card.json").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"card\.json has"):
        read_artifact(artifact.folder)


def test_a_card_of_many_megabytes_is_not_read(artifact: Artifact) -> None:
    with (artifact.folder / "card.json").open("wb") as file:
        file.truncate(5_000_000)
    with pytest.raises(ArtifactError, match="larger than"):
        read_artifact(artifact.folder)


@pytest.mark.parametrize("file", ["model.onnx", "novelty.npz"])
def test_one_changed_byte_is_refused(artifact: Artifact, file: str) -> None:
    path = artifact.folder / file
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ArtifactError, match="is not the file that card") as refusal:
        read_artifact(artifact.folder)
    assert refusal.value.file == file


@pytest.mark.parametrize("file", ["model.onnx", "novelty.npz", "card.json"])
def test_a_missing_file_is_refused(artifact: Artifact, file: str) -> None:
    (artifact.folder / file).unlink()
    with pytest.raises(ArtifactError, match="cannot be read") as refusal:
        read_artifact(artifact.folder)
    assert refusal.value.file == file


def test_novelty_that_the_card_does_not_know_is_refused(artifact: Artifact, tmp_path: Path) -> None:
    plain = write_tiny_artifact(tmp_path / "plain")
    shutil.copy(artifact.folder / "novelty.npz", plain.folder)
    with pytest.raises(ArtifactError, match="is not named in card"):
        read_artifact(plain.folder)


def test_what_is_not_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is not a folder"):
        read_artifact(tmp_path / "nothing")


def test_a_version_is_never_overwritten(artifact: Artifact) -> None:
    before = artifact.onnx_path.read_bytes()
    with pytest.raises(ArtifactError, match="never overwritten"):
        write_artifact(artifact.folder, onnx=tiny_graph(side=64), card=tiny_card(side=64))
    assert artifact.onnx_path.read_bytes() == before


def test_an_incomplete_card_leaves_nothing_behind(tmp_path: Path) -> None:
    fields = tiny_card()
    del fields["calibration"]
    with pytest.raises(ArtifactError, match="has no calibration"):
        write_artifact(tmp_path / "tiny" / "1", onnx=tiny_graph(), card=fields)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n_written", range(8))
def test_a_write_that_stops_leaves_nothing_that_could_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_written: int
) -> None:
    """Every fsync in turn is the last thing that happens, as when power fails."""
    done = cut_power(monkeypatch, after=n_written)
    folder = tmp_path / "tiny" / "1"
    try:
        write_artifact(folder, onnx=tiny_graph(), card=tiny_card(), novelty=tiny_novelty())
    except KeyboardInterrupt:
        assert len(done) == n_written + 1
    if folder.exists():
        assert read_artifact(folder).label == "tiny/1"


def test_a_full_disk_is_named_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(ArtifactError, match="No space left"):
        write_tiny_artifact(tmp_path)
    assert list((tmp_path / "tiny").iterdir()) == []
