"""Discs with a DICOMDIR: what it lists is taken, what is missing is named, the viewer is left out."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.fileset import FileSet

from data.dicom.directory import read_directory
from data.dicom.writing import ObjectInfo, write_ct_series
from data.errors import Reason
from serving.intake.gather import Accepted, Gathered, Rejected, find_studies, gather


def _slices(folder: Path, n_slices: int = 3) -> tuple[Path, ...]:
    slices = np.zeros((n_slices, 16, 16), np.int16) + np.arange(n_slices, dtype=np.int16)[:, None, None]
    info = ObjectInfo(seed="disc", label="MADE FOR A TEST", age_years=61)
    return write_ct_series(folder, slices, info=info, spacing_mm=(1.0, 1.0), thickness_mm=5.0)


@pytest.fixture
def disc(tmp_path: Path) -> Path:
    """Write a disc as pydicom does, with a viewer as hospitals do."""
    files = FileSet()
    for path in _slices(tmp_path / "ct"):
        image = dcmread(path)
        image.PatientID, image.StudyID = "0017", "1"  # which a directory cannot do without
        files.add(image)
    root = tmp_path / "disc"
    files.write(root)
    files._stage["t"].cleanup()  # or it warns when it goes
    (root / "VIEWER").mkdir()
    (root / "VIEWER" / "viewer.exe").write_bytes(b"MZ" + bytes(500))
    (root / "autorun.inf").write_text("[autorun]\nopen=VIEWER\\viewer.exe\n")
    Image.new("RGB", (32, 32), (9, 99, 9)).save(root / "VIEWER" / "icon.png")
    return root


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def _zipped(root: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w") as bundle:
        for path in sorted(root.rglob("*")):
            if path.is_file():
                bundle.write(path, path.relative_to(root))
    return target


def _rejected(found: Gathered) -> dict[str, Reason]:
    return {name.rpartition("/")[2]: one.error.reason for one in found.rejected for name in one.names}


@pytest.mark.parametrize("packed", [False, True])
def test_of_a_disc_the_images_are_taken_and_nothing_else(disc: Path, scratch: Path, packed: bool) -> None:
    handed_in = _zipped(disc, scratch.parent / "disc.zip") if packed else disc
    found = gather([handed_in], scratch=scratch)
    assert [len(study.paths) for study in found.studies] == [3]
    assert _rejected(found) == {"icon.png": Reason.NOT_AN_IMAGE}
    assert "send it by itself" in found.rejected[0].error.remedy


def test_what_the_directory_lists_and_is_not_there_is_named(disc: Path, scratch: Path) -> None:
    lost = read_directory(disc / "DICOMDIR")[1].parts
    disc.joinpath(*lost).unlink()
    found = gather([disc], scratch=scratch)
    assert [len(study.paths) for study in found.studies] == [2]
    (missing,) = [one for one in found.rejected if one.error.reason is Reason.MISSING_FILE]
    assert missing.names == ("/".join((str(disc), *lost)),)
    assert missing.paths == (disc / "DICOMDIR",)
    assert "DICOMDIR and did not come" in missing.error.problem


def test_a_directory_by_itself_says_what_it_is(disc: Path, scratch: Path) -> None:
    found = gather([disc / "DICOMDIR"], scratch=scratch)
    assert _rejected(found) == {"DICOMDIR": Reason.NO_PIXELS}
    assert "3 files, none of which came" in found.rejected[0].error.problem


def test_names_in_small_letters_or_with_a_version_are_the_same_names(disc: Path, scratch: Path) -> None:
    for number, path in enumerate(sorted((one for one in disc.rglob("*") if one.is_file()), reverse=True)):
        name = path.name.lower() + (".;1" if number % 2 else "")
        path.rename(path.with_name(name))
    found = gather([disc], scratch=scratch)
    assert [len(study.paths) for study in found.studies] == [3]
    assert Reason.MISSING_FILE not in _rejected(found).values()


def test_files_that_lost_their_folders_are_known_by_what_they_are(disc: Path, scratch: Path) -> None:
    flat = scratch.parent / "flat"
    flat.mkdir()
    for number, reference in enumerate(read_directory(disc / "DICOMDIR")):
        shutil.copy(disc.joinpath(*reference.parts), flat / f"{number}")
    shutil.copy(disc / "DICOMDIR", flat)
    Image.new("RGB", (32, 32)).save(flat / "mole.png")
    names = {path: path.name for path in flat.iterdir()}
    found = list(find_studies(sorted(names), scratch=scratch, names=names))
    assert not [one for one in found if isinstance(one, Rejected)]
    # without a folder that the directory could speak of, a photograph is one
    assert sorted(len(one.study.paths) for one in found if isinstance(one, Accepted)) == [1, 3]


def test_a_folder_sent_by_a_browser_keeps_its_names(disc: Path, scratch: Path) -> None:
    """Files lie under numbers, and their folders are in the names alone."""
    names: dict[Path, str] = {}
    store = scratch.parent / "spool"
    store.mkdir()
    for number, path in enumerate(sorted(one for one in disc.rglob("*") if one.is_file())):
        copied = Path(shutil.copy(path, store / f"{number:06d}"))
        names[copied] = f"disc/{path.relative_to(disc).as_posix()}"
    lost = next(
        path for path, name in names.items() if name.endswith(read_directory(disc / "DICOMDIR")[0].parts[-1])
    )
    lost_name = names.pop(lost)
    found = list(find_studies(sorted(names), scratch=scratch, names=names))
    reasons = {name: one.error.reason for one in found if isinstance(one, Rejected) for name in one.names}
    assert reasons == {lost_name: Reason.MISSING_FILE, "disc/VIEWER/icon.png": Reason.NOT_AN_IMAGE}


def test_a_directory_that_cannot_be_read_is_named_and_the_images_are_taken(disc: Path, scratch: Path) -> None:
    whole = (disc / "DICOMDIR").read_bytes()
    (disc / "DICOMDIR").write_bytes(whole[: len(whole) // 2])
    found = gather([disc], scratch=scratch)
    assert [len(study.paths) for study in found.studies] == [3]
