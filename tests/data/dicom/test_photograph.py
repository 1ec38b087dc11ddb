"""A photograph as a DICOM object: the same bytes each time, the stream that was sent within."""

import io
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from data.dicom.photograph import PhotographFacts, photograph_object
from data.dicom.reading import DicomReader
from data.photo import decode_photo
from data.study import Modality, PatientContext, PatientIdentity, Sex

FACTS = PhotographFacts(
    "1.2",
    "1.2.3",
    "1.2.3.4",
    Modality.PHOTOGRAPH,
    datetime(2026, 3, 4, tzinfo=UTC),
    patient=PatientIdentity("HOSPITAL", "P1", "Wang^Fang=王^芳"),
    context=PatientContext(0.5, Sex.FEMALE, "forearm"),
)


def _photo(folder: Path, name: str, **options: str | bytes | bool) -> Path:
    pixels = np.random.default_rng(3).integers(0, 255, (40, 30, 3), np.uint8)
    path = folder / name
    Image.fromarray(pixels).save(path, **options)  # type: ignore[arg-type]  # the formats differ
    return path


def _made(path: Path, facts: PhotographFacts = FACTS) -> pydicom.FileDataset:
    content = photograph_object(path, facts)
    assert content == photograph_object(path, facts)
    (path.parent / "made.dcm").write_bytes(content)
    shown = [DicomReader(path.parent / "made.dcm").displayed(page) for page in range(facts.n_frames)]
    if facts.n_frames == 1:
        assert np.array_equal(shown[0], decode_photo(path))
    return pydicom.dcmread(io.BytesIO(content))


def test_a_baseline_jpeg_is_encapsulated_as_it_is(tmp_path: Path) -> None:
    path = _photo(tmp_path, "a.jpg")
    dataset = _made(path)
    assert path.read_bytes() in dataset.PixelData
    assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.50"
    assert dataset.SOPClassUID == "1.2.840.10008.5.1.4.1.1.77.1.4"
    assert (dataset.LossyImageCompression, dataset.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    assert (dataset.PatientID, dataset.IssuerOfPatientID, dataset.PatientAge) == ("P1", "HOSPITAL", "006M")
    assert dataset.PatientName.ideographic == "王^芳"


def test_a_dermoscopic_picture_is_dermoscopic_photography(tmp_path: Path) -> None:
    dataset = _made(_photo(tmp_path, "a.jpg"), replace(FACTS, modality=Modality.DERMOSCOPY))
    assert dataset.SOPClassUID == "1.2.840.10008.5.1.4.1.1.77.1.7"


@pytest.mark.parametrize(
    ("name", "options", "is_lossy"),
    [
        ("a.png", {}, "00"),
        ("a.webp", {"lossless": True}, "01"),
        ("progressive.jpg", {"progressive": True}, "01"),
        (
            "turned.jpg",
            {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"},
            "01",
        ),
    ],
)
def test_what_dicom_cannot_hold_is_stored_as_upright_pixels(
    tmp_path: Path, name: str, options: dict[str, str | bytes | bool], is_lossy: str
) -> None:
    path = _photo(tmp_path, name, **options)
    dataset = _made(path)
    assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert dataset.LossyImageCompression == is_lossy
    assert np.array_equal(dataset.pixel_array, decode_photo(path))


def test_a_grey_jpeg_is_encapsulated_too(tmp_path: Path) -> None:
    path = tmp_path / "grey.jpg"
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(path)
    dataset = pydicom.dcmread(io.BytesIO(photograph_object(path, FACTS)))
    assert dataset.PhotometricInterpretation == "MONOCHROME2"
    assert path.read_bytes() in dataset.PixelData


def test_pages_become_frames_of_one_size(tmp_path: Path) -> None:
    path = tmp_path / "pages.tif"
    pages = [Image.new("RGB", (8, 6), "red"), Image.new("RGB", (4, 3), "white")]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    dataset = _made(path, replace(FACTS, n_frames=2))
    frames = dataset.pixel_array
    assert frames.shape == (2, 6, 8, 3)
    assert frames[1, :3, :4].min() == 255
    assert frames[1, 3:].max() == 0
    assert dataset.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7.4"
