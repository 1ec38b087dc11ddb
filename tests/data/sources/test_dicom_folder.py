"""A folder of DICOM with labels: by table or by folder, errors that name row and file."""

from pathlib import Path

import numpy as np
import pydicom
import pytest

from data.dicom.writing import ObjectInfo, write_ct_series, write_radiograph
from data.errors import ManifestError
from data.sources import dicom_folder

LABEL = "SYNTHETIC PHANTOM, NOT A PATIENT"
FILM = np.zeros((4, 4), np.uint8)


def write_film(path: Path, patient: str) -> str:
    info = ObjectInfo(seed=patient, label=LABEL, patient_id=patient, issuer="A", age_years=50)
    write_radiograph(path, FILM, info=info)
    return str(pydicom.dcmread(path).SOPInstanceUID)


def test_without_a_table_the_folders_are_the_labels(tmp_path: Path) -> None:
    write_film(tmp_path / "normal" / "2024" / "x.dcm", "P1")
    write_film(tmp_path / "pneumonia" / "y.dcm", "P2")
    (tmp_path / "README.txt").write_text("two films", encoding="ascii")
    images = {image.group: image for image in dicom_folder.read_images(tmp_path)}
    assert {group: image.label for group, image in images.items()} == {"A/P1": "normal", "A/P2": "pneumonia"}
    assert images["A/P1"].context.age_years == 50


def test_a_table_labels_images_and_whole_series_the_nearest_row_first(tmp_path: Path) -> None:
    info = ObjectInfo(seed="ct", label=LABEL)
    slices = np.zeros((3, 4, 4), np.int16)
    paths = write_ct_series(tmp_path / "ct", slices, info=info, spacing_mm=(1, 1), thickness_mm=1)
    header = pydicom.dcmread(paths[1])
    table = f"uid,label,split\n{header.SeriesInstanceUID},clear,train\n{header.SOPInstanceUID},bleed,\n"
    (tmp_path / "labels.csv").write_text(table, encoding="utf-8")
    images = list(dicom_folder.read_images(tmp_path))
    assert [image.label for image in images] == ["clear", "bleed", "clear"]
    assert [image.position for image in images] == [0, 1, 2]
    assert [image.split for image in images] == ["train", None, "train"]
    assert len({image.group for image in images}) == 1


def test_a_row_that_belongs_to_no_image_is_named(tmp_path: Path) -> None:
    uid = write_film(tmp_path / "x.dcm", "P1")
    (tmp_path / "labels.csv").write_text(f"uid,label\n{uid},normal\n1.2.3,normal\n", encoding="utf-8")
    with pytest.raises(ManifestError, match=r"line 3: 1\.2\.3 belongs to no image"):
        list(dicom_folder.read_images(tmp_path))


def test_an_image_without_a_label_is_named(tmp_path: Path) -> None:
    write_film(tmp_path / "x.dcm", "P1")
    (tmp_path / "labels.csv").write_text("uid,label\n", encoding="utf-8")
    with pytest.raises(ManifestError, match=r"has no label for .*x\.dcm"):
        list(dicom_folder.read_images(tmp_path))


def test_a_uid_listed_twice_is_named(tmp_path: Path) -> None:
    uid = write_film(tmp_path / "x.dcm", "P1")
    (tmp_path / "labels.csv").write_text(f"uid,label\n{uid},a\n{uid},b\n", encoding="utf-8")
    with pytest.raises(ManifestError, match=r"line 3.*second time"):
        list(dicom_folder.read_images(tmp_path))


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "normal" / "x.dcm"
    write_film(path, "P1")
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ManifestError, match=r"1 files cannot be read, the first: truncated: .*x\.dcm"):
        list(dicom_folder.read_images(tmp_path))


def test_a_file_in_no_folder_has_no_label(tmp_path: Path) -> None:
    write_film(tmp_path / "x.dcm", "P1")
    with pytest.raises(ManifestError, match="lies in no folder that names its label"):
        list(dicom_folder.read_images(tmp_path))


def test_a_root_that_is_no_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="is not a folder"):
        list(dicom_folder.read_images(tmp_path / "nowhere"))
