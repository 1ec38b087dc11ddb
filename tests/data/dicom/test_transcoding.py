"""An object in another transfer syntax has the same values, in memory that does not grow with its frames."""

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRBigEndian, RLELossless

from data.dicom.files import quiet
from data.dicom.reading import DicomReader
from data.dicom.transcoding import (
    CODED,
    NATIVE,
    TARGETS,
    Identity,
    TranscodingError,
    check_possible,
    frame_in,
    object_stream,
)
from data.errors import ImageError
from tests.data.dicom.conftest import MakeDicom

KEPT_AS = Identity("1.2", "1.2.3", "1.2.3.4")


def _given(path: Path, target: str | None, identity: Identity = KEPT_AS) -> bytes:
    return b"".join(object_stream(path, target, identity=identity))


def _grey(dtype: str, *, n_frames: int = 2) -> NDArray[np.generic]:
    low, high = (-2000, 2000) if dtype.startswith("i") else (0, 200)
    return np.random.default_rng(7).integers(low, high, (n_frames, 9, 7)).astype(dtype)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2"])
def test_grey_values_survive_every_way(
    make_dicom: MakeDicom, tmp_path: Path, dtype: str, target: str
) -> None:
    pixels = _grey(dtype)
    path = make_dicom(pixels, PixelRepresentation=int(dtype == "i2"))
    given = tmp_path / "given.dcm"
    given.write_bytes(_given(path, target))
    reader = DicomReader(given)
    assert reader.picture().n_frames == 2
    for index, frame in enumerate(pixels):
        assert np.array_equal(reader.stored(index), frame)
        assert np.array_equal(reader.displayed(index), DicomReader(path).displayed(index))
        data, syntax = frame_in(path, index, target)
        assert syntax == (target if target in CODED else NATIVE[0])
        assert (data == frame.tobytes()) == (target in NATIVE)


@pytest.mark.parametrize("target", TARGETS)
def test_colours_survive_every_way(make_dicom: MakeDicom, tmp_path: Path, target: str) -> None:
    pixels = np.random.default_rng(7).integers(0, 255, (9, 7, 3), np.uint8)
    given = tmp_path / "given.dcm"
    given.write_bytes(_given(make_dicom(pixels), target))
    assert np.array_equal(DicomReader(given).displayed(0), pixels)
    with quiet():
        assert pydicom.dcmread(given).file_meta.TransferSyntaxUID == target


def test_a_lookup_table_of_big_endian_is_turned_with_the_pixels(
    make_dicom: MakeDicom, tmp_path: Path
) -> None:
    table = np.arange(4, dtype=">u2") * 0x1234
    descriptor = [4, 0, 16]
    path = make_dicom(
        np.array([[0, 1], [2, 3]], np.uint8),
        syntax=ExplicitVRBigEndian,
        PhotometricInterpretation="PALETTE COLOR",
        **{f"{name}PaletteColorLookupTableDescriptor": descriptor for name in ("Red", "Green", "Blue")},
        **{f"{name}PaletteColorLookupTableData": table.tobytes() for name in ("Red", "Green", "Blue")},
    )
    given = tmp_path / "given.dcm"
    given.write_bytes(_given(path, NATIVE[0]))
    assert np.array_equal(DicomReader(given).displayed(0), DicomReader(path).displayed(0))


def test_as_it_is_stored_is_byte_for_byte(make_dicom: MakeDicom) -> None:
    path = make_dicom(_grey("u2"))
    assert _given(path, None) == _given(path, NATIVE[0]) == path.read_bytes()


@pytest.mark.parametrize(
    "syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", RLELossless]
)
def test_other_uids_change_nothing_but_the_uids(make_dicom: MakeDicom, syntax: str) -> None:
    if syntax == RLELossless:
        path = make_dicom(_grey("u1", n_frames=1)[0])
        dataset = pydicom.dcmread(path)
        dataset.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
        dataset.save_as(path)
    else:
        path = make_dicom(_grey("u1"), syntax=syntax)
    before = pydicom.dcmread(path)
    after = pydicom.dcmread(io.BytesIO(_given(path, None, Identity("1.9", "1.9.1", "1.9.1.1"))))
    assert (after.StudyInstanceUID, after.SeriesInstanceUID, after.SOPInstanceUID) == (
        "1.9",
        "1.9.1",
        "1.9.1.1",
    )
    assert after.file_meta.MediaStorageSOPInstanceUID == "1.9.1.1"
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(after, keyword, before.get(keyword))
    assert list(after) == list(before)


def test_what_cannot_be_kept_exactly_is_refused_with_its_reason(make_dicom: MakeDicom) -> None:
    pixels = np.zeros((4, 4), np.uint32)
    with pytest.raises(TranscodingError, match="32 bits"):
        check_possible(make_dicom(pixels), CODED[0])
    with pytest.raises(TranscodingError, match="does not write"):
        _given(make_dicom(_grey("u1")), "1.2.840.10008.1.2.4.50")
    with pytest.raises(TranscodingError, match="no pixel data"):
        check_possible(make_dicom(None), CODED[0])


@pytest.mark.datasets
@pytest.mark.timeout(600)
def test_the_corpus_keeps_its_values_in_every_transfer_syntax_or_says_why_not(
    datasets: Path, tmp_path: Path
) -> None:
    given = tmp_path / "given.dcm"
    n_given = 0
    for number, path in enumerate(sorted((datasets / "dicom_corpus").rglob("*.dcm"))):
        target = TARGETS[number % len(TARGETS)]  # each file one way, all ways over the corpus
        try:
            given.write_bytes(_given(path, target, Identity("1.2.3", "1.2.4", "1.2.5")))
            n_frames = DicomReader(path).picture().n_frames
            for index in range(min(n_frames, 2)):
                before, after = DicomReader(path).displayed(index), DicomReader(given).displayed(index)
                assert np.array_equal(before, after), (path, target)
        except (TranscodingError, ImageError):
            continue
        n_given += 1
    assert n_given >= 180
