"""From a frame's bytes to stored values, by hand-made frames whose numbers can be checked by eye."""

import numpy as np
import pytest

from data.dicom.colour import to_eight_bits, to_rgb
from data.dicom.luts import LutError, expand_segments
from data.dicom.pixels import PixelForm, Sample, native_values


def form(**changes: object) -> PixelForm:
    layout: dict[str, object] = {
        "rows": 1,
        "columns": 2,
        "samples": 1,
        "bits_allocated": 16,
        "bits_stored": 16,
        "high_bit": 15,
        "is_signed": False,
        "photometric": "MONOCHROME2",
        "is_planar": False,
    }
    return PixelForm(**{**layout, **changes})  # type: ignore[arg-type]  # a test's shorthand


def test_words_follow_the_byte_order() -> None:
    data = bytes([0x01, 0x02, 0x03, 0x04])
    assert native_values(data, form(), is_little_endian=True).tolist() == [[0x0201, 0x0403]]
    assert native_values(data, form(), is_little_endian=False).tolist() == [[0x0102, 0x0304]]


def test_twelve_stored_bits_have_the_sign_of_the_twelfth() -> None:
    data = np.array([0x0FFF, 0x07FF], "<u2").tobytes()
    layout = form(bits_stored=12, high_bit=11, is_signed=True)
    assert native_values(data, layout, is_little_endian=True).tolist() == [[-1, 2047]]


def test_overlay_bits_above_the_stored_ones_are_cleared() -> None:
    data = np.array([0x8FFF, 0xF001], "<u2").tobytes()
    layout = form(bits_stored=12, high_bit=11)
    assert native_values(data, layout, is_little_endian=True).tolist() == [[0x0FFF, 1]]


def test_bits_stored_at_the_top_are_shifted_down() -> None:
    data = np.array([0xFFF7, 0x001A], "<u2").tobytes()
    layout = form(bits_stored=12, high_bit=15)
    assert native_values(data, layout, is_little_endian=True).tolist() == [[0x0FFF, 1]]


def test_single_bits_are_read_from_the_lowest_and_may_begin_within_a_byte() -> None:
    layout = form(columns=3, bits_allocated=1, bits_stored=1, high_bit=0)
    assert native_values(bytes([0b00011101]), layout, is_little_endian=True).tolist() == [[1, 0, 1]]
    second = native_values(bytes([0b00011101]), layout, is_little_endian=True, first_bit=3)
    assert second.tolist() == [[1, 1, 0]]


def test_twelve_allocated_bits_share_a_byte() -> None:
    layout = form(bits_allocated=12, bits_stored=12, high_bit=11)
    data = bytes([0x23, 0x61, 0x45])
    assert native_values(data, layout, is_little_endian=True).tolist() == [[0x123, 0x456]]


@pytest.mark.parametrize(("bits", "sample", "code"), [(32, Sample.FLOAT, "f4"), (64, Sample.DOUBLE, "f8")])
def test_floats_are_floats(bits: int, sample: Sample, code: str) -> None:
    data = np.array([-1.5, 2.25], f"<{code}").tobytes()
    layout = form(bits_allocated=bits, bits_stored=bits, high_bit=bits - 1, sample=sample)
    assert native_values(data, layout, is_little_endian=True).tolist() == [[-1.5, 2.25]]


def test_thirty_two_bits_keep_their_value() -> None:
    data = np.array([-70000, 70000], "<i4").tobytes()
    layout = form(bits_allocated=32, bits_stored=32, high_bit=31, is_signed=True)
    assert native_values(data, layout, is_little_endian=True).tolist() == [[-70000, 70000]]


def test_planes_of_colour_become_pixels() -> None:
    layout = form(samples=3, bits_allocated=8, bits_stored=8, high_bit=7, photometric="RGB", is_planar=True)
    pixels = native_values(bytes([1, 2, 3, 4, 5, 6]), layout, is_little_endian=True)
    assert pixels.tolist() == [[[1, 3, 5], [2, 4, 6]]]


def test_a_pair_of_pixels_shares_its_colour_in_422() -> None:
    layout = form(samples=3, bits_allocated=8, bits_stored=8, high_bit=7, photometric="YBR_FULL_422")
    pixels = native_values(bytes([10, 20, 100, 200]), layout, is_little_endian=True)
    assert pixels.tolist() == [[[10, 100, 200], [20, 100, 200]]]


@pytest.mark.parametrize(
    ("photometric", "samples", "rgb"),
    [
        # ITU-R BT.601: full-range red, green, blue and white.
        ("YBR_FULL", [76, 85, 255], [254, 0, 0]),
        ("YBR_FULL", [150, 44, 21], [0, 255, 1]),
        ("YBR_FULL", [29, 255, 107], [0, 0, 254]),
        ("YBR_FULL", [255, 128, 128], [255, 255, 255]),
        # Studio range: black is 16, white 235.
        ("YBR_PARTIAL_422", [16, 128, 128], [0, 0, 0]),
        ("YBR_PARTIAL_422", [235, 128, 128], [255, 255, 255]),
        ("YBR_PARTIAL_420", [81, 90, 240], [254, 0, 0]),
        # Reversible: G = Y - (U + V) / 4, R = V + G, B = U + G.
        ("YBR_RCT", [100, 128, 128], [100, 100, 100]),
        ("YBR_RCT", [100, 132, 136], [105, 97, 101]),
        ("RGB", [1, 2, 3], [1, 2, 3]),
    ],
)
def test_colour_spaces_become_rgb(photometric: str, samples: list[int], rgb: list[int]) -> None:
    assert to_rgb(np.array([[samples]], np.uint8), photometric)[0, 0].tolist() == rgb


def test_sixteen_bit_colour_keeps_black_and_white() -> None:
    assert to_eight_bits(np.array([0, 65535, 32896], np.uint16), 16).tolist() == [0, 255, 128]


def test_a_segmented_palette_is_expanded() -> None:
    # Two given entries, a ramp of three to 60, then the first segment again (byte offset 0).
    words = np.array([0, 2, 10, 30, 1, 3, 60, 2, 1, 0, 0], np.uint16)
    assert expand_segments(words, 7).tolist() == [10, 30, 40, 50, 60, 10, 30]


@pytest.mark.parametrize("words", [[], [9, 1, 1], [1, 3, 60], [2, 1, 0, 0, 2, 1, 0, 0]])
def test_a_broken_segmented_palette_is_an_error(words: list[int]) -> None:
    with pytest.raises(LutError):
        expand_segments(np.array(words, np.uint16), 16)
