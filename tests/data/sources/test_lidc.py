"""LIDC-IDRI: its table and its slices agree, and the error names row and file where they do not."""

import csv
from pathlib import Path

import numpy as np
import pydicom
import pytest

from data.dicom.writing import ObjectInfo, write_ct_series
from data.errors import ManifestError
from data.sources import lidc

COLUMNS = ["file", "sop_uid", "series_uid", "z", "nodule_any", "nodule_2plus", "malignancy"]


def write_patient(root: Path, *, changes: dict[int, dict[str, str]] | None = None) -> Path:
    """Write three slices and their table, listed from the head down; row 2 is the middle slice."""
    folder = root / "LIDC-IDRI-0001"
    info = ObjectInfo(seed="lidc", label="SYNTHETIC PHANTOM, NOT A PATIENT")
    slices = np.zeros((3, 4, 4), np.int16)
    paths = write_ct_series(folder, slices, info=info, spacing_mm=(1, 1), thickness_mm=2.5)
    rows = []
    for index in (2, 1, 0):
        dataset = pydicom.dcmread(paths[index])
        is_nodule = str(int(index == 1))
        row = [paths[index].name, dataset.SOPInstanceUID, dataset.SeriesInstanceUID, str(index * 2.5)]
        rows.append(dict(zip(COLUMNS, [*row, is_nodule, "0", "3;5;4" if index == 1 else ""], strict=True)))
    for index, change in (changes or {}).items():
        rows[index].update(change)
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as table:
        writer = csv.DictWriter(table, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_slices_come_from_the_feet_to_the_head(tmp_path: Path) -> None:
    write_patient(tmp_path)
    images = list(lidc.read_images(tmp_path))
    assert [image.label for image in images] == ["normal", "nodule", "normal"]
    assert [image.position for image in images] == [0, 1, 2]
    assert {image.group for image in images} == {"LIDC-IDRI-0001"}
    assert images[1].findings == {"malignancy-5"}


def test_one_patients_folder_is_a_root_too(tmp_path: Path) -> None:
    assert len(list(lidc.read_images(write_patient(tmp_path)))) == 3


def test_two_readers_must_agree_if_asked(tmp_path: Path) -> None:
    write_patient(tmp_path)
    assert {image.label for image in lidc.read_images(tmp_path, min_readers=2)} == {"normal"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"file": "gone.dcm"}, "gone.dcm is listed, but"),
        ({"sop_uid": "1.2.3"}, "the table says 1.2.3"),
        ({"nodule_any": "maybe"}, "nodule_any is 'maybe'"),
        ({"malignancy": "4;9"}, "malignancy is '4;9'"),
        ({"z": "high"}, "z is 'high'"),
        ({"z": ""}, "z is blank"),
    ],
)
def test_an_error_names_the_row(tmp_path: Path, change: dict[str, str], problem: str) -> None:
    write_patient(tmp_path, changes={1: change})
    with pytest.raises(ManifestError) as caught:
        list(lidc.read_images(tmp_path))
    assert problem in str(caught.value)
    assert caught.value.row == 3


def test_a_folder_without_a_table_says_so(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"holds no labels\.csv"):
        list(lidc.read_images(tmp_path))


def test_a_number_of_readers_is_one_or_two(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected 1 or 2"):
        list(lidc.read_images(tmp_path, min_readers=5))


@pytest.mark.datasets
def test_the_real_patient_has_nine_slices_with_a_nodule(datasets: Path) -> None:
    images = list(lidc.read_images(datasets / "lidc_ct_256"))
    assert len(images) == 133
    assert sum(image.label == "nodule" for image in images) == 9
    assert [image.position for image in images] == list(range(133))
