"""Contours lie where the evidence was, and key frames are different places."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.card import Colour, InputSpec, Resize
from models.evidence import contour, key_frames, normalise_map, polygon_area


def spec_of(resize: Resize, *, crop: float = 1.0) -> InputSpec:
    return InputSpec(height=64, width=64, colour=Colour.RGB, resize=resize, crop=crop)


def blob(row: float, column: float, *, cells: int = 16) -> np.ndarray:
    y, x = np.mgrid[0:cells, 0:cells]
    return np.asarray(np.exp(-((y - row) ** 2 + (x - column) ** 2) / 4.0), np.float32)


def centre_of(polygon: np.ndarray) -> np.ndarray:
    return np.asarray((polygon.min(axis=0) + polygon.max(axis=0)) / 2)


def test_a_map_that_speaks_against_the_class_is_empty() -> None:
    assert not normalise_map(np.full((4, 4), -1.0, np.float32)).any()
    assert not normalise_map(np.full((4, 4), np.nan, np.float32)).any()
    assert contour(np.zeros((4, 4), np.float32), (100, 100), spec_of(Resize.SQUASH)) == []


def test_maps_that_share_their_highest_value_can_be_compared() -> None:
    weak = normalise_map(np.full((2, 2), 1.0, np.float32), highest=4.0)
    assert weak.tolist() == [[0.25, 0.25], [0.25, 0.25]]


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0])
def test_a_level_outside_of_the_map_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match="level"):
        contour(np.ones((4, 4), np.float32), (10, 10), spec_of(Resize.SQUASH), level=level)


def test_a_map_that_is_not_one_classs_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(h, w\)"):
        normalise_map(np.ones((4, 4, 2), np.float32))


def test_evidence_everywhere_is_a_line_around_the_picture() -> None:
    (polygon,) = contour(np.ones((7, 7), np.float32), (300, 200, 3), spec_of(Resize.SQUASH))
    assert polygon_area(polygon) == pytest.approx(300 * 200, rel=1e-3)


def test_a_cropped_picture_is_outlined_where_the_network_looked() -> None:
    # 300 wide, 200 high: the middle 200 x 200 was seen, so the blob in its middle is at (150, 100)
    (polygon,) = contour(blob(7.5, 7.5), (200, 300), spec_of(Resize.CENTRE_CROP))
    np.testing.assert_allclose(centre_of(polygon), [150, 100], atol=1.0)


def test_a_crop_makes_the_contour_smaller() -> None:
    (whole,) = contour(blob(7.5, 7.5), (200, 200), spec_of(Resize.SQUASH))
    (half,) = contour(blob(7.5, 7.5), (200, 200), spec_of(Resize.SQUASH, crop=0.5))
    assert polygon_area(half) == pytest.approx(polygon_area(whole) / 4, rel=1e-6)


def test_squashing_is_undone() -> None:
    (polygon,) = contour(blob(3.5, 11.5), (100, 400), spec_of(Resize.SQUASH))
    np.testing.assert_allclose(centre_of(polygon), [300, 25], atol=1.5)


def test_padding_is_undone() -> None:
    # 400 wide, 100 high: rows 24 to 40 of 64 were filled; the middle is the middle
    (polygon,) = contour(blob(7.5, 3.5), (100, 400), spec_of(Resize.PAD))
    assert centre_of(polygon)[0] == pytest.approx(100, abs=2)
    assert polygon[:, 1].min() >= 0
    assert polygon[:, 1].max() <= 100


def test_evidence_on_the_black_border_is_not_shown() -> None:
    assert contour(blob(1.0, 7.5), (100, 400), spec_of(Resize.PAD)) == []


def test_two_places_are_two_polygons_the_larger_first() -> None:
    two = np.maximum(blob(3, 3), blob(11, 11))
    two[10:13, 9:14] = 1.0
    polygons = contour(two, (64, 64), spec_of(Resize.SQUASH))
    assert len(polygons) == 2
    assert polygon_area(polygons[0]) > polygon_area(polygons[1])
    assert centre_of(polygons[0])[0] > 32


@given(
    place=st.tuples(st.floats(0, 15), st.floats(0, 15)),
    shape=st.tuples(st.integers(20, 400), st.integers(20, 400)),
    spec=st.builds(spec_of, st.sampled_from(list(Resize)), crop=st.floats(0.3, 1.0)),
    level=st.floats(0.1, 0.9),
)
@settings(max_examples=60, deadline=None)
def test_every_contour_is_closed_and_within_the_picture(
    place: tuple[float, float], shape: tuple[int, int], spec: InputSpec, level: float
) -> None:
    rows, columns = shape
    polygons = contour(blob(*place), shape, spec, level=level)
    for polygon in polygons:
        assert np.array_equal(polygon[0], polygon[-1])
        assert polygon.min() >= 0
        assert polygon[:, 0].max() <= columns + 1e-9
        assert polygon[:, 1].max() <= rows + 1e-9


def test_a_lower_level_draws_a_larger_contour() -> None:
    areas = [
        polygon_area(contour(blob(7, 7), (64, 64), spec_of(Resize.SQUASH), level=level)[0])
        for level in (0.8, 0.5, 0.2)
    ]
    assert areas == sorted(areas)


def test_three_key_frames_are_three_places() -> None:
    evidence = np.zeros(60)
    evidence[10:15] = [0.7, 0.8, 0.9, 0.8, 0.7]
    evidence[30:32] = [0.4, 0.5]
    evidence[50] = 0.2
    positions = np.arange(60) * 5.0
    assert key_frames(evidence, positions, apart_mm=20.0) == (12, 31, 50)


def test_without_positions_frames_are_counted() -> None:
    assert key_frames(np.array([0.9, 0.8, 0.7, 0.6, 0.5]), None, n=2, apart_frames=3) == (0, 3)


def test_photographs_have_no_neighbours() -> None:
    assert key_frames(np.array([0.9, 0.1, 0.8, 0.7]), None, apart_frames=0) == (0, 2, 3)


def test_equal_frames_are_taken_in_reading_order() -> None:
    assert key_frames(np.full(5, 0.5), None, apart_frames=2) == (0, 2, 4)


def test_what_is_not_a_number_comes_last() -> None:
    assert key_frames(np.array([np.nan, 0.1, 0.2]), None) == (2, 1, 0)


def test_slices_at_one_place_are_all_shown_where_there_are_no_others() -> None:
    assert key_frames(np.array([0.1, 0.3, 0.2]), [7.0, 7.0, 7.0]) == (1, 2, 0)


def test_no_frames_have_no_key_frames() -> None:
    assert key_frames(np.zeros(0), None) == ()


def test_positions_must_fit_the_frames() -> None:
    with pytest.raises(ValueError, match="shapes disagree"):
        key_frames(np.zeros(3), [1.0, 2.0])
    with pytest.raises(ValueError, match="n is 0"):
        key_frames(np.zeros(3), None, n=0)


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=50),
    st.integers(1, 6),
    st.floats(0, 40),
    st.floats(0.1, 10),
)
@settings(deadline=None)
def test_key_frames_are_distinct_begin_with_the_best_and_are_apart_where_there_is_room(
    values: list[float], n: int, apart_mm: float, spacing_mm: float
) -> None:
    evidence, positions = np.array(values), np.arange(len(values)) * spacing_mm
    chosen = key_frames(evidence, positions, n=n, apart_mm=apart_mm)
    assert len(chosen) == len(set(chosen)) == min(n, len(values))
    assert evidence[chosen[0]] == evidence.max()
    gaps = np.diff(np.sort(positions[list(chosen)]))
    # greedy choice can waste at most two distances a frame: with that much room nothing is relaxed
    if positions[-1] >= 2 * n * (apart_mm + spacing_mm):
        assert (gaps >= apart_mm - 1e-9).all()


@given(st.lists(st.floats(0, 1, width=16), min_size=4, max_size=30, unique=True), st.integers(1, 4))
def test_reversing_a_stack_shows_the_same_slices(values: list[float], n: int) -> None:
    evidence, positions = np.array(values), np.arange(len(values)) * 5.0
    forwards = key_frames(evidence, positions, n=n)
    backwards = key_frames(evidence[::-1], positions, n=n)
    assert [len(values) - 1 - index for index in backwards] == list(forwards)
