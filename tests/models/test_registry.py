"""Which model is in charge depends on study and models alone, and a broken one takes no other down."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from data.errors import Reason
from data.study import Modality, Series
from models.errors import NoModelError
from models.registry import Registry, shipped_folder
from models.suitability import series_taken
from tests.tiny_model import write_tiny_artifact
from tests.tiny_study import tiny_series, tiny_study

PHOTOGRAPH, CT, RADIOGRAPH = Modality.PHOTOGRAPH, Modality.CT, Modality.DIGITAL_RADIOGRAPHY


def frames_of(side: int = 64, n: int = 1) -> list[np.ndarray]:
    return [np.zeros((side, side), np.uint8)] * n


def series_of(
    modality: Modality, *, side: int = 64, n: int = 1, body_part: str = "", uid: str = "1.2.3"
) -> Series:
    return tiny_series(frames_of(side, n), modality=modality, body_part=body_part, uid=uid)


def test_a_model_is_found_by_name_and_version(tmp_path: Path) -> None:
    written = write_tiny_artifact(tmp_path, name="derm", version="1")
    registry = Registry([tmp_path])
    assert registry.artifacts() == (written,)
    assert registry.get("derm") == registry.get("derm", "1") == written
    assert registry.refused == ()


def test_the_highest_version_is_in_charge_as_a_number(tmp_path: Path) -> None:
    for version in ("9", "10", "1.10", "1.9"):
        write_tiny_artifact(tmp_path, version=version)
    registry = Registry([tmp_path])
    assert registry.get("tiny").card.version == "10"
    assert [artifact.card.version for artifact in registry.artifacts()] == ["1.9", "1.10", "9", "10"]


def test_a_pinned_version_stays_in_charge(tmp_path: Path) -> None:
    for version in ("1", "2"):
        write_tiny_artifact(tmp_path, version=version)
    (tmp_path / "in-charge.toml").write_text('in_charge = ["tiny/1"]\n')
    registry = Registry([tmp_path])
    assert registry.get("tiny").card.version == "1"
    assert registry.get("tiny", "2").card.version == "2"
    assert registry.in_charge_of(tiny_study(series_of(PHOTOGRAPH))).card.version == "1"


def test_a_pinned_model_comes_before_a_more_specific_one(tmp_path: Path) -> None:
    write_tiny_artifact(tmp_path, name="special", modalities=[CT], body_parts=["HEAD"])
    write_tiny_artifact(tmp_path, name="general", modalities=[CT, Modality.MR])
    study = tiny_study(series_of(CT, body_part="HEAD"))
    assert Registry([tmp_path]).in_charge_of(study).card.name == "special"
    (tmp_path / "in-charge.toml").write_text('in_charge = ["general/1"]\n')
    assert Registry([tmp_path]).in_charge_of(study).card.name == "general"


@pytest.mark.parametrize("text", ['in_charge = ["tiny/7"]', "in_charge = 3", "in_charge = [", ""])
def test_a_pin_that_cannot_be_kept_is_named_and_the_models_still_work(tmp_path: Path, text: str) -> None:
    write_tiny_artifact(tmp_path)
    (tmp_path / "in-charge.toml").write_text(text)
    registry = Registry([tmp_path])
    assert [error.file for error in registry.refused] == ["in-charge.toml"]
    assert registry.get("tiny").label == "tiny/1"


def test_each_modality_has_its_model(tmp_path: Path) -> None:
    write_tiny_artifact(tmp_path, name="derm", modalities=[PHOTOGRAPH])
    write_tiny_artifact(tmp_path, name="bleed", modalities=[CT])
    registry = Registry([tmp_path])
    assert registry.in_charge_of(tiny_study(series_of(CT))).card.name == "bleed"
    assert registry.in_charge_of(tiny_study(series_of(PHOTOGRAPH))).card.name == "derm"


def test_no_model_says_which_there_are_and_what_they_take(tmp_path: Path) -> None:
    write_tiny_artifact(tmp_path, name="derm", modalities=[PHOTOGRAPH])
    with pytest.raises(
        NoModelError, match=r"^no-model: 1\.2 \(DX\) is taken by no model: derm/1 takes XC$"
    ) as none:
        Registry([tmp_path]).in_charge_of(tiny_study(series_of(RADIOGRAPH)))
    assert none.value.reason is Reason.NO_MODEL


def test_without_models_or_without_series_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoModelError, match="there are no models"):
        Registry([tmp_path, tmp_path / "missing"]).in_charge_of(tiny_study(series_of(CT)))
    write_tiny_artifact(tmp_path)
    with pytest.raises(NoModelError, match="no series"):
        Registry([tmp_path]).in_charge_of(tiny_study())


def test_a_name_or_version_that_is_not_there_is_named(tmp_path: Path) -> None:
    write_tiny_artifact(tmp_path)
    with pytest.raises(NoModelError, match=r"tiny/2 is not among the models: tiny/1 \(takes XC, DMS\)"):
        Registry([tmp_path]).get("tiny", "2")


@pytest.mark.parametrize(
    ("body_part", "expected"),
    [("HEAD", "head"), ("head ", "head"), ("CHEST", "chest"), ("KNEE", "any"), ("", "any")],
)
def test_the_more_specific_rule_wins(tmp_path: Path, body_part: str, expected: str) -> None:
    write_tiny_artifact(tmp_path, name="any", modalities=[CT])
    write_tiny_artifact(tmp_path, name="chest", modalities=[CT], body_parts=["CHEST"])
    write_tiny_artifact(tmp_path, name="head", modalities=[CT], body_parts=["HEAD", "SKULL"])
    assert (
        Registry([tmp_path]).in_charge_of(tiny_study(series_of(CT, body_part=body_part))).card.name
        == expected
    )


def test_a_study_that_does_not_say_what_it_shows_has_no_model_of_a_body_part(tmp_path: Path) -> None:
    write_tiny_artifact(tmp_path, name="head", modalities=[CT], body_parts=["HEAD"])
    with pytest.raises(NoModelError, match="head/1 takes HEAD, and neither Body Part Examined nor a descr"):
        Registry([tmp_path]).in_charge_of(tiny_study(series_of(CT)))


def test_of_equal_rules_the_name_decides_whatever_the_order_of_folders(tmp_path: Path) -> None:
    for name in ("beta", "alpha"):
        write_tiny_artifact(tmp_path / name, name=name)
    study = tiny_study(series_of(PHOTOGRAPH))
    for folders in ((tmp_path / "alpha", tmp_path / "beta"), (tmp_path / "beta", tmp_path / "alpha")):
        assert Registry(folders).in_charge_of(study).card.name == "alpha"


def test_too_small_pictures_and_too_many_frames_are_reasons(tmp_path: Path) -> None:
    write_tiny_artifact(tmp_path, min_side_px=50, max_frames=3)
    registry = Registry([tmp_path])
    with pytest.raises(NoModelError, match="takes pictures of at least 50 px"):
        registry.in_charge_of(tiny_study(series_of(PHOTOGRAPH, side=49)))
    with pytest.raises(NoModelError, match="takes at most 3 frames, not 4"):
        registry.in_charge_of(tiny_study(series_of(PHOTOGRAPH, n=4)))
    with pytest.raises(NoModelError, match="takes at most 3 frames, not 4"):
        registry.in_charge_of(tiny_study(series_of(PHOTOGRAPH, n=2), series_of(PHOTOGRAPH, n=2, uid="1.2.4")))


def test_only_the_series_that_fit_are_scored(tmp_path: Path) -> None:
    rules = write_tiny_artifact(
        tmp_path, modalities=[CT], body_parts=["HEAD"], min_side_px=32
    ).card.applies_to
    head, chest = series_of(CT, body_part="HEAD", uid="1"), series_of(CT, body_part="CHEST", uid="2")
    photograph, scout = series_of(PHOTOGRAPH, uid="3"), series_of(CT, side=16, uid="4")
    assert series_taken(tiny_study(head, chest, photograph, scout), rules) == (head,)


def test_a_broken_model_is_named_and_takes_no_other_down(tmp_path: Path) -> None:
    broken = write_tiny_artifact(tmp_path, name="broken")
    write_tiny_artifact(tmp_path, name="whole")
    broken.onnx_path.write_bytes(b"")
    registry = Registry([tmp_path])
    assert [artifact.card.name for artifact in registry.artifacts()] == ["whole"]
    assert [(error.folder, error.file) for error in registry.refused] == [(broken.folder, "model.onnx")]


def test_a_model_in_another_models_folder_is_refused(tmp_path: Path) -> None:
    artifact = write_tiny_artifact(tmp_path, name="derm", version="1")
    shutil.copytree(artifact.folder, tmp_path / "derm" / "2")
    (error,) = Registry([tmp_path]).refused
    assert "is of derm/1" in str(error)


def test_the_first_folder_counts_and_another_model_of_the_same_version_is_refused(tmp_path: Path) -> None:
    first = write_tiny_artifact(tmp_path / "a", classes=("none", "some"))
    write_tiny_artifact(tmp_path / "b", classes=("none", "other"))
    shutil.copytree(tmp_path / "a", tmp_path / "same")
    registry = Registry([tmp_path / "a", tmp_path / "b", tmp_path / "same"])
    assert registry.artifacts() == (first,)
    assert [error.folder for error in registry.refused] == [tmp_path / "b" / "tiny" / "1"]


def test_half_written_and_foreign_folders_are_passed_over(tmp_path: Path) -> None:
    write_tiny_artifact(tmp_path)
    (tmp_path / "tiny" / ".2.abc.partial").mkdir()
    (tmp_path / "tiny" / "notes").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "README.md").write_text("x")
    registry = Registry([tmp_path])
    assert registry.refused == ()
    assert len(registry.artifacts()) == 1


def test_every_shipped_model_is_whole() -> None:
    assert Registry([shipped_folder()]).refused == ()
