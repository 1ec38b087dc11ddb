"""PAD-UFES-20 in its published layout and in that of a sample."""

from pathlib import Path

import pytest

from data.errors import ManifestError
from data.sources.pad_ufes_20 import LABELS, read_images
from data.study import Sex

HEADER = "patient_id,lesion_id,age,gender,fitspatrick,region,diagnostic,img_id,biopsed\n"


def published(root: Path, rows: str) -> Path:
    (root / "metadata.csv").write_text(HEADER + rows, encoding="utf-8")
    (root / "images" / "imgs_part_1").mkdir(parents=True)
    (root / "images" / "imgs_part_1" / "PAT_46_881_939.png").write_bytes(b"")
    return root


def test_the_published_layout_is_read(tmp_path: Path) -> None:
    (image,) = read_images(published(tmp_path, "PAT_46,881,55,FEMALE,3.0,NECK,BCC,PAT_46_881_939.png,True\n"))

    assert (image.label, image.group, set(image.findings)) == ("bcc", "PAT_46", {"biopsied"})
    assert image.path.name == "PAT_46_881_939.png"
    context = image.context
    assert (context.age_years, context.sex, context.body_site) == (55.0, Sex.FEMALE, "neck")
    assert context.skin_type == 3


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (
            "PAT_46,881,55,FEMALE,3.0,NECK,XXX,PAT_46_881_939.png,True",
            "diagnostic is 'XXX', expected one of ACK",
        ),
        (
            "PAT_46,881,55,FEMALE,9,NECK,BCC,PAT_46_881_939.png,True",
            "fitspatrick is '9', expected a number from 1",
        ),
        (
            "PAT_46,881,55,FEMALE,3,NECK,BCC,PAT_1.png,True",
            r"PAT_1\.png is listed, but PAT_1\.png is in no folder",
        ),
    ],
)
def test_an_error_names_table_and_line(tmp_path: Path, row: str, problem: str) -> None:
    with pytest.raises(ManifestError, match=rf"metadata\.csv, line 2: {problem}"):
        list(read_images(published(tmp_path, row + "\n")))


def test_a_picture_that_is_listed_twice_is_named(tmp_path: Path) -> None:
    row = "PAT_46,881,55,FEMALE,3.0,NECK,BCC,PAT_46_881_939.png,True\n"

    with pytest.raises(ManifestError, match=r"line 3: PAT_46_881_939\.png is listed a second time"):
        list(read_images(published(tmp_path, row + row)))


@pytest.mark.datasets
def test_the_sample_has_all_six_diagnoses(datasets: Path) -> None:
    images = list(read_images(datasets / "pad_ufes_20_sample"))

    assert len(images) == 72
    assert {image.label for image in images} == set(LABELS)
    assert any(image.context.skin_type for image in images)
