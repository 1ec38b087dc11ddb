"""`firstread score` finds the right one of the shipped models for each kind of study, by itself."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from data.dicom.writing import ObjectInfo, write_radiograph
from data.sources import ct_ich
from data.study import Modality
from models.registry import Registry, shipped_folder
from serving.cli import app
from tests.ct_ich_series import write_patient

pytestmark = pytest.mark.datasets


def needs(*names: str) -> None:
    shipped = {artifact.card.name for artifact in Registry([shipped_folder()]).artifacts()}
    if absent := sorted({*names} - shipped):
        pytest.skip(f"not shipped yet: {', '.join(absent)}")


def score(*arguments: str | Path) -> list[dict[str, Any]]:
    command = ["score", "--format", "json", "--models", str(shipped_folder()), *map(str, arguments)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def dermoscopy(datasets: Path) -> Path:
    return min((datasets / "ham10000_256" / "HAM10000_images_part_1").glob("*.jpg"))


def plain_radiograph(datasets: Path) -> Path:
    return min((datasets / "kermany_chest_xray_224" / "test" / "PNEUMONIA").glob("*"))


def radiograph(path: Path, picture: Path, modality: Modality) -> Path:
    grey = np.asarray(Image.open(picture).convert("L"))
    info = ObjectInfo(seed=f"{modality}", label="Kermany, repacked", body_part="CHEST")
    write_radiograph(path, grey, info=info, modality=modality)
    return path


def head_ct(folder: Path, datasets: Path) -> Path:
    images = list(ct_ich.read_images(datasets / "ct_ich_256"))
    patient = next(image.group for image in images if image.label == ct_ich.HAEMORRHAGE)
    folder.mkdir()
    write_patient(folder, [image for image in images if image.group == patient])
    return folder


def test_dermoscopy_goes_to_the_model_for_lesions(datasets: Path) -> None:
    needs("derm-lesion")

    (one,) = score(dermoscopy(datasets))

    assert one["model"]["name"] == "derm-lesion"
    assert one["status"] in {"scored", "abstained"}


@pytest.mark.parametrize("modality", [Modality.DIGITAL_RADIOGRAPHY, Modality.COMPUTED_RADIOGRAPHY])
def test_a_chest_radiograph_goes_to_the_model_for_pneumonia(
    datasets: Path, tmp_path: Path, modality: Modality
) -> None:
    needs("cxr-pneumonia")

    (one,) = score(radiograph(tmp_path / "chest.dcm", plain_radiograph(datasets), modality))

    assert one["model"]["name"] == "cxr-pneumonia"
    assert one["status"] == "scored"
    assert "taken_as_named_only" not in one["model"]


def test_a_head_ct_goes_to_the_model_for_haemorrhage(datasets: Path, tmp_path: Path) -> None:
    needs("head-ct-haemorrhage")

    (one,) = score(head_ct(tmp_path / "ct", datasets))

    assert one["model"]["name"] == "head-ct-haemorrhage"
    assert one["status"] == "scored"
    assert len({image["sop_instance_uid"] for image in one["key_images"]}) == 3


def test_the_three_kinds_in_one_call_each_go_to_their_own_model(datasets: Path, tmp_path: Path) -> None:
    needs("derm-lesion", "cxr-pneumonia", "head-ct-haemorrhage")
    chest = radiograph(tmp_path / "chest.dcm", plain_radiograph(datasets), Modality.DIGITAL_RADIOGRAPHY)

    found = score(dermoscopy(datasets), chest, head_ct(tmp_path / "ct", datasets))

    assert sorted(one["model"]["name"] for one in found) == [
        "cxr-pneumonia",
        "derm-lesion",
        "head-ct-haemorrhage",
    ]


def test_a_radiograph_sent_as_a_plain_picture_is_abstained_from(datasets: Path) -> None:
    needs("derm-lesion")

    (one,) = score(plain_radiograph(datasets))

    assert one["model"]["name"] == "derm-lesion"
    assert one["status"] == "abstained"


def test_the_same_picture_is_scored_where_the_model_for_pneumonia_is_named(datasets: Path) -> None:
    needs("cxr-pneumonia")

    (one,) = score("--model", "cxr-pneumonia", plain_radiograph(datasets))

    assert one["model"]["name"] == "cxr-pneumonia"
    assert one["model"]["taken_as_named_only"] is True
    assert one["status"] == "scored"
