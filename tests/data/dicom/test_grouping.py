"""Files become studies by their UIDs, slices a stack by their geometry, whatever they are called."""

import random
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from data.dicom.grouping import read_studies
from data.dicom.writing import ObjectInfo, write_ct_series, write_radiograph
from data.errors import Reason
from data.study import Modality, QuantityUnit, Sex, Study

MakeDicom = Callable[..., Path]
PIXELS = np.zeros((4, 4), np.uint8)
AXIAL = [1, 0, 0, 0, 1, 0]
CORONAL = [1, 0, 0, 0, 0, -1]


def read_one(*paths: Path) -> Study:
    (study,), rejected = read_studies(paths)
    assert rejected == ()
    return study


def numbers(study: Study) -> list[int | None]:
    return [frame.instance.number for frame in study.frames]


def test_slices_are_ordered_by_place_not_by_name_or_number(make_dicom: MakeDicom) -> None:
    heights = [30.0, -10.0, 20.0, 0.0, 10.0]
    paths = [
        make_dicom(
            PIXELS,
            name=f"{index}.dcm",
            SOPInstanceUID=f"1.2.3.{index}",
            InstanceNumber=9 - index,
            ImagePositionPatient=[5, 5, height],
            ImageOrientationPatient=AXIAL,
        )
        for index, height in enumerate(heights)
    ]
    assert [frame.position_mm for frame in read_one(*paths).frames] == sorted(heights)


def test_an_oblique_stack_is_ordered_along_its_normal(make_dicom: MakeDicom) -> None:
    half = 2**-0.5
    orientation = [1, 0, 0, 0, half, half]
    paths = [
        make_dicom(
            PIXELS,
            name=f"{step}.dcm",
            SOPInstanceUID=f"1.2.{step}",
            InstanceNumber=step,
            # The normal is (0, -0.71, 0.71): a step along it lowers y and raises z.
            ImagePositionPatient=[0, -4 * step, 4 * step],
            ImageOrientationPatient=orientation,
        )
        for step in (3, 1, 2)
    ]
    study = read_one(*paths)
    assert numbers(study) == [1, 2, 3]
    assert next(study.frames).position_mm == pytest.approx(4 * 2**0.5, abs=1e-4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20)
@given(st.permutations(range(5)))
def test_the_order_in_which_slices_were_numbered_does_not_matter(
    make_dicom: MakeDicom, order: list[int]
) -> None:
    paths = [
        make_dicom(
            PIXELS,
            name=f"{number}.dcm",
            SOPInstanceUID=f"1.2.{number}",
            InstanceNumber=number,
            ImagePositionPatient=[0, 0, 3 * place],
            ImageOrientationPatient=AXIAL,
        )
        for number, place in enumerate(order)
    ]
    assert [frame.position_mm for frame in read_one(*paths).frames] == [0, 3, 6, 9, 12]


def test_a_localiser_of_another_orientation_stays_apart(make_dicom: MakeDicom) -> None:
    paths = [
        make_dicom(
            PIXELS,
            name=f"{number}.dcm",
            SOPInstanceUID=f"1.2.{number}",
            InstanceNumber=number,
            ImagePositionPatient=[0, number, -number],
            ImageOrientationPatient=CORONAL if number == 3 else AXIAL,
        )
        for number in range(1, 6)
    ]
    # Axial slices from the lowest, then the one coronal plane.
    assert numbers(read_one(*paths)) == [5, 4, 2, 1, 3]


def test_without_geometry_the_instance_number_decides_then_the_uid(make_dicom: MakeDicom) -> None:
    paths = [
        make_dicom(PIXELS, name=f"{uid}.dcm", SOPInstanceUID=f"1.2.{uid}", InstanceNumber=number)
        for uid, number in ((4, None), (3, None), (2, 10), (1, 11))
    ]
    assert [frame.instance.sop_instance_uid for frame in read_one(*paths).frames] == [
        "1.2.2",
        "1.2.1",
        "1.2.3",
        "1.2.4",
    ]


def test_frames_of_an_enhanced_object_are_ordered_by_their_places(make_dicom: MakeDicom) -> None:
    groups = []
    for height in (20.0, 0.0, 10.0):
        position, orientation, group = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [0, 0, height]
        orientation.ImageOrientationPatient = AXIAL
        group.PlanePositionSequence, group.PlaneOrientationSequence = [position], [orientation]
        groups.append(group)
    path = make_dicom(np.zeros((3, 4, 4), np.uint8), PerFrameFunctionalGroupsSequence=groups)
    frames = list(read_one(path).frames)
    assert [frame.index for frame in frames] == [1, 2, 0]
    assert [frame.number for frame in frames] == [2, 3, 1]


def test_files_belong_together_by_their_uids(make_dicom: MakeDicom) -> None:
    paths = [
        make_dicom(
            PIXELS,
            name=f"{study}{series}.dcm",
            StudyInstanceUID=f"1.{study}",
            SeriesInstanceUID=f"1.{study}.{series}",
            SOPInstanceUID=f"1.{study}.{series}.1",
            SeriesNumber=10 - series,
        )
        for study in (1, 2)
        for series in (1, 2)
    ]
    studies, _ = read_studies(paths)
    assert [[series.uid for series in study.series] for study in studies] == [
        ["1.1.2", "1.1.1"],
        ["1.2.2", "1.2.1"],
    ]


def test_two_patients_under_one_study_uid_are_two_studies(make_dicom: MakeDicom) -> None:
    paths = [
        make_dicom(PIXELS, name=f"{number}.dcm", SOPInstanceUID=f"1.2.{number}", PatientID=patient)
        for number, patient in enumerate(["P1", "P2", "", "P1"])
    ]
    studies, rejected = read_studies(paths)
    assert rejected == ()
    assert [study.patient.identifier for study in studies if study.patient] == ["P1", "P2"]
    assert [{path.name for path in study.paths} for study in studies] == [
        {"0.dcm", "2.dcm", "3.dcm"},
        {"1.dcm"},
    ]


def test_a_second_copy_is_the_same_image(make_dicom: MakeDicom, tmp_path: Path) -> None:
    path = make_dicom(PIXELS)
    copy = Path(shutil.copy(path, tmp_path / "copy.dcm"))
    assert len(list(read_one(path, copy).frames)) == 1


def test_two_images_with_one_uid_are_both_kept(make_dicom: MakeDicom) -> None:
    paths = [make_dicom(PIXELS + value, name=f"{value}.dcm") for value in (1, 2)]
    uids = [frame.instance.sop_instance_uid for frame in read_one(*paths).frames]
    assert len(set(uids)) == 2
    assert uids == [frame.instance.sop_instance_uid for frame in read_one(*reversed(paths)).frames]


def test_missing_uids_are_made_from_the_content(make_dicom: MakeDicom, tmp_path: Path) -> None:
    path = make_dicom(PIXELS, StudyInstanceUID="", SeriesInstanceUID="", name="a.dcm")
    study = read_one(path)
    assert study.uid.startswith("2.25.")
    moved = path.rename(tmp_path / "b.dcm")
    assert read_one(moved).uid == study.uid


def test_one_bad_file_never_spoils_the_others(make_dicom: MakeDicom, tmp_path: Path) -> None:
    good = make_dicom(PIXELS)
    text = tmp_path / "text.dcm"
    text.write_text("no DICOM at all", encoding="ascii")
    empty = tmp_path / "empty.dcm"
    empty.touch()
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(good.read_bytes()[:-8])
    report = make_dicom(name="report.dcm", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", SOPInstanceUID="1.9")
    mask = make_dicom(
        PIXELS, name="mask.dcm", SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4", SOPInstanceUID="1.8"
    )
    directory = make_dicom(name="DICOMDIR", DirectoryRecordSequence=[], SOPInstanceUID="1.7")

    studies, rejected = read_studies([good, text, empty, cut, report, mask, directory, tmp_path / "gone.dcm"])

    assert [frame.instance.path for study in studies for frame in study.frames] == [good]
    assert {Path(error.source).name: error.reason for error in rejected} == {
        "text.dcm": Reason.NOT_DICOM,
        "empty.dcm": Reason.EMPTY_FILE,
        "cut.dcm": Reason.TRUNCATED,
        "report.dcm": Reason.NO_PIXELS,
        "mask.dcm": Reason.UNSUPPORTED_CONTENT,
        "DICOMDIR": Reason.NO_PIXELS,
        "gone.dcm": Reason.NOT_FOUND,
    }


def test_who_when_and_what_is_filled_in(make_dicom: MakeDicom) -> None:
    study = read_one(
        make_dicom(
            PIXELS,
            SpecificCharacterSet="GB18030",
            PatientID="0017",
            IssuerOfPatientID="HOSPITAL-A",
            PatientName="王^小东",
            PatientSex="F",
            PatientBirthDate="19600214",
            StudyDate="20240213",
            StudyTime="083015.123",
            TimezoneOffsetFromUTC="+0000",
            AccessionNumber="A1",
            StudyDescription="胸部正位片",
            BodyPartExamined="CHEST",
            Modality="DX",
            ViewPosition="PA",
            ImageLaterality="U",
        )
    )
    (series,) = study.series
    assert study.patient is not None
    assert (study.patient.issuer, study.patient.identifier, study.patient.name) == (
        "HOSPITAL-A",
        "0017",
        "王^小东",
    )
    assert (study.context.age_years, study.context.sex, study.context.body_site) == (63, Sex.FEMALE, "CHEST")
    assert study.performed_at == datetime(2024, 2, 13, 8, 30, 15, tzinfo=UTC)
    assert (study.accession, study.description) == ("A1", "胸部正位片")
    assert (series.modality, series.body_part) == (Modality.DIGITAL_RADIOGRAPHY, "CHEST")
    assert (series.view, series.laterality) == ("PA", "U")


@pytest.mark.parametrize(
    ("age", "years"),
    [("063Y", 63), ("006M", 0.5), ("002W", 14 / 365.25), ("", None), ("999Y", None), ("old", None)],
)
def test_the_stated_age_is_read_in_its_unit(make_dicom: MakeDicom, age: str, years: float | None) -> None:
    path = make_dicom(PIXELS, PatientAge="000Y")
    path.write_bytes(path.read_bytes().replace(b"000Y", age.ljust(4).encode()))
    assert read_one(path).context.age_years == (None if years is None else pytest.approx(years))


def test_a_written_series_is_read_in_its_order(tmp_path: Path) -> None:
    slices = np.arange(12, dtype=np.int16)[:, None, None] * np.ones((1, 8, 8), np.int16)
    info = ObjectInfo(seed="order", label="SYNTHETIC PHANTOM, NOT A PATIENT", patient_id="P")
    paths = list(write_ct_series(tmp_path, slices, info=info, spacing_mm=(0.5, 0.5), thickness_mm=2.5))
    random.Random(0).shuffle(paths)
    (series,) = read_one(*paths).series
    assert series.modality is Modality.CT
    assert [frame.quantities()[0, 0] for frame in series.frames] == list(range(12))
    assert [frame.position_mm for frame in series.frames] == [2.5 * index for index in range(12)]
    assert series.instances[0].unit is QuantityUnit.HOUNSFIELD


def test_a_radiograph_and_a_ct_of_one_seed_are_one_study(tmp_path: Path) -> None:
    info = ObjectInfo(seed="one", label="SYNTHETIC PHANTOM, NOT A PATIENT")
    slices = np.zeros((2, 4, 4), np.int16)
    ct = write_ct_series(tmp_path / "ct", slices, info=info, spacing_mm=(1, 1), thickness_mm=1)
    film = write_radiograph(tmp_path / "film.dcm", PIXELS, info=info)
    modalities = {series.modality for series in read_one(*ct, film).series}
    assert modalities == {Modality.CT, Modality.DIGITAL_RADIOGRAPHY}


@pytest.mark.datasets
def test_a_real_series_is_a_stack_from_the_feet_to_the_head(datasets: Path) -> None:
    folder = datasets / "lidc_ct_256" / "LIDC-IDRI-0001"
    study = read_one(*folder.glob("*.dcm"))
    (series,) = study.series
    places = [frame.position_mm for frame in series.frames]
    assert places == [-340.0 + 2.5 * index for index in range(133)]
    assert series.frames[0].quantities().min() >= -3100


@pytest.mark.datasets
def test_a_segmentation_beside_its_images_is_set_apart(datasets: Path) -> None:
    studies, rejected = read_studies((datasets / "qin_headneck_pet").rglob("*.dcm"))
    assert [len(list(study.frames)) for study in studies] == [299]
    assert [error.reason for error in rejected] == [Reason.UNSUPPORTED_CONTENT]


def test_a_slice_says_its_orientation_its_kernel_and_what_kind_of_image_it_is(tmp_path: Path) -> None:
    slices = np.zeros((2, 16, 16), np.int16)
    info = ObjectInfo(seed="a", label="a")
    for path in write_ct_series(tmp_path, slices, info=info, spacing_mm=(1.0, 1.0), thickness_mm=5.0):
        dataset = pydicom.dcmread(path)
        dataset.ConvolutionKernel = "H30s"
        dataset.save_as(path)

    (study,), _ = read_studies(tmp_path.iterdir())

    assert study.series[0].kernel == "H30s"
    assert [frame.normal for frame in study.frames] == [(0.0, 0.0, 1.0)] * 2
    assert {frame.instance.image_type for frame in study.frames} == {("ORIGINAL", "PRIMARY", "AXIAL")}


def test_what_files_announce_of_their_number_is_read_and_nonsense_is_not(make_dicom: MakeDicom) -> None:
    def one(number: int, **elements: object) -> Path:
        pixels = np.zeros((2, 2), np.uint8)
        uid = f"1.2.3.{number}"
        return make_dicom(pixels, name=f"{number}.dcm", SOPInstanceUID=uid, **elements)

    study = read_one(
        one(1, NumberOfStudyRelatedInstances="40", ImagesInAcquisition="20", AcquisitionNumber="2"),
        one(2, NumberOfStudyRelatedInstances="41", NumberOfSeriesRelatedInstances="39"),
        one(3, NumberOfStudyRelatedInstances="0", NumberOfStudyRelatedSeries="2"),
        one(4, NumberOfStudyRelatedInstances="-3", NumberOfStudyRelatedSeries=""),
    )
    said = {(str(each.of), each.part): each.n for each in study.announced}
    assert said == {
        ("study", ""): 41,
        ("acquisition", "1.2.3 2"): 20,
        ("series", "1.2.3"): 39,
        ("series-count", ""): 2,
    }
