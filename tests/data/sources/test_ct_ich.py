"""CT-ICH in its published and in its rebuilt layout."""

from pathlib import Path

import pytest

from data.errors import ManifestError
from data.sources.ct_ich import read_images

PUBLISHED = (
    "PatientNumber,SliceNumber,Intraventricular,Intraparenchymal,Subarachnoid,Epidural,Subdural,"
    "No_Hemorrhage,Fracture_Yes_No\n"
)
REBUILT = "path,window,patient,slice,hemorrhage,IVH,IPH,SAH,EDH,SDH,fracture\n"


def published(root: Path, rows: str) -> Path:
    (root / "hemorrhage_diagnosis.csv").write_text(PUBLISHED + rows, encoding="utf-8")
    folder = root / "Patients_CT" / "049" / "brain"
    folder.mkdir(parents=True)
    for number in (1, 2, 3):
        (folder / f"{number}.jpg").write_bytes(b"")
    return root


def test_the_published_layout_is_read(tmp_path: Path) -> None:
    root = published(tmp_path, "49,1,0,0,0,0,0,1,0\n49,2,1,0,0,0,1,0,0\n49,3,0,0,0,0,0,1,1\n")

    images = list(read_images(root))

    assert [image.label for image in images] == ["none", "haemorrhage", "none"]
    assert [set(image.findings) for image in images] == [set(), {"IVH", "SDH"}, {"fracture"}]
    assert [image.position for image in images] == [1, 2, 3]
    assert {(image.study, image.group) for image in images} == {("049", "049")}
    assert images[0].path == root / "Patients_CT" / "049" / "brain" / "1.jpg"


def test_the_rebuilt_layout_is_read(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(
        REBUILT + "brain/049_02.jpg,brain,49,2,1,0,1,0,0,0,0\n", encoding="utf-8"
    )
    (tmp_path / "brain").mkdir()
    (tmp_path / "brain" / "049_02.jpg").write_bytes(b"")

    (image,) = read_images(tmp_path)

    assert (image.label, image.study, image.position, set(image.findings)) == (
        "haemorrhage",
        "049",
        2,
        {"IPH"},
    )


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("49,1,0,0,0,0,2,1,0\n", r"line 2: Subdural is '2', expected 0 or 1"),
        ("49,1.5,0,0,0,0,0,1,0\n", r"line 2: SliceNumber is '1.5', expected a whole number"),
        (",1,0,0,0,0,0,1,0\n", r"line 2: PatientNumber is '', expected a whole number"),
        (
            "49,1,0,0,0,0,0,1,0\n49,1,0,0,0,0,0,1,0\n",
            r"line 3: slice 1 of patient 49 is listed a second time",
        ),
        ("49,9,0,0,0,0,0,1,0\n", r"line 2: slice 9 of patient 49 is listed, but .*9\.jpg does not exist"),
    ],
)
def test_an_error_names_table_line_and_slice(tmp_path: Path, rows: str, problem: str) -> None:
    with pytest.raises(ManifestError, match=rf"hemorrhage_diagnosis\.csv, {problem}"):
        list(read_images(published(tmp_path, rows)))


def test_a_folder_without_a_table_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"holds no table; expected hemorrhage_diagnosis\.csv or"):
        list(read_images(tmp_path))


@pytest.mark.datasets
def test_the_set_at_hand_has_its_counts(datasets: Path) -> None:
    images = list(read_images(datasets / "ct_ich_256"))

    bleeding = [image for image in images if image.label == "haemorrhage"]
    assert len({image.study for image in images}) == 64
    assert len(images) == 1_915
    assert len({image.study for image in bleeding}) == 28
    assert len(bleeding) == 258
