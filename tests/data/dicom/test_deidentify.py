"""De-identification: what must be gone is gone, what must stay stays."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom._dicom_dict import DicomDictionary
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from data.dicom.burned_in import find_text
from data.dicom.confidentiality import Action, action_of
from data.dicom.deidentify import TextPolicy, deidentify
from data.dicom.files import quiet
from data.dicom.pseudonyms import Pseudonyms, read_key
from data.dicom.reading import DicomReader
from data.errors import ImageError, KeyFileError, Reason
from tests.data.dicom.identities import identities, surviving

OURS = Pseudonyms(bytes(range(32)))
THEIRS = Pseudonyms(bytes(range(1, 33)))
CANARY = "CANARY"
CT = "1.2.840.10008.5.1.4.1.1.2"
TEXT_VRS = {
    "AE",
    "AS",
    "CS",
    "DA",
    "DS",
    "DT",
    "IS",
    "LO",
    "LT",
    "PN",
    "SH",
    "ST",
    "TM",
    "UC",
    "UR",
    "UT",
    "UI",
}
NESTED = (
    "RequestAttributesSequence",
    "SourceImageSequence",
    "ViewCodeSequence",
    "SharedFunctionalGroupsSequence",
)
# What the file's own structure needs.
STRUCTURE = {"SpecificCharacterSet", "SOPClassUID", "PhotometricInterpretation", "NumberOfFrames"}


def picture(rows: int = 48, columns: int = 64) -> NDArray[np.uint8]:
    return np.random.default_rng(7).integers(90, 110, (rows, columns)).astype(np.uint8)


def planted(depth: int) -> Dataset:
    """Fill every text of the dictionary with the canary, within sequences and private blocks too."""
    dataset = Dataset()
    for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
        if vr in TEXT_VRS and keyword not in STRUCTURE and (0x0008 <= tag >> 16 < 0x5000):
            dataset[tag] = raw(tag, vr)
        elif depth and keyword in NESTED:
            dataset.add_new(tag, "SQ", [planted(depth - 1)])
    block = dataset.private_block(0x0019, f"{CANARY} OWNER", create=True)
    block.add_new(1, "LO", CANARY)
    block.add_new(2, "UN", CANARY.encode())
    known = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    known.add_new(0x0C, "LO", CANARY)
    dataset.add_new(0x00091001, "UN", CANARY.encode())
    dataset.add_new(0x0009FFF0, "LO", CANARY)
    dataset.add_new(0x60000022, "LO", CANARY)
    dataset.add_new(0x60003000, "OW", CANARY.encode())
    dataset.add_new(0x50003000, "OW", CANARY.encode())
    dataset.add_new(0x00420011, "OB", CANARY.encode())
    return dataset


def raw(tag: int, vr: str) -> RawDataElement:
    """An element whose value no library has looked at."""
    return RawDataElement(Tag(tag), vr, len(CANARY), CANARY.encode(), 0, False, True)


def written(make_dicom: Callable[..., Path], name: str = "a.dcm", **elements: object) -> Path:
    path: Path = make_dicom(picture(), name=name, SOPClassUID=CT, **elements)
    return path


def out(path: Path, to: Path, key: Pseudonyms = OURS) -> pydicom.FileDataset:
    return pydicom.dcmread(deidentify(path, to, key).path)


def test_a_canary_in_every_text_sequence_and_private_block_is_nowhere_in_the_bytes(
    make_dicom: Callable[..., Path], tmp_path: Path
) -> None:
    path = written(make_dicom)
    with quiet():
        dataset = pydicom.dcmread(path)
        for element in planted(depth=1).values():
            dataset[element.tag] = element
        dataset.SOPClassUID, dataset.BurnedInAnnotation = CT, "NO"
        dataset.preamble = CANARY.encode().ljust(128, b"\0")
        dataset.file_meta.SourceApplicationEntityTitle = CANARY
        dataset.save_as(path)
    with path.open("ab") as file:
        file.write(b"\xfc\xff\xfc\xffOB\0\0\6\0\0\0" + CANARY.encode())
    assert path.read_bytes().count(CANARY.encode()) > 9_000

    result = deidentify(path, tmp_path / "out", OURS)

    assert CANARY.encode() not in result.path.read_bytes()
    assert CANARY not in str(result.path)
    assert result.n_elements["removed"] > 1_000


def test_pixels_stay_and_the_header_says_how_the_patient_was_removed(
    make_dicom: Callable[..., Path], tmp_path: Path
) -> None:
    path = written(make_dicom, PatientName="Wang^Xiaodong", PatientID="73", StudyDescription="CT CHEST 5mm")
    after = out(path, tmp_path / "out")

    assert after.PixelData == pydicom.dcmread(path).PixelData
    assert after.PatientIdentityRemoved == "YES"
    assert after.LongitudinalTemporalInformationModified == "MODIFIED"
    codes = [item.CodeValue for item in after.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113105", "113107", "113111"]
    assert after.StudyDescription == "CT CHEST 5mm"
    assert after.PatientID == after.PatientName == OURS.patient("", "73")


@pytest.mark.parametrize("text", ["CT CHEST WANG", "CHEST 19730412", "Brust für Müller", "胸部 王小东"])
def test_a_description_with_an_unknown_word_goes_whole(
    make_dicom: Callable[..., Path], tmp_path: Path, text: str
) -> None:
    path = written(make_dicom, SpecificCharacterSet="ISO_IR 192", StudyDescription=text)
    assert "StudyDescription" not in out(path, tmp_path / "out")


def test_uids_are_the_same_under_one_key_and_others_under_another(
    make_dicom: Callable[..., Path], tmp_path: Path
) -> None:
    first = written(make_dicom, "1.dcm", SOPInstanceUID="1.2.3.1", FrameOfReferenceUID="1.2.9")
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = CT, "1.2.3.1"
    second = written(make_dicom, "2.dcm", SOPInstanceUID="1.2.3.2", ReferencedImageSequence=[reference])

    one, two = out(first, tmp_path / "out"), out(second, tmp_path / "out")
    other = out(first, tmp_path / "other", THEIRS)

    assert one.StudyInstanceUID == two.StudyInstanceUID != other.StudyInstanceUID
    assert one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID != two.SOPInstanceUID
    referenced = two.ReferencedImageSequence[0]
    assert (referenced.ReferencedSOPClassUID, referenced.ReferencedSOPInstanceUID) == (CT, one.SOPInstanceUID)
    assert one.StudyInstanceUID.startswith("2.25.")
    assert one.SOPClassUID == CT


def test_all_dates_of_a_patient_move_by_one_number_of_days(
    make_dicom: Callable[..., Path], tmp_path: Path
) -> None:
    item = Dataset()
    item.ScheduledProcedureStepStartDate = "20240228"
    dates = {"StudyDate": "20240301", "AcquisitionDateTime": "20240302101500.5+0800"}
    first = written(
        make_dicom,
        "1.dcm",
        PatientID="7",
        PatientBirthDate="19730412",
        RequestAttributesSequence=[item],
        **dates,
    )
    second = written(make_dicom, "2.dcm", SOPInstanceUID="1.9", PatientID="7", StudyDate="20250301")
    stranger = written(make_dicom, "3.dcm", SOPInstanceUID="1.8", PatientID="8", StudyDate="20240301")

    one, two, three = (out(path, tmp_path / "out") for path in (first, second, stranger))

    moved = np.datetime64("2024-03-01") - day(one.StudyDate)
    assert 7 <= moved.astype(int) <= 3640
    assert moved.astype(int) % 7 == 0
    assert day(two.StudyDate) - day(one.StudyDate) == np.timedelta64(365, "D")
    assert day(one.AcquisitionDateTime[:8]) - day(one.StudyDate) == np.timedelta64(1, "D")
    assert one.AcquisitionDateTime.endswith("101500.5+0800")
    assert one.StudyDate != three.StudyDate
    assert one.PatientBirthDate == ""


def day(text: str) -> np.datetime64:
    return np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:8]}")


def test_what_was_deidentified_once_comes_out_the_same(
    make_dicom: Callable[..., Path], tmp_path: Path
) -> None:
    path = written(make_dicom, PatientID="7", StudyDate="20240301", Manufacturer="SIEMENS")
    once = deidentify(path, tmp_path / "out", OURS)
    twice = deidentify(once.path, tmp_path / "again", OURS)
    assert once.path.relative_to(tmp_path / "out") == twice.path.relative_to(tmp_path / "again")
    assert once.path.read_bytes() == twice.path.read_bytes()
    assert not once.was_there
    assert deidentify(path, tmp_path / "out", OURS).was_there


def test_another_file_with_the_same_uid_is_refused_and_the_first_one_stays(
    make_dicom: Callable[..., Path], tmp_path: Path
) -> None:
    once = deidentify(written(make_dicom), tmp_path / "out", OURS)
    before = once.path.read_bytes()
    with pytest.raises(ImageError) as refused:
        deidentify(written(make_dicom, "b.dcm", InstanceNumber=9), tmp_path / "out", OURS)
    assert refused.value.reason is Reason.NAME_TAKEN
    assert once.path.read_bytes() == before
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [once.path]


def test_exif_within_an_encapsulated_jpeg_is_blanked_and_its_picture_stays(
    make_dicom: Callable[..., Path], tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x013B] = CANARY
    stream = BytesIO()
    Image.fromarray(picture()).save(stream, "JPEG", exif=exif, comment=CANARY.encode())
    elements = {"Rows": 48, "Columns": 64, "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"}
    depth = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0}
    path = make_dicom(
        [stream.getvalue()], syntax="1.2.840.10008.1.2.4.50", SOPClassUID=CT, **elements, **depth
    )
    result = deidentify(path, tmp_path / "out", OURS)
    assert path.read_bytes().count(CANARY.encode()) == 2
    assert CANARY.encode() not in result.path.read_bytes()
    assert np.array_equal(DicomReader(path).stored(0), DicomReader(result.path).stored(0))


def with_text(rows: int = 256, columns: int = 320) -> NDArray[np.uint8]:
    image = Image.fromarray(picture(rows, columns) // 4)
    ImageDraw.Draw(image).text((6, 6), "ZHANG WEI 19730412", fill=255, font=ImageFont.load_default(16))
    return np.asarray(image)


def test_text_in_a_corner_is_refused_or_covered_and_nothing_else_changes(
    make_dicom: Callable[..., Path], tmp_path: Path
) -> None:
    pixels = with_text()
    path = make_dicom(pixels, SOPClassUID=CT)
    with pytest.raises(ImageError) as refused:
        deidentify(path, tmp_path / "out", OURS)
    assert refused.value.reason is Reason.BURNED_IN_TEXT
    assert not (tmp_path / "out").exists()

    result = deidentify(path, tmp_path / "out", OURS, text=TextPolicy.MASK)

    after = DicomReader(result.path).stored(0)
    assert after[:40].max() < 100
    assert np.array_equal(after[60:], pixels[60:])
    header = pydicom.dcmread(result.path, stop_before_pixels=True)
    assert header.BurnedInAnnotation == "NO"
    assert "113101" in [item.CodeValue for item in header.DeidentificationMethodCodeSequence]
    assert find_text(DicomReader(result.path).displayed(0)) == ()


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"BurnedInAnnotation": "YES"}, Reason.BURNED_IN_TEXT),
        ({"Modality": "US"}, Reason.BURNED_IN_TEXT),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, Reason.BURNED_IN_TEXT),
        ({"RecognizableVisualFeatures": "YES"}, Reason.RECOGNIZABLE_FACE),
    ],
)
def test_what_the_header_says_of_the_pixels_is_refused(
    make_dicom: Callable[..., Path], tmp_path: Path, elements: dict[str, str], reason: Reason
) -> None:
    path = make_dicom(picture(), **{"SOPClassUID": CT, **elements})
    with pytest.raises(ImageError) as refused:
        deidentify(path, tmp_path / "out", OURS)
    assert refused.value.reason is reason


def test_withheld_consent_and_a_file_without_pixels_are_refused(
    make_dicom: Callable[..., Path], tmp_path: Path
) -> None:
    consent = Dataset()
    consent.ConsentForDistributionFlag = "WITHDRAWN"
    for path, reason in (
        (written(make_dicom, "a.dcm", ConsentForClinicalTrialUseSequence=[consent]), Reason.CONSENT_WITHHELD),
        (make_dicom(None, name="b.dcm"), Reason.NO_PIXELS),
    ):
        with pytest.raises(ImageError) as refused:
            deidentify(path, tmp_path / "out", OURS)
        assert refused.value.reason is reason
    assert not (tmp_path / "out").exists()


def test_a_key_that_can_be_guessed_is_refused(tmp_path: Path) -> None:
    for content in (b"short", b"a" * 64):
        (tmp_path / "key").write_bytes(content)
        with pytest.raises(KeyFileError, match="openssl rand"):
            read_key(tmp_path / "key")


def test_the_table_of_the_standard_is_complete_where_it_matters() -> None:
    expected = {
        0x00100010: Action.EMPTY,
        0x00100030: Action.EMPTY,
        0x00080020: Action.SHIFT,
        0x0020000D: Action.MAP_UID,
        0x00081030: Action.CLEAN,
        0x00101040: Action.REMOVE,
        0x60003000: Action.REMOVE,
        0x00280010: Action.PROVE,
    }
    assert {tag: action_of(tag) for tag in expected} == expected


def test_a_number_by_which_the_patient_is_known_stays_in_no_numeric_attribute(
    make_dicom: Callable[..., Path], tmp_path: Path
) -> None:
    item = Dataset()
    item.ReferencedFrameNumber, item.FrameAcquisitionNumber = 1973, 7
    path = written(
        make_dicom,
        PatientID="0001973",
        PatientBirthDate="19480229",
        InstanceNumber=19480229,
        AcquisitionNumber=1973,
        SeriesNumber=12,
        RepetitionTime="1973.0",
        EchoTime="1973.5",
        AccessionNumber="101530",
        StudyTime="101530.25",
        EchoTrainLength=1974,
        SourceImageSequence=[item],
    )
    after = out(path, tmp_path / "out")
    gone = {"InstanceNumber", "AcquisitionNumber", "RepetitionTime", "StudyTime"}
    assert [keyword for keyword in gone if keyword in after] == []
    assert (after.SeriesNumber, after.EchoTime, after.EchoTrainLength) == (12, 1973.5, 1974)
    assert "ReferencedFrameNumber" not in after.SourceImageSequence[0]
    assert after.SourceImageSequence[0].FrameAcquisitionNumber == 7


def test_no_value_of_a_broken_header_gets_into_a_log_a_warning_or_an_error(
    make_dicom: Callable[..., Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
) -> None:
    path = written(make_dicom)
    with quiet():
        dataset = pydicom.dcmread(path)
        for keyword, vr in (("PatientAge", "AS"), ("KVP", "DS"), ("SeriesNumber", "IS"), ("StudyDate", "DA")):
            dataset[Tag(keyword)] = RawDataElement(
                Tag(keyword), vr, len(CANARY), CANARY.encode(), 0, False, True
            )
        dataset.save_as(path)
    assert CANARY.encode() in path.read_bytes()
    deidentify(path, tmp_path / "out", OURS)
    DicomReader(path).displayed(0)
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(path.read_bytes().replace(b"AS\x06\x00", b"SQ\x00\x00"))
    with pytest.raises(ImageError) as refused:
        deidentify(broken, tmp_path / "out", OURS)

    assert CANARY not in caplog.text
    assert not [remark for remark in recwarn if CANARY in str(remark.message)]
    assert CANARY not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.datasets
@pytest.mark.parametrize("policy", list(TextPolicy))
def test_of_the_whole_corpus_each_file_is_accounted_for_and_nothing_that_identifies_survives(
    datasets: Path, tmp_path: Path, policy: TextPolicy
) -> None:
    refused: dict[Reason, int] = {}
    n_written, n_said = 0, 0
    paths = sorted((datasets / "dicom_corpus").rglob("*.dcm"), key=lambda path: path.name)
    assert len(paths) == 289
    for number, path in enumerate(paths):
        to = tmp_path / str(number)
        try:
            result = deidentify(path, to, OURS, text=policy)
        except ImageError as error:
            refused[error.reason] = refused.get(error.reason, 0) + 1
            assert not to.exists()
            continue
        n_written += 1
        # Of a file that is written under either policy the header is cleaned in the same way.
        if policy is TextPolicy.MASK:
            said = identities(path)
            n_said += len(said)
            assert surviving(said, result.path) == [], path.name
        if not result.masked and path.stat().st_size < 1 << 20:
            before, after = DicomReader(path), DicomReader(result.path)
            for index in {0, before.picture().n_frames - 1}:
                assert np.array_equal(before.stored(index), after.stored(index)), path.name
    assert n_written + sum(refused.values()) == 289
    assert n_written >= (120 if policy is TextPolicy.REFUSE else 230)
    assert policy is TextPolicy.REFUSE or n_said >= 25 * n_written
    known = {
        Reason.NO_PIXELS,
        Reason.UNSUPPORTED_CONTENT,
        Reason.CORRUPT,
        Reason.TRUNCATED,
        Reason.NOT_DICOM,
    }
    assert set(refused) == known | ({Reason.BURNED_IN_TEXT} if policy is TextPolicy.REFUSE else set())


def test_the_look_for_what_survives_finds_each_kind_of_value(make_dicom: Callable[..., Path]) -> None:
    path = written(
        make_dicom,
        PatientName="Wang^Xiaodong",
        PatientID="197304",
        StudyDate="20240301",
        FrameOfReferenceUID="1.2.3.99",
    )
    said = identities(path)
    copy = make_dicom(
        picture(),
        name="copy.dcm",
        SOPInstanceUID="1.9.9",
        StudyInstanceUID="1.9",
        SeriesInstanceUID="1.9.8",
        StudyDescription="of Wang^Xiaodong",
        InstanceNumber=197304,
        ContentDate="20240301",
        SynchronizationFrameOfReferenceUID="1.2.3.99",
    )
    found = {one.place for one, _ in surviving(said, copy)}
    assert found >= {"/PatientName", "/PatientID", "/StudyDate", "/FrameOfReferenceUID"}
    assert "/SOPInstanceUID" not in found
