"""Written objects are valid, honest about what they are, and the same for the same seed."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from data.dicom.reading import DicomReader
from data.dicom.windows import VoiWindow, WindowFunction
from data.dicom.writing import (
    BRAIN_WINDOW,
    Encoding,
    ObjectInfo,
    rescale_of_window,
    write_ct_series,
    write_photograph,
    write_radiograph,
)
from data.study import Modality, QuantityUnit

LABEL = "SYNTHETIC PHANTOM, NOT A PATIENT"
INFO = ObjectInfo(
    seed="test", label=LABEL, patient_id="P1", patient_name="幻影^一", age_years=60, body_part="HEAD"
)
HU = np.random.default_rng(0).integers(-1024, 3071, (3, 16, 12)).astype(np.int16)
RGB = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8)


@pytest.mark.parametrize("encoding", list(Encoding))
def test_hounsfield_units_come_back_whatever_the_encoding(tmp_path: Path, encoding: Encoding) -> None:
    paths = write_ct_series(tmp_path, HU, info=INFO, spacing_mm=(0.5, 0.4), thickness_mm=5, encoding=encoding)
    for path, expected in zip(paths, HU, strict=True):
        assert np.array_equal(DicomReader(path).quantities(0), expected)
        assert DicomReader(path).picture().unit is QuantityUnit.HOUNSFIELD


def test_slices_that_were_windowed_already_get_their_units_back(tmp_path: Path) -> None:
    window = VoiWindow(40, 80, WindowFunction.LINEAR_EXACT)
    grey = np.arange(0, 256, dtype=np.uint8).reshape(1, 16, 16)
    (path,) = write_ct_series(
        tmp_path,
        grey,
        info=INFO,
        spacing_mm=(1, 1),
        thickness_mm=5,
        rescale=rescale_of_window(window),
        windows=(window,),
    )
    reader = DicomReader(path)
    assert reader.quantities(0).min() == pytest.approx(0)
    assert reader.quantities(0).max() == pytest.approx(80)
    assert np.array_equal(reader.displayed(0), grey[0])


def test_the_same_seed_gives_the_same_bytes_and_another_gives_other_uids(tmp_path: Path) -> None:
    def uids(folder: str, seed: str) -> list[bytes]:
        info = ObjectInfo(seed=seed, label=LABEL)
        paths = write_ct_series(tmp_path / folder, HU, info=info, spacing_mm=(1, 1), thickness_mm=1)
        return [path.read_bytes() for path in paths]

    assert uids("a", "one") == uids("b", "one")
    assert not set(uids("a", "one")) & set(uids("c", "two"))


@pytest.mark.parametrize("modality", [Modality.DIGITAL_RADIOGRAPHY, Modality.COMPUTED_RADIOGRAPHY])
@pytest.mark.parametrize("is_inverted", [False, True])
def test_a_radiograph_is_shown_with_white_bones(
    tmp_path: Path, modality: Modality, is_inverted: bool
) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    path = write_radiograph(
        tmp_path / "film.dcm", grey, info=INFO, modality=modality, is_inverted=is_inverted, laterality="L"
    )
    assert np.array_equal(DicomReader(path).displayed(0), 255 - grey if is_inverted else grey)


def test_a_radiograph_of_sixteen_bits_keeps_its_values(tmp_path: Path) -> None:
    grey = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    reader = DicomReader(write_radiograph(tmp_path / "film.dcm", grey, info=INFO))
    assert np.array_equal(reader.stored(0), grey)
    assert reader.displayed(0)[0, 0] == 0
    assert reader.displayed(0)[-1, -1] == 255


@pytest.mark.parametrize("encoding", list(Encoding))
def test_a_photograph_keeps_its_colours(tmp_path: Path, encoding: Encoding) -> None:
    path = write_photograph(tmp_path / "skin.dcm", RGB, info=INFO, encoding=encoding)
    assert np.array_equal(DicomReader(path).displayed(0), RGB)


def test_a_jpeg_is_stored_as_it_is(tmp_path: Path) -> None:
    stream = BytesIO()
    Image.fromarray(RGB).save(stream, "jpeg", quality=95)
    path = write_photograph(tmp_path / "skin.dcm", stream.getvalue(), info=INFO, modality=Modality.PHOTOGRAPH)
    assert stream.getvalue() in path.read_bytes()
    expected = np.asarray(Image.open(stream)).astype(int)
    assert np.abs(DicomReader(path).displayed(0) - expected).max() <= 1


def test_what_is_no_baseline_jpeg_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="baseline JPEG"):
        write_photograph(tmp_path / "skin.dcm", b"\x89PNG\r\n", info=INFO)


@pytest.mark.parametrize(
    ("kind", "sop_class"),
    [
        ("ct", "1.2.840.10008.5.1.4.1.1.2"),
        ("dx", "1.2.840.10008.5.1.4.1.1.1.1"),
        ("dermoscopy", "1.2.840.10008.5.1.4.1.1.77.1.7"),
        ("photograph", "1.2.840.10008.5.1.4.1.1.77.1.4"),
    ],
)
def test_every_object_says_what_it_is_and_can_be_read_by_others(
    tmp_path: Path, kind: str, sop_class: str
) -> None:
    path = tmp_path / "object.dcm"
    match kind:
        case "ct":
            path = write_ct_series(tmp_path, HU[:1], info=INFO, spacing_mm=(1, 1), thickness_mm=1)[0]
        case "dx":
            write_radiograph(path, RGB[..., 0], info=INFO)
        case "dermoscopy":
            write_photograph(path, RGB, info=INFO)
        case _:
            write_photograph(path, RGB, info=INFO, modality=Modality.PHOTOGRAPH)
    dataset = pydicom.dcmread(path)
    assert dataset.SOPClassUID == dataset.file_meta.MediaStorageSOPClassUID == sop_class
    assert dataset.ImageComments == dataset.SeriesDescription == LABEL
    assert dataset.PatientName == "幻影^一"
    assert dataset.PatientAge == "060Y"
    assert dataset.pixel_array.size
    assert all(len(str(dataset[keyword].value)) <= 64 for keyword in ("SOPInstanceUID", "StudyInstanceUID"))


def test_the_brain_window_is_the_first_to_be_seen(tmp_path: Path) -> None:
    (path,) = write_ct_series(tmp_path, HU[:1], info=INFO, spacing_mm=(1, 1), thickness_mm=1)
    assert DicomReader(path).picture().transform(0).windows == (BRAIN_WINDOW,)
