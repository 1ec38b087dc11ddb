"""HAM10000 in its published layout, small by hand and whole where it is at hand."""

from collections import Counter
from pathlib import Path

import pytest

from data.errors import ManifestError
from data.sources.ham10000 import LABELS, read_images
from data.study import Sex

HEADER = "lesion_id,image_id,dx,dx_type,age,sex,localization\n"


def lay_out(root: Path, rows: str, *, images: tuple[str, ...] = ("ISIC_1", "ISIC_2")) -> Path:
    (root / "HAM10000_metadata.csv").write_text(HEADER + rows, encoding="utf-8")
    for number, name in enumerate(images):
        folder = root / f"HAM10000_images_part_{number % 2 + 1}"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.jpg").write_bytes(b"")
    return root


def test_a_row_gives_label_lesion_and_context(tmp_path: Path) -> None:
    root = lay_out(
        tmp_path, "HAM_7,ISIC_1,mel,histo,80.0,female,scalp\nHAM_7,ISIC_2,mel,histo,,unknown,unknown\n"
    )

    first, second = read_images(root)

    assert first.path == root / "HAM10000_images_part_1" / "ISIC_1.jpg"
    assert second.path == root / "HAM10000_images_part_2" / "ISIC_2.jpg"
    assert first.label == "mel"
    assert first.group == second.group == "HAM_7"
    assert (first.context.age_years, first.context.sex, first.context.body_site) == (
        80.0,
        Sex.FEMALE,
        "scalp",
    )
    assert (second.context.age_years, second.context.sex, second.context.body_site) == (None, None, None)
    assert first.split is None


def test_images_may_all_lie_in_one_folder(tmp_path: Path) -> None:
    root = lay_out(tmp_path, "HAM_7,ISIC_1,mel,histo,80.0,female,scalp\n", images=())
    (root / "images").mkdir()
    (root / "images" / "ISIC_1.jpg").write_bytes(b"")

    assert [image.path.parent.name for image in read_images(root)] == ["images"]


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("HAM_7,ISIC_1,wart,histo,80.0,male,scalp\n", r"line 2: dx is 'wart', expected one of df, vasc"),
        ("HAM_7,ISIC_9,mel,histo,80.0,male,scalp\n", r"line 2: ISIC_9 is listed, but ISIC_9.jpg is in no"),
        (",ISIC_1,mel,histo,80.0,male,scalp\n", r"line 2: lesion_id is blank"),
        ("HAM_7,ISIC_1,mel,histo,old,male,scalp\n", r"line 2: age is 'old', expected a number from 0 to 130"),
        ("HAM_7,ISIC_1,mel,histo,80.0,male\n", r"line 2: has 6 cells, but the header has 7"),
        (
            "HAM_7,ISIC_1,mel,histo,80.0,male,scalp\nHAM_8,ISIC_1,nv,histo,80.0,male,scalp\n",
            r"line 3: ISIC_1 is listed a second time",
        ),
    ],
)
def test_an_error_names_table_and_line(tmp_path: Path, rows: str, problem: str) -> None:
    root = lay_out(tmp_path, rows)

    with pytest.raises(ManifestError, match=rf"HAM10000_metadata\.csv, {problem}"):
        list(read_images(root))


def test_a_folder_without_the_table_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"HAM10000_metadata\.csv: does not exist"):
        list(read_images(tmp_path))


def test_a_path_that_is_no_folder_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="is not a folder"):
        list(read_images(tmp_path / "absent"))


def test_an_image_without_a_dermamnist_split_is_named(tmp_path: Path) -> None:
    root = lay_out(tmp_path, "HAM_7,ISIC_1,mel,histo,80.0,female,scalp\n")
    (root / "dermamnist_official_split.csv").write_text(
        "image_id,split,index\nISIC_2,val,0\n", encoding="utf-8"
    )

    with pytest.raises(ManifestError, match="ISIC_1 has no split"):
        list(read_images(root, dermamnist_split=True))


@pytest.mark.datasets
def test_the_whole_set_has_its_published_counts(datasets: Path) -> None:
    images = list(read_images(datasets / "ham10000_256"))

    assert len(images) == 10_015
    assert len({image.group for image in images}) == 7_470
    assert Counter(image.label for image in images) == {
        "nv": 6705, "mel": 1113, "bkl": 1099, "bcc": 514, "akiec": 327, "vasc": 142, "df": 115,
    }  # fmt: skip
    assert {image.label for image in images} == set(LABELS)
    assert sum(image.context.age_years is None for image in images) == 57
    assert sum(image.context.sex is None for image in images) == 57


@pytest.mark.datasets
def test_the_dermamnist_split_has_its_published_counts_and_leaks_as_documented(datasets: Path) -> None:
    images = list(read_images(datasets / "ham10000_256", dermamnist_split=True))

    assert Counter(image.split for image in images) == {"train": 7007, "val": 1003, "test": 2005}
    train = {image.group for image in images if image.split == "train"}
    assert sum(image.split == "test" and image.group in train for image in images) == 693
