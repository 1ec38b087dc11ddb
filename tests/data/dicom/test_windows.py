"""Windows: the standard's formulas, and the laws that hold for every one of them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.dicom.windows import VoiWindow, WindowFunction, apply_window, robust_window, window_of_range

CENTRES = st.floats(-2000, 2000)
WIDTHS = st.floats(1, 4000)


@pytest.mark.parametrize(
    ("function", "value", "brightness"),
    [
        # PS3.3 C.11.2.1.2.1, its own example: centre 2048, width 4096.
        (WindowFunction.LINEAR, 0, 0.0),
        (WindowFunction.LINEAR, 4095, 1.0),
        (WindowFunction.LINEAR, 2047.5, 0.5),
        # C.11.2.1.3.2: exact has its middle at the centre.
        (WindowFunction.LINEAR_EXACT, 2048, 0.5),
        (WindowFunction.LINEAR_EXACT, 1024, 0.25),
        (WindowFunction.LINEAR_EXACT, 4096, 1.0),
        # C.11.2.1.3.1: 1 / (1 + exp(-4 (x - c) / w)).
        (WindowFunction.SIGMOID, 2048, 0.5),
        (WindowFunction.SIGMOID, 4096, 1 / (1 + math.exp(-2))),
        (WindowFunction.SIGMOID, 0, 1 / (1 + math.exp(2))),
    ],
)
def test_the_formulas_are_the_standards(function: WindowFunction, value: float, brightness: float) -> None:
    window = VoiWindow(2048, 4096, function)
    assert apply_window(np.array([[value]]), window)[0, 0] == pytest.approx(brightness, abs=1e-6)


def test_a_linear_window_one_wide_is_a_threshold() -> None:
    # PS3.3 C.11.2.1.2.1: centre 100, width 1: x <= 99.5 is black, x > 99.5 is white.
    values = np.array([[99.0, 99.5, 100.0]])
    assert apply_window(values, VoiWindow(100, 1)).tolist() == [[0.0, 0.0, 1.0]]


@given(
    st.lists(st.floats(-5000, 5000), min_size=2, max_size=20),
    CENTRES,
    WIDTHS,
    st.sampled_from(list(WindowFunction)),
)
def test_a_window_never_darkens_a_brighter_value(
    values: list[float], centre: float, width: float, function: WindowFunction
) -> None:
    shown = apply_window(np.sort(np.array([values])), VoiWindow(centre, width, function))
    assert (np.diff(shown[0]) >= 0).all()
    assert shown.min() >= 0
    assert shown.max() <= 1


def test_a_sigmoid_stands_far_values() -> None:
    shown = apply_window(np.array([[-1e9, 1e9]]), VoiWindow(0, 1, WindowFunction.SIGMOID))
    assert shown.round(6).tolist() == [[0.0, 1.0]]


def test_a_window_leaves_its_input_alone() -> None:
    values = np.array([[1.0, 2.0]], np.float32)
    apply_window(values, VoiWindow(0, 1, WindowFunction.LINEAR_EXACT))
    assert values.tolist() == [[1.0, 2.0]]


def test_a_robust_window_leaves_out_single_hot_pixels() -> None:
    values = np.tile(np.arange(1000.0), (10, 1))
    values[0, 0] = 1e9
    window = robust_window(values)
    assert window.centre == pytest.approx(499.5, abs=2)
    assert window.width == pytest.approx(990, abs=3)


def test_a_robust_window_does_not_count_padding() -> None:
    values = np.concatenate([np.full((1, 500), -2000.0), np.linspace(0, 100, 500)[None]], axis=0)
    window = robust_window(values, values > -2000)
    assert window.centre == pytest.approx(50, abs=1)


def test_a_sparse_mask_is_shown_from_its_lowest_to_its_highest() -> None:
    values = np.zeros((100, 100))
    values[5, 5] = 7.0
    shown = apply_window(values, robust_window(values))
    assert shown[5, 5] == 1.0
    assert shown.sum() == 1.0


def test_a_picture_of_one_value_is_mid_grey() -> None:
    values = np.full((4, 4), 300.0)
    assert (apply_window(values, robust_window(values)) == 0.5).all()


def test_values_that_are_no_numbers_do_not_spoil_a_window() -> None:
    values = np.array([[np.nan, np.inf, 0.0, 10.0]])
    window = robust_window(values)
    assert window.centre == pytest.approx(5, abs=0.1)
    assert window.width == pytest.approx(10, abs=0.2)


@given(st.floats(-1e4, 1e4), st.floats(1, 1e6))
def test_a_window_of_a_range_shows_its_ends_black_and_white(low: float, span: float) -> None:
    shown = apply_window(np.array([[low, low + span]]), window_of_range(low, low + span))
    assert shown[0].tolist() == pytest.approx([0, 1], abs=1e-2)


@pytest.mark.parametrize(("width", "is_valid"), [(0, False), (0.5, False), (1, True), (-3, False)])
def test_a_linear_width_below_one_is_not_valid(width: float, is_valid: bool) -> None:
    assert VoiWindow(0, width).is_valid is is_valid
