import os
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.dicom.writing import ObjectInfo, write_ct_series, write_radiograph
from data.errors import Reason
from data.study import Modality, PatientContext, Sex
from serving.intake.archive import ArchiveLimits
from serving.intake.gather import Gathered, Limits, find_studies, gather


def photograph(path: Path, grey: int = 120, side: int = 40) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), (grey, grey // 2, grey // 3)).save(path, "JPEG")
    return path


def ct(folder: Path, n_slices: int, *, seed: str = "ct") -> tuple[Path, ...]:
    slices = np.zeros((n_slices, 16, 16), np.int16)
    slices += np.arange(n_slices, dtype=np.int16)[:, None, None]
    info = ObjectInfo(seed=seed, label="MADE FOR A TEST", age_years=61)
    return write_ct_series(folder, slices, info=info, spacing_mm=(1.0, 1.0), thickness_mm=5.0)


def take(*paths: Path, scratch: Path, limits: Limits | None = None) -> Gathered:
    return gather(paths, scratch=scratch, limits=limits or Limits())


def reasons(gathered: Gathered) -> dict[str, Reason]:
    return {name: rejected.error.reason for rejected in gathered.rejected for name in rejected.names}


def all_names(gathered: Gathered) -> list[str]:
    accepted = [name for item in gathered.accepted for name in (*item.names, *item.copies)]
    return sorted(accepted + [name for item in gathered.rejected for name in item.names])


@pytest.fixture
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


def test_each_photograph_is_a_study_and_dicom_is_grouped(tmp_path: Path, scratch: Path) -> None:
    photograph(tmp_path / "b.jpg", 100)
    photograph(tmp_path / "a.jpg", 150)
    ct(tmp_path / "ct", 3)

    gathered = take(tmp_path, scratch=scratch)

    assert [len(study.paths) for study in gathered.studies] == [1, 1, 3]
    assert [study.series[0].modality for study in gathered.studies] == [
        Modality.PHOTOGRAPH,
        Modality.PHOTOGRAPH,
        Modality.CT,
    ]
    assert [item.names[0] for item in gathered.accepted[:2]] == [f"{tmp_path}/a.jpg", f"{tmp_path}/b.jpg"]


def test_slices_named_one_by_one_are_one_study(tmp_path: Path, scratch: Path) -> None:
    files = ct(tmp_path / "ct", 3)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    files[1].rename(elsewhere / "slice")

    gathered = take(files[2], elsewhere / "slice", files[0], scratch=scratch)

    assert [len(study.paths) for study in gathered.studies] == [3]


def test_content_decides_and_the_name_does_not(tmp_path: Path, scratch: Path) -> None:
    photograph(tmp_path / "photo.jpg").rename(tmp_path / "photo.dcm")
    ct(tmp_path / "ct", 1)[0].rename(tmp_path / "slice.jpg")
    with zipfile.ZipFile(tmp_path / "zip.png", "w") as bundle:
        bundle.write(tmp_path / "photo.dcm", "inner")

    gathered = take(tmp_path, scratch=scratch)

    assert Counter(study.series[0].modality for study in gathered.studies) == {
        Modality.PHOTOGRAPH: 2,
        Modality.CT: 1,
    }
    assert not gathered.rejected


def test_what_is_no_image_is_rejected_with_a_code_and_not_dropped(tmp_path: Path, scratch: Path) -> None:
    (tmp_path / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0" * 100)
    (tmp_path / "labels.csv").write_text("name,label\n")
    (tmp_path / "text.dcm").write_text("this is no DICOM at all, although it is called so\n" * 10)
    (tmp_path / "empty.jpg").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nowhere")
    photograph(tmp_path / "photo.jpg")

    gathered = take(tmp_path, scratch=scratch)

    assert len(gathered.studies) == 1
    assert {Path(name).name: reason for name, reason in reasons(gathered).items()} == {
        "Thumbs.db": Reason.NOT_AN_IMAGE,
        "labels.csv": Reason.NOT_AN_IMAGE,
        "text.dcm": Reason.NOT_AN_IMAGE,
        "empty.jpg": Reason.EMPTY_FILE,
        "pipe": Reason.NOT_AN_IMAGE,
        "dangling.jpg": Reason.NOT_FOUND,
    }


def test_hidden_files_in_a_folder_are_left_out_but_not_one_that_was_named(
    tmp_path: Path, scratch: Path
) -> None:
    photograph(tmp_path / ".thumbnails" / "small.jpg")
    hidden = photograph(tmp_path / ".photo.jpg")
    photograph(tmp_path / "__MACOSX" / "photo.jpg")

    assert not take(tmp_path, scratch=scratch).studies
    assert len(take(hidden, scratch=scratch).studies) == 1


def test_a_link_back_to_its_own_folder_ends(tmp_path: Path, scratch: Path) -> None:
    photograph(tmp_path / "photo.jpg")
    (tmp_path / "again").symlink_to(tmp_path)

    assert all_names(take(tmp_path, scratch=scratch)) == [f"{tmp_path}/photo.jpg"]


def test_a_file_named_twice_is_taken_once(tmp_path: Path, scratch: Path) -> None:
    photo = photograph(tmp_path / "photo.jpg")

    assert len(take(photo, tmp_path, photo, scratch=scratch).studies) == 1


def test_a_copy_of_a_slice_belongs_to_its_study(tmp_path: Path, scratch: Path) -> None:
    files = ct(tmp_path / "ct", 3)
    (tmp_path / "copy").write_bytes(files[1].read_bytes())

    gathered = take(tmp_path, scratch=scratch)

    (accepted,) = gathered.accepted
    assert len(accepted.study.paths) == 3
    assert len(all_names(gathered)) == 4


def test_files_from_an_archive_are_called_as_the_sender_called_them(tmp_path: Path, scratch: Path) -> None:
    photo = photograph(tmp_path / "photo.jpg")
    cut = photo.read_bytes()[:500]
    with zipfile.ZipFile(tmp_path / "sent.zip", "w") as bundle:
        bundle.write(photo, "病例/左臂.jpg")
        bundle.writestr("病例/cut.jpg", cut)
        bundle.writestr("readme.txt", "see the pictures")
        for number, path in enumerate(ct(tmp_path / "ct", 2)):
            bundle.write(path, f"ct/{number}")

    gathered = take(tmp_path / "sent.zip", scratch=scratch)

    archive = tmp_path / "sent.zip"
    assert [item.names for item in gathered.accepted] == [
        (f"{archive}/病例/左臂.jpg",),
        (f"{archive}/ct/0", f"{archive}/ct/1"),
    ]
    assert reasons(gathered) == {
        f"{archive}/病例/cut.jpg": Reason.TRUNCATED,
        f"{archive}/readme.txt": Reason.NOT_AN_IMAGE,
    }
    assert str(scratch) not in "".join(str(rejected.error) for rejected in gathered.rejected)


def test_uploads_are_called_as_their_sender_called_them(tmp_path: Path, scratch: Path) -> None:
    spooled = tmp_path / "0001"
    spooled.write_text("no image")

    (rejected,) = find_studies([spooled], scratch=scratch, names={spooled: "left arm.jpg"})

    assert rejected.names == ("left arm.jpg",)


def test_a_refused_archive_leaves_the_rest_of_the_call_alone(tmp_path: Path, scratch: Path) -> None:
    photograph(tmp_path / "photo.jpg")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("zeros", bytes(1 << 20))
    with zipfile.ZipFile(tmp_path / "escape.zip", "w") as bundle:
        bundle.writestr("../photo.jpg", "x")
    limits = Limits(archive=ArchiveLimits(max_ratio=10, ratio_from_bytes=1 << 10))

    gathered = take(tmp_path, scratch=scratch, limits=limits)

    assert len(gathered.studies) == 1
    assert reasons(gathered) == {
        f"{tmp_path}/bomb.zip": Reason.ARCHIVE_BOMB,
        f"{tmp_path}/escape.zip": Reason.ARCHIVE_UNSAFE_PATH,
    }


def test_an_archive_without_files_is_accounted_for(tmp_path: Path, scratch: Path) -> None:
    zipfile.ZipFile(tmp_path / "empty.zip", "w").close()

    assert reasons(take(tmp_path, scratch=scratch)) == {f"{tmp_path}/empty.zip": Reason.NOT_AN_IMAGE}


def test_a_study_of_too_many_files_is_rejected_whole_and_the_others_are_not(
    tmp_path: Path, scratch: Path
) -> None:
    ct(tmp_path / "large", 6, seed="large")
    ct(tmp_path / "small", 5, seed="small")

    gathered = take(tmp_path, scratch=scratch, limits=Limits(max_files_per_study=5))

    assert [len(study.paths) for study in gathered.studies] == [5]
    (rejected,) = gathered.rejected
    assert rejected.error.reason is Reason.TOO_MANY_FILES
    assert len(rejected.names) == 6


def test_what_the_sender_says_counts_before_what_the_file_says(tmp_path: Path, scratch: Path) -> None:
    photograph(tmp_path / "photo.jpg")
    ct(tmp_path / "ct", 1)
    context = PatientContext(sex=Sex.FEMALE, body_site="left arm")

    photo, slices = gather([tmp_path], scratch=scratch, context=context).studies

    assert photo.context == context
    assert slices.context == PatientContext(age_years=61.0, sex=Sex.FEMALE, body_site="left arm")


def test_a_photograph_is_given_before_the_last_file_is_looked_at(tmp_path: Path, scratch: Path) -> None:
    photograph(tmp_path / "a.jpg")
    write_radiograph(
        tmp_path / "b.dcm", np.zeros((16, 16), np.uint8), info=ObjectInfo(seed="x", label="MADE FOR A TEST")
    )
    found = find_studies([tmp_path], scratch=scratch)

    next(found)
    (tmp_path / "b.dcm").write_text("not DICOM any more")

    assert [type(item).__name__ for item in found] == ["Rejected"]
