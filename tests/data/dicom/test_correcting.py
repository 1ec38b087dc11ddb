"""Corrected copies: what is changed, what is not, and that the copy says what it was before."""

import hashlib
import io
from datetime import UTC, datetime
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from data.dicom.correcting import (
    ChangedText,
    CorrectionError,
    Corrections,
    changed_texts,
    checked,
    corrected_stream,
)
from data.dicom.files import open_object, quiet
from data.dicom.header import read_header
from data.dicom.transcoding import TranscodingError
from data.dicom.writing import uid_of_digest
from data.errors import ImageError
from tests.serving.dicomweb.sent import INSTANCE, ct

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (path,) = ct(tmp_path / "ct", n_slices=1)
    return path


def mislabelled(path: Path) -> Path:
    """Write GBK into a file that declares Latin-1, as many devices do."""
    dataset = pydicom.dcmread(path)
    dataset.SpecificCharacterSet = "GBK"
    dataset.PatientName = "王^小东"
    dataset.StudyDescription = "胸部"
    dataset.RequestedProcedureCodeSequence = [Dataset()]
    dataset.RequestedProcedureCodeSequence[0].CodeMeaning = "平扫"
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    at = buffer.getvalue().index(b"\x08\x00\x05\x00CS")
    content = buffer.getvalue()
    assert content[at + 8 : at + 12] == b"GBK "
    label = b"\x08\x00\x05\x00CS" + (10).to_bytes(2, "little") + b"ISO_IR 100"
    path.write_bytes(content[:at] + label + content[at + 12 :])
    return path


def corrected(path: Path, corrections: Corrections) -> pydicom.FileDataset:
    digest = hashlib.sha256(path.read_bytes()).digest()
    pieces = corrected_stream(path, checked(corrections), digest=digest, source="stow gateway", at=AT)
    return pydicom.dcmread(io.BytesIO(b"".join(pieces)))


def before(dataset: pydicom.FileDataset) -> Dataset:
    item = dataset.OriginalAttributesSequence[-1]
    (modified,) = item.ModifiedAttributesSequence
    assert isinstance(modified, Dataset)
    return modified


def test_a_value_is_changed_and_the_copy_says_what_it_was_and_when(path: Path) -> None:
    copy = corrected(path, Corrections({"PatientID": ("P2",), "PatientSex": ("F",), "AccessionNumber": ()}))
    assert (copy.PatientID, copy.PatientSex, copy.AccessionNumber) == ("P2", "F", "")
    sent = pydicom.dcmread(path)
    assert copy.PixelData == sent.PixelData
    assert copy.SOPInstanceUID == INSTANCE
    item = copy.OriginalAttributesSequence[0]
    assert item.AttributeModificationDateTime == "20260304050607.000000+0000"
    assert (item.ModifyingSystem, item.SourceOfPreviousValues) == ("firstread", "stow gateway")
    assert item.ReasonForTheAttributeModification == "CORRECT"
    assert {element.keyword for element in before(copy)} == {"PatientID", "PatientSex", "AccessionNumber"}
    assert before(copy).PatientID == "P1"


def test_an_attribute_that_was_not_there_stands_empty_among_those_before(path: Path) -> None:
    copy = corrected(path, Corrections({"IssuerOfPatientID": ("NORTH",)}))
    assert copy.IssuerOfPatientID == "NORTH"
    assert before(copy).IssuerOfPatientID == ""


def test_a_second_correction_keeps_the_account_of_the_first(path: Path) -> None:
    digest = hashlib.sha256(path.read_bytes()).digest()
    once = b"".join(
        corrected_stream(path, Corrections({"PatientID": ("P2",)}), digest=digest, source="a", at=AT)
    )
    path.write_bytes(once)
    copy = corrected(path, Corrections({"PatientID": ("P3",)}))
    said = [item.ModifiedAttributesSequence[0].PatientID for item in copy.OriginalAttributesSequence]
    assert said == ["P1", "P2"]


def test_text_is_read_by_the_character_set_that_was_meant_and_written_in_utf_8(path: Path) -> None:
    sent = mislabelled(path)
    garbled = read_header(sent).text("PatientName")
    assert garbled != "王^小东"
    assert changed_texts(sent, "GBK")[0] == ChangedText("PatientName", garbled, "王^小东")
    copy = corrected(sent, Corrections(character_set="GBK"))
    assert copy.SpecificCharacterSet == "ISO_IR 192"
    assert (copy.PatientName, copy.StudyDescription) == ("王^小东", "胸部")
    assert copy.RequestedProcedureCodeSequence[0].CodeMeaning == "平扫"
    assert before(copy).PatientName == garbled
    (label,) = copy.OriginalAttributesSequence[0].NonconformingModifiedAttributesSequence
    assert (label.SelectorAttribute, label.NonconformingDataElementValue) == (0x00080005, b"ISO_IR 100")


def test_text_that_was_right_stays_right_when_another_value_is_changed(path: Path) -> None:
    copy = corrected(path, Corrections({"StudyDescription": ("头部平扫",)}))
    assert copy.PatientName == "Wang^Fang=王^芳"
    assert copy.StudyDescription == "头部平扫"


def test_an_image_of_its_own_gets_a_uid_made_of_its_hash(path: Path) -> None:
    copy = corrected(path, Corrections(has_new_uid=True))
    uid = uid_of_digest(hashlib.sha256(path.read_bytes()).digest())
    assert copy.SOPInstanceUID == copy.file_meta.MediaStorageSOPInstanceUID == uid
    assert before(copy).SOPInstanceUID == INSTANCE


def test_a_value_before_that_broke_the_standard_is_kept_as_its_bytes(path: Path) -> None:
    dataset = pydicom.dcmread(path)
    content = path.read_bytes()
    date = dataset.StudyDate.encode()
    path.write_bytes(content.replace(b"DA\x08\x00" + date, b"DA\x08\x00" + b"04.03.26", 1))
    copy = corrected(path, Corrections({"StudyDate": ("20260304",)}))
    (item,) = copy.OriginalAttributesSequence[0].NonconformingModifiedAttributesSequence
    assert item.NonconformingDataElementValue == b"04.03.26"
    assert "StudyDate" not in before(copy)


@pytest.mark.parametrize(
    ("corrections", "said"),
    [
        (Corrections({"NoSuchThing": ("x",)}), "no keyword"),
        (Corrections({"PixelData": ("x",)}), "not edited"),
        (Corrections({"Rows": ("5",)}), "not edited"),
        (Corrections({"TransferSyntaxUID": ("1.2",)}), "not edited"),
        (Corrections({"SpecificCharacterSet": ("GBK",)}), "not edited"),
        (Corrections({"RescaleSlope": ("2",)}), "not edited"),
        (Corrections({"OriginalAttributesSequence": ("x",)}), "not edited"),
        (Corrections({"PatientBirthDate": ("14.2.1960",)}), "is a DA"),
        (Corrections({"PatientAge": ("64",)}), "is a AS"),
        (Corrections({"StudyInstanceUID": ("1.2.x",)}), "is a UI"),
        (Corrections({"PatientSex": ("female",)}), "is a CS"),
        (Corrections({"PatientID": ("P" * 65,)}), "is a LO"),
        (Corrections({"PatientID": ("a\\b",)}), "is a LO"),
        (Corrections({"PatientID": ("a\nb",)}), "is a LO"),
        (Corrections({"PatientID": ("a", "b")}), "has 1 values, not 2"),
        (Corrections(character_set="KOI8"), "no character set"),
        (Corrections({"SOPInstanceUID": ("1.2",)}, has_new_uid=True), "choose one"),
    ],
)
def test_what_no_file_could_have_is_refused_by_name(corrections: Corrections, said: str) -> None:
    with pytest.raises(CorrectionError, match=said):
        checked(corrections)


@pytest.mark.datasets
def test_every_file_of_the_corpus_is_corrected_with_its_pixels_or_says_why_not(
    datasets: Path, tmp_path: Path
) -> None:
    n_corrected = n_refused = 0
    for path in sorted((datasets / "dicom_corpus").rglob("*.dcm")):
        digest = hashlib.sha256(path.read_bytes()).digest()
        corrections = Corrections({"PatientID": ("P2",), "PatientName": ("王^芳",)})
        try:
            content = b"".join(corrected_stream(path, corrections, digest=digest, source="x", at=AT))
        except (ImageError, TranscodingError):
            n_refused += 1
            continue
        with quiet():
            dataset = pydicom.dcmread(io.BytesIO(content), force=True)
        if not len(dataset):  # it ends within its pixels, and pydicom gives nothing then
            copy = tmp_path / "copy.dcm"
            copy.write_bytes(content)
            dataset = read_header(copy).dataset
        assert (dataset.PatientID, str(dataset.PatientName)) == ("P2", "王^芳"), path
        with open_object(path) as opened:
            if opened.pixels is not None:
                opened.stream.seek(opened.pixels.offset)
                assert content.endswith(opened.stream.read()), path
        n_corrected += 1
    assert n_corrected > 270
    assert n_corrected + n_refused == 289
