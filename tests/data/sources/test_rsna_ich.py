"""RSNA's haemorrhage set: the long table, and patients, studies and order out of DICOM headers."""

import csv
from pathlib import Path

import pytest
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from data.errors import ManifestError
from data.sources.rsna_ich import read_images, write_slices

KINDS = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural", "any")


def write_slice(
    root: Path, name: str, *, patient: str = "ID_p1", study: str = "ID_s1", z_mm: float | None = 0.0
) -> None:
    """Write a header like the set's own: identifiers stand where UIDs should."""
    with disable_value_validation():
        dataset = Dataset()
        dataset.SOPClassUID, dataset.Modality = CTImageStorage, "CT"
        dataset.PatientID = patient
        dataset.SOPInstanceUID = UID(name)
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, f"{study}series"
        if z_mm is not None:
            dataset.ImagePositionPatient = [-125.0, -112.0, z_mm]
            dataset.ImageOrientationPatient = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
        folder = root / "stage_2_train"
        folder.mkdir(exist_ok=True)
        dataset.save_as(folder / f"{name}.dcm", enforce_file_format=True)


def rows(name: str, *present: str) -> str:
    return "".join(f"{name}_{kind},{int(kind in present)}\n" for kind in KINDS)


def write_table(root: Path, text: str, *, table: str = "stage_2_train.csv") -> Path:
    (root / table).write_text("ID,Label\n" + text, encoding="utf-8")
    return root


@pytest.fixture
def small_set(tmp_path: Path) -> Path:
    """Give two patients: p1 with two studies, one of them of three slices, filed in no order."""
    write_slice(tmp_path, "ID_b", z_mm=10.0)
    write_slice(tmp_path, "ID_a", z_mm=15.0)
    write_slice(tmp_path, "ID_c", z_mm=-5.0)
    write_slice(tmp_path, "ID_d", study="ID_s2")
    write_slice(tmp_path, "ID_e", patient="ID_p0", study="ID_s9")
    text = rows("ID_a", "any", "subdural", "epidural") + rows("ID_b") + rows("ID_c", "any", "subarachnoid")
    return write_table(tmp_path, text + rows("ID_d") + rows("ID_e"))


def test_slices_come_study_by_study_from_the_feet_to_the_head(small_set: Path) -> None:
    images = list(read_images(small_set))

    assert [(image.group, image.study, image.position, image.path.stem) for image in images] == [
        ("ID_p0", "ID_s9", 0, "ID_e"),
        ("ID_p1", "ID_s1", 0, "ID_c"),
        ("ID_p1", "ID_s1", 1, "ID_b"),
        ("ID_p1", "ID_s1", 2, "ID_a"),
        ("ID_p1", "ID_s2", 0, "ID_d"),
    ]


def test_kinds_of_haemorrhage_are_findings(small_set: Path) -> None:
    image_of_name = {image.path.stem: image for image in read_images(small_set)}

    assert image_of_name["ID_a"].label == "haemorrhage"
    assert image_of_name["ID_a"].findings == {"SDH", "EDH"}
    assert image_of_name["ID_c"].findings == {"SAH"}
    assert (image_of_name["ID_b"].label, image_of_name["ID_b"].findings) == ("none", frozenset())


def test_the_prepared_table_gives_the_same_images_without_opening_a_file(
    small_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_headers = list(read_images(small_set))
    table = write_slices(small_set)
    monkeypatch.setattr("data.sources.rsna_ich.read_header", None)

    assert table == small_set / "slices.csv"
    assert list(read_images(small_set)) == from_headers


def test_the_prepared_table_may_lie_elsewhere(
    small_set: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    table = write_slices(small_set, tmp_path_factory.mktemp("prepared") / "places.csv")

    assert not (small_set / "slices.csv").exists()
    assert len(list(read_images(small_set, slices=table))) == 5


def test_a_table_that_cannot_be_finished_leaves_nothing_behind(small_set: Path) -> None:
    (small_set / "stage_2_train" / "ID_d.dcm").unlink()
    before = sorted(small_set.iterdir())

    with pytest.raises(ManifestError, match="ID_d is listed, but"):
        write_slices(small_set)
    assert sorted(small_set.iterdir()) == before


def test_a_table_that_cannot_be_written_says_so(small_set: Path) -> None:
    with pytest.raises(ManifestError, match=r"places\.csv: cannot be written: No such file or directory"):
        write_slices(small_set, small_set / "absent" / "places.csv")


def test_a_row_that_comes_twice_counts_once_and_the_unreadable_file_not_at_all(tmp_path: Path) -> None:
    write_slice(tmp_path, "ID_a")
    root = write_table(tmp_path, rows("ID_a", "any") * 2 + rows("ID_6431af929", "any"))

    assert [image.path.stem for image in read_images(root)] == ["ID_a"]


def test_stage_one_is_read_where_there_is_no_stage_two(tmp_path: Path) -> None:
    write_slice(tmp_path, "ID_a")
    (tmp_path / "stage_2_train").rename(tmp_path / "stage_1_train_images")
    root = write_table(tmp_path, rows("ID_a"), table="stage_1_train.csv")

    (image,) = read_images(root)

    assert image.path == tmp_path / "stage_1_train_images" / "ID_a.dcm"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ID_a_any,2\n", "line 2: Label is '2', expected 0 or 1"),
        ("ID_a_chronic,0\n", "line 2: ID is 'ID_a_chronic', expected ID_xxx and one of epidural"),
        ("../ID_a_any,0\n", "line 2: ID is '../ID_a_any'"),
        ("ID_a_any,0\n", "line 2: ID_a has no row for epidural, intraparenchymal, intraventricular"),
        (rows("ID_a") + "ID_a_any,1\n", "line 8: ID_a_any is 1 here, but was not further up"),
        (rows("ID_a", "subdural"), "line 2: ID_a has a kind of haemorrhage, but not 'any'"),
        (rows("ID_a") + rows("ID_z"), "line 8: ID_z is listed, but .*ID_z.dcm does not exist"),
    ],
)
def test_an_error_names_table_and_line(tmp_path: Path, text: str, problem: str) -> None:
    write_slice(tmp_path, "ID_a")

    with pytest.raises(ManifestError, match=rf"stage_2_train\.csv, {problem}"):
        list(read_images(write_table(tmp_path, text)))


@pytest.mark.parametrize(
    ("elements", "problem"),
    [
        ({"patient": ""}, "does not tell its patient and study"),
        ({"study": ""}, "does not tell its patient and study"),
        ({"z_mm": None}, "does not tell its place"),
        ({"patient": "ID_p2"}, "study ID_s1 of ID_b is of patient ID_p2 and of ID_p1"),
    ],
)
def test_a_header_that_does_not_tell_enough_is_named(
    tmp_path: Path, elements: dict[str, object], problem: str
) -> None:
    write_slice(tmp_path, "ID_a")
    write_slice(tmp_path, "ID_b", **elements)  # type: ignore[arg-type]  # one of each kind

    with pytest.raises(ManifestError, match=rf"stage_2_train\.csv, line 8: .*{problem}"):
        list(read_images(write_table(tmp_path, rows("ID_a") + rows("ID_b"))))


def test_a_file_that_is_no_dicom_is_named(tmp_path: Path) -> None:
    write_slice(tmp_path, "ID_a")
    (tmp_path / "stage_2_train" / "ID_a.dcm").write_bytes(b"not an image" * 50)

    with pytest.raises(ManifestError, match="line 2: ID_a cannot be read: not-dicom"):
        list(read_images(write_table(tmp_path, rows("ID_a"))))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"distance_mm": "far"}, r"slices\.csv, line 2: distance_mm is 'far', expected a number"),
        ({"distance_mm": ""}, r"slices\.csv, line 2: distance_mm is blank"),
        ({"patient": ""}, r"slices\.csv, line 2: patient is blank"),
        ({"image": "ID_gone"}, r"stage_2_train\.csv, line 26: ID_e is listed, but .*slices\.csv has no row"),
        ({"image": "ID_a"}, r"slices\.csv, line 5: ID_a is listed a second time"),
    ],
)
def test_a_prepared_table_that_does_not_fit_is_named(
    small_set: Path, change: dict[str, str], problem: str
) -> None:
    table = write_slices(small_set)
    with table.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    lines[0].update(change)
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)

    with pytest.raises(ManifestError, match=problem):
        list(read_images(small_set))


def test_a_folder_without_a_table_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"holds no table; expected stage_2_train\.csv or"):
        list(read_images(tmp_path))
