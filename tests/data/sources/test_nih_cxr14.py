"""NIH ChestX-ray14 in both versions of its table, with and without the official split."""

from pathlib import Path

import pytest

from data.errors import ManifestError
from data.sources.nih_cxr14 import read_images
from data.study import Sex

# The first version ends each line with a comma; its headings in brackets are two cells each.
TAIL = "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
HEADER = f"Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,{TAIL}"


def row(
    number: int = 1,
    findings: str = "No Finding",
    *,
    patient: int = 1,
    age: str = "58",
    sex: str = "M",
    view: str = "PA",
) -> str:
    return f"0000000{number}_000.png,{findings},0,{patient},{age},{sex},{view},2682,2749,0.143,0.143"


def lay_out(
    root: Path, *rows: str, header: str = HEADER, end: str = "", table: str = "Data_Entry_2017_v2020.csv"
) -> Path:
    (root / table).write_text("".join(f"{line}{end}\n" for line in (header, *rows)), encoding="utf-8")
    for number in range(1, 5):
        folder = root / f"images_00{number}" / "images"
        folder.mkdir(parents=True)
        (folder / f"0000000{number}_000.png").write_bytes(b"")
    return root


def write_lists(root: Path, *, train: str, test: str) -> None:
    for name, numbers in (("train_val_list.txt", train), ("test_list.txt", test)):
        (root / name).write_text("".join(f"0000000{one}_000.png\r\n" for one in numbers), encoding="utf-8")


def test_the_finding_asked_for_stands_against_all_others(tmp_path: Path) -> None:
    root = lay_out(
        tmp_path,
        row(1, "Pneumonia|Pleural_Thickening", patient=7),
        row(2, "Hernia", patient=7, view="AP"),
        row(3, sex="F", patient=8),
    )

    first, second, third = read_images(root)

    assert [image.label for image in (first, second, third)] == ["pneumonia", "none", "none"]
    assert first.findings == {"pneumonia", "pleural_thickening"}
    assert third.findings == frozenset()
    assert (first.group, second.group, third.group) == ("7", "7", "8")
    assert (first.context.age_years, first.context.sex) == (58.0, Sex.MALE)
    assert third.context.sex == Sex.FEMALE
    assert second.path == tmp_path / "images_002" / "images" / "00000002_000.png"
    assert first.split is None


def test_a_finding_may_stand_against_the_healthy_alone(tmp_path: Path) -> None:
    root = lay_out(tmp_path, row(1, "Hernia|Mass"), row(2, "Mass"), row(3))

    images = read_images(root, finding="hernia", healthy_only=True)

    assert [image.label for image in images] == ["hernia", "none"]


def test_one_view_may_be_asked_for(tmp_path: Path) -> None:
    root = lay_out(tmp_path, row(1, view="PA"), row(2, view="AP"))

    assert [image.path.stem for image in read_images(root, view="AP")] == ["00000002_000"]


def test_the_first_version_has_ages_with_units_and_a_comma_at_the_end(tmp_path: Path) -> None:
    ages = ("058Y", "006M", "414", "")
    rows = (row(number, age=age) for number, age in enumerate(ages, start=1))
    root = lay_out(tmp_path, *rows, end=",", table="Data_Entry_2017.csv")

    assert [image.context.age_years for image in read_images(root)] == [58.0, 0.5, None, None]


def test_the_sex_column_has_two_names(tmp_path: Path) -> None:
    root = lay_out(tmp_path, row(sex="F"), header=HEADER.replace("Gender", "Sex"))

    assert [image.context.sex for image in read_images(root)] == [Sex.FEMALE]


def test_the_official_lists_are_the_split(tmp_path: Path) -> None:
    root = lay_out(tmp_path, row(1, patient=1), row(2, patient=1), row(3, patient=2))
    write_lists(root, train="12", test="3")

    assert [image.split for image in read_images(root)] == ["train", "train", "test"]


@pytest.mark.parametrize(
    ("train", "test", "problem"),
    [
        ("1", "2", r"csv, line 3: 00000002_000\.png is test, but patient 1 is train too"),
        ("1", "", r"csv, line 3: 00000002_000\.png is in neither train_val_list\.txt nor test_list\.txt"),
        ("12", "32", r"test_list\.txt, line 2: 00000002_000\.png is in the other list too"),
    ],
)
def test_a_split_that_tears_a_patient_or_leaves_one_out_is_refused(
    tmp_path: Path, train: str, test: str, problem: str
) -> None:
    root = lay_out(tmp_path, row(1), row(2))
    write_lists(root, train=train, test=test)

    with pytest.raises(ManifestError, match=problem):
        list(read_images(root))


def test_one_list_without_the_other_is_refused(tmp_path: Path) -> None:
    root = lay_out(tmp_path, row(1))
    write_lists(root, train="1", test="")
    (root / "test_list.txt").unlink()

    with pytest.raises(ManifestError, match=r"test_list\.txt: does not exist, though train_val_list\.txt"):
        list(read_images(root))


def test_a_list_that_is_no_text_is_refused(tmp_path: Path) -> None:
    root = lay_out(tmp_path, row(1))
    write_lists(root, train="1", test="")
    (root / "test_list.txt").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ManifestError, match=r"test_list\.txt: cannot be read"):
        list(read_images(root))


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (row(1, "Pnuemonia"), "Finding Labels is 'Pnuemonia', expected 'No Finding' or"),
        (row(1, "No Finding|Mass"), "Finding Labels is"),
        (row(1, age="old"), "Patient Age is 'old', expected years"),
        (row(1, sex="X"), "Patient Gender is 'X', expected M or F"),
        (row(1, view="LL"), "View Position is 'LL', expected one of PA, AP"),
        (row(9), r"00000009_000\.png is listed, but is in no folder .* unpack all"),
    ],
)
def test_an_error_names_table_and_line(tmp_path: Path, bad: str, problem: str) -> None:
    with pytest.raises(ManifestError, match=rf"v2020\.csv, line 3: {problem}"):
        list(read_images(lay_out(tmp_path, row(2), bad)))


def test_a_radiograph_listed_twice_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"line 3: 00000001_000\.png is listed a second time"):
        list(read_images(lay_out(tmp_path, row(1), row(1))))


def test_a_resized_copy_beside_the_original_is_refused(tmp_path: Path) -> None:
    root = lay_out(tmp_path, row(1))
    (root / "small").mkdir()
    (root / "small" / "00000001_000.png").write_bytes(b"")

    with pytest.raises(ManifestError, match=r"holds 00000001_000\.png twice"):
        list(read_images(root))


def test_an_unknown_finding_or_view_and_a_missing_table_are_said_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="finding is 'flu'"):
        list(read_images(tmp_path, finding="flu"))
    with pytest.raises(ValueError, match="view is 'lateral'"):
        list(read_images(tmp_path, view="lateral"))
    with pytest.raises(ManifestError, match=r"holds no table; expected Data_Entry_2017_v2020\.csv or"):
        list(read_images(tmp_path))
