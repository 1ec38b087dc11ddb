"""What a person sees and the numbers behind it, from small objects whose pixels can be checked by eye."""

import pickle  # noqa: TID251  a reader crosses to the scoring processes
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from data.dicom.reading import DicomReader
from data.errors import ImageError
from data.study import QuantityUnit

MakeDicom = Callable[..., Path]
RAMP = np.array([[0, 100, 200, 255]], np.uint8)
CT = {"Modality": "CT", "RescaleSlope": "1", "RescaleIntercept": "-1024", "RescaleType": "HU"}


def shown(path: Path, index: int = 0, view: int = 0) -> object:
    return DicomReader(path, view).displayed(index).tolist()


def test_eight_bits_without_a_window_are_shown_as_they_are(make_dicom: MakeDicom) -> None:
    assert shown(make_dicom(RAMP)) == RAMP.tolist()


def test_monochrome1_is_shown_with_white_bones(make_dicom: MakeDicom) -> None:
    assert shown(make_dicom(RAMP, PhotometricInterpretation="MONOCHROME1")) == [[255, 155, 55, 0]]


def test_an_inverse_presentation_is_inverted_once(make_dicom: MakeDicom) -> None:
    assert shown(make_dicom(RAMP, PresentationLUTShape="INVERSE")) == [[255, 155, 55, 0]]
    both = make_dicom(RAMP, PresentationLUTShape="INVERSE", PhotometricInterpretation="MONOCHROME1")
    assert shown(both) == [[255, 155, 55, 0]]


def test_hounsfield_units_come_from_the_rescale(make_dicom: MakeDicom) -> None:
    path = make_dicom(np.array([[0, 1024, 1064, 3000]], np.uint16), **CT)
    reader = DicomReader(path)
    assert reader.quantities(0).tolist() == [[-1024, 0, 40, 1976]]
    assert reader.quantities(0).dtype == np.float32
    assert reader.picture().unit is QuantityUnit.HOUNSFIELD


def test_other_greys_have_quantities_without_a_unit(make_dicom: MakeDicom) -> None:
    path = make_dicom(np.array([[1, 2]], np.uint16), Modality="MR")
    assert DicomReader(path).picture().unit is QuantityUnit.UNSPECIFIED


def test_colour_has_no_quantities(make_dicom: MakeDicom) -> None:
    path = make_dicom(np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(ValueError, match="no quantities"):
        DicomReader(path).quantities(0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(slope=st.floats(0.001, 100), intercept=st.floats(-5000, 5000))
def test_the_rescale_is_a_line(make_dicom: MakeDicom, slope: float, intercept: float) -> None:
    stored = np.array([[-1000, 0, 7, 30000]], np.int16)
    texts = f"{slope:.8g}", f"{intercept:.8g}"
    path = make_dicom(stored, RescaleSlope=texts[0], RescaleIntercept=texts[1], Modality="CT")
    expected = stored * float(texts[0]) + float(texts[1])
    assert DicomReader(path).quantities(0) == pytest.approx(expected, rel=1e-6, abs=1e-3)


def test_the_first_window_is_shown_and_any_other_can_be_chosen(make_dicom: MakeDicom) -> None:
    path = make_dicom(
        np.array([[1024, 1064, 1104, 2024]], np.uint16), WindowCenter=[40, 500], WindowWidth=[81, 1001], **CT
    )
    # Window 1 runs from -0.5 to 79.5 HU, window 2 from -0.5 to 999.5.
    assert shown(path) == [[2, 129, 255, 255]]
    assert shown(path, view=1) == [[0, 10, 21, 255]]
    assert shown(path, view=9) == shown(path, view=1)


@pytest.mark.parametrize(
    ("function", "grey"), [("LINEAR_EXACT", [0, 64, 128, 255]), ("SIGMOID", [30, 69, 128, 225])]
)
def test_the_function_of_the_window_is_followed(
    make_dicom: MakeDicom, function: str, grey: list[int]
) -> None:
    path = make_dicom(
        np.array([[0, 250, 500, 1000]], np.uint16),
        WindowCenter=500,
        WindowWidth=1000,
        VOILUTFunction=function,
    )
    assert shown(path) == [grey]


def test_an_invalid_window_is_passed_over(make_dicom: MakeDicom) -> None:
    assert shown(make_dicom(RAMP, WindowCenter=40, WindowWidth=0)) == RAMP.tolist()


def lut_item(first: int, entries: list[int], bits: int) -> Dataset:
    item = Dataset()
    item.add_new(0x00283002, "US", [len(entries), first, bits])
    item.add_new(0x00283006, "OW", np.array(entries, "<u2").tobytes())
    return item


def test_a_voi_table_is_looked_up_and_comes_before_the_windows(make_dicom: MakeDicom) -> None:
    path = make_dicom(
        np.array([[9, 10, 11, 12, 13]], np.uint8),
        VOILUTSequence=[lut_item(10, [0, 1023, 4095], bits=12)],
        WindowCenter=11,
        WindowWidth=3,
    )
    assert shown(path) == [[0, 0, 64, 255, 255]]
    assert shown(path, view=1) == [[0, 64, 191, 255, 255]]


def test_a_modality_table_gives_the_quantities(make_dicom: MakeDicom) -> None:
    path = make_dicom(
        np.array([[0, 1, 2, 9]], np.uint8), ModalityLUTSequence=[lut_item(1, [100, 7, 50], bits=16)]
    )
    assert DicomReader(path).quantities(0).tolist() == [[100, 100, 7, 50]]


def test_padding_is_black_and_not_counted(make_dicom: MakeDicom) -> None:
    pixels = np.full((10, 10), -2000, np.int16)
    pixels[2:8, 2:8] = np.arange(36).reshape(6, 6)
    path = make_dicom(pixels, PixelPaddingValue=-2000, PhotometricInterpretation="MONOCHROME1")
    picture = DicomReader(path).displayed(0)
    assert picture[0, 0] == 0
    assert picture[2, 2] == 255
    assert picture[7, 7] == 0


def test_a_range_of_padding_reaches_to_its_limit(make_dicom: MakeDicom) -> None:
    path = make_dicom(
        np.array([[10, 20, 30, 200]], np.uint8), PixelPaddingValue=10, PixelPaddingRangeLimit=30
    )
    assert shown(path) == [[0, 0, 0, 200]]


def palette_elements(entries: list[int], bits: int) -> dict[str, object]:
    data = np.array(entries, "<u2").tobytes()
    elements: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        elements[f"{colour}PaletteColorLookupTableDescriptor"] = [len(entries), 0, bits]
        elements[f"{colour}PaletteColorLookupTableData"] = data
    return elements


def test_a_palette_gives_its_colours(make_dicom: MakeDicom) -> None:
    elements = palette_elements([0, 0x8000, 0xFFFF], 16)
    elements["BluePaletteColorLookupTableData"] = np.array([0xFFFF, 0, 0], "<u2").tobytes()
    path = make_dicom(np.array([[0, 1, 2]], np.uint8), **elements)
    assert shown(path) == [[[0, 0, 255], [128, 128, 0], [255, 255, 0]]]
    assert DicomReader(path).picture().is_colour


def test_a_palette_that_is_missing_is_corrupt(make_dicom: MakeDicom) -> None:
    path = make_dicom(RAMP, PhotometricInterpretation="PALETTE COLOR")
    with pytest.raises(ImageError, match="broken lookup table"):
        DicomReader(path).displayed(0)


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535), (np.uint32, 2**32 - 1)])
def test_deep_colour_is_shown_in_eight_bits(make_dicom: MakeDicom, dtype: type, white: int) -> None:
    path = make_dicom(np.array([[[0, white // 2, white]]], dtype))
    assert DicomReader(path).displayed(0)[0, 0] == pytest.approx([0, 127.5, 255], abs=0.5)


def test_uncompressed_422_and_full_ybr_are_shown_in_rgb(make_dicom: MakeDicom) -> None:
    full = np.array([[[76, 85, 255], [76, 85, 255]]], np.uint8)
    assert shown(make_dicom(full, PhotometricInterpretation="YBR_FULL")) == [[[254, 0, 0], [254, 0, 0]]]
    halved = make_dicom(full, PhotometricInterpretation="YBR_FULL_422", PixelData=bytes([76, 76, 85, 255]))
    assert shown(halved) == [[[254, 0, 0], [254, 0, 0]]]


def test_frames_of_single_bits_follow_each_other_without_gaps(make_dicom: MakeDicom) -> None:
    # Three frames of five pixels: 11000, 00110, 01001 from the lowest bit of the first byte.
    bits = np.array([1, 1, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 0, 0, 1, 0], np.uint8)
    path = make_dicom(
        raw=np.packbits(bits, bitorder="little").tobytes(),
        Rows=1,
        Columns=5,
        NumberOfFrames=3,
        BitsAllocated=1,
        BitsStored=1,
        HighBit=0,
        PixelRepresentation=0,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
    )
    assert [DicomReader(path).stored(index).tolist() for index in range(3)] == [
        [[1, 1, 0, 0, 0]],
        [[0, 0, 1, 1, 0]],
        [[0, 1, 0, 0, 1]],
    ]
    assert shown(path, index=2) == [[0, 255, 0, 0, 255]]


def enhanced_groups(intercepts: list[str], centres: list[str]) -> dict[str, object]:
    frames = []
    for intercept, centre in zip(intercepts, centres, strict=True):
        rescale, window, group = Dataset(), Dataset(), Dataset()
        rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = "2", intercept, "HU"
        window.WindowCenter, window.WindowWidth, window.VOILUTFunction = centre, "100", "LINEAR_EXACT"
        group.PixelValueTransformationSequence, group.FrameVOILUTSequence = [rescale], [window]
        frames.append(group)
    return {"PerFrameFunctionalGroupsSequence": frames, "Modality": "CT"}


def test_each_frame_of_an_enhanced_object_has_its_own_rescale_and_window(make_dicom: MakeDicom) -> None:
    pixels = np.array([[[0, 25]], [[0, 25]]], np.uint16)
    path = make_dicom(pixels, **enhanced_groups(["0", "-100"], ["50", "-50"]))
    reader = DicomReader(path)
    assert reader.quantities(0).tolist() == [[0, 50]]
    assert reader.quantities(1).tolist() == [[-100, -50]]
    assert shown(path, 0) == shown(path, 1) == [[0, 128]]
    assert reader.picture().unit is QuantityUnit.HOUNSFIELD


def test_shared_groups_hold_for_every_frame(make_dicom: MakeDicom) -> None:
    shared = enhanced_groups(["7"], ["50"])["PerFrameFunctionalGroupsSequence"]
    path = make_dicom(np.array([[[1]], [[2]]], np.uint16), SharedFunctionalGroupsSequence=shared)
    assert [DicomReader(path).quantities(index).tolist() for index in range(2)] == [[[9]], [[11]]]


def test_big_endian_bytes_in_words_are_swapped_back(make_dicom: MakeDicom) -> None:
    pixels = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.uint8)
    swapped = bytes([2, 1, 4, 3, 6, 5, 8, 7, 0, 9])
    path = make_dicom(pixels, PixelData=swapped, syntax="1.2.840.10008.1.2.2")
    plain = path.read_bytes().replace(b"\x7f\xe0\x00\x10OB", b"\x7f\xe0\x00\x10OW")
    path.write_bytes(plain)
    assert DicomReader(path).stored(0).tolist() == pixels.tolist()


@pytest.mark.parametrize(
    "syntax",
    ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"],
)
def test_native_syntaxes_give_one_picture(make_dicom: MakeDicom, syntax: str) -> None:
    pixels = np.array([[1, 258], [3, 65535]], np.uint16)
    assert DicomReader(make_dicom(pixels, syntax=syntax)).stored(0).tolist() == pixels.tolist()


def test_floats_are_shown_between_their_ends(make_dicom: MakeDicom) -> None:
    values = np.linspace(-1, 1, 100, dtype=np.float32).reshape(10, 10)
    path = make_dicom(np.zeros((10, 10), np.uint32), PixelData=None, FloatPixelData=values.tobytes())
    reader = DicomReader(path)
    assert np.array_equal(reader.quantities(0), values)
    picture = reader.displayed(0)
    assert (picture[0, 0], picture[-1, -1]) == (0, 255)


def test_a_frame_that_is_not_there_is_an_index_error(make_dicom: MakeDicom) -> None:
    reader = DicomReader(make_dicom(RAMP))
    for index in (-1, 1):
        with pytest.raises(IndexError, match="1 frames"):
            reader.displayed(index)


def test_a_reader_crosses_to_another_process_in_few_bytes(make_dicom: MakeDicom) -> None:
    reader = DicomReader(make_dicom(RAMP))
    reader.displayed(0)
    packed = pickle.dumps(reader)
    assert len(packed) < 500
    assert pickle.loads(packed).displayed(0).tolist() == RAMP.tolist()


def test_a_file_that_was_replaced_is_read_anew(make_dicom: MakeDicom) -> None:
    reader = DicomReader(make_dicom(RAMP))
    reader.displayed(0)
    make_dicom(np.array([[9, 8, 7, 6, 5, 4, 3, 2]], np.uint8))
    assert reader.displayed(0).tolist() == [[9, 8, 7, 6, 5, 4, 3, 2]]
