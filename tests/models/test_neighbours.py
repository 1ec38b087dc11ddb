"""Neighbours are slices that lie next to each other in the patient."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.study import Frame, Instance
from models.neighbours import neighbours
from tests.tiny_study import ArrayReader

AXIAL, CORONAL = (0.0, 0.0, 1.0), (0.0, 1.0, 0.0)
ONE = Instance(Path("ct"), "1", None, 1, 99, 8, 8, False, None, ArrayReader([]))


def stack(places_mm: list[float], normal: tuple[float, float, float] = AXIAL) -> list[Frame]:
    return [Frame(ONE, index, place, normal) for index, place in enumerate(places_mm)]


def test_without_geometry_frames_follow_each_other_as_they_are_filed() -> None:
    frames = [Frame(ONE, index) for index in range(3)]
    assert neighbours(frames) == ((0, 1), (0, 2), (1, 2))


def test_one_missing_slice_is_stepped_over_and_two_are_a_gap() -> None:
    assert neighbours(stack([0, 5, 15, 20, 25]))[1:3] == ((0, 2), (1, 3))
    assert neighbours(stack([0, 5, 10, 25, 30, 35]))[2:4] == ((1, 2), (3, 4))


def test_a_head_scanned_finer_below_than_above_stays_whole() -> None:
    places = [0.0, 2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 25.0]
    assert neighbours(stack(places)) == tuple((max(i - 1, 0), min(i + 1, 7)) for i in range(8))


def test_phases_at_one_place_have_neighbours_of_their_own_phase() -> None:
    places = [0.0, 0.0, 5.0, 5.0, 10.0, 10.0]
    assert neighbours(stack(places)) == ((0, 2), (1, 3), (0, 4), (1, 5), (2, 4), (3, 5))


def test_a_slice_sent_twice_does_not_break_the_others() -> None:
    assert neighbours(stack([0.0, 5.0, 5.0, 10.0])) == ((0, 1), (0, 3), (0, 3), (1, 3))


def test_planes_of_another_orientation_are_no_neighbours() -> None:
    frames = [*stack([0.0, 5.0]), *stack([10.0, 15.0], CORONAL), Frame(ONE, 4), Frame(ONE, 5)]
    assert neighbours(frames) == ((0, 1), (0, 1), (2, 3), (2, 3), (4, 5), (4, 5))


def test_of_thin_slices_those_as_far_away_as_in_training_are_taken() -> None:
    frames = stack([index * 1.25 for index in range(12)])
    around = neighbours(frames, neighbour_mm=5.0)
    assert around[6] == (2, 10)
    assert around[1] == (0, 5)  # nearer to the border than 5 mm: the last there is
    assert around[11] == (7, 11)
    assert neighbours(stack([0.0, 10.0, 20.0]), neighbour_mm=5.0)[1] == (0, 2)


def test_a_series_without_frames_has_no_neighbours() -> None:
    assert neighbours([]) == ()


@pytest.mark.parametrize("neighbour_mm", [None, 5.0])
@given(places_mm=st.lists(st.integers(-40, 40).map(float), max_size=40))
def test_neighbours_lie_on_their_own_sides_and_never_across_a_gap(
    neighbour_mm: float | None, places_mm: list[float]
) -> None:
    places = sorted(places_mm)
    around = neighbours(stack(places), neighbour_mm=neighbour_mm)
    assert len(around) == len(places)
    gaps = np.diff(np.unique(places))
    for index, (before, after) in enumerate(around):
        assert places[before] <= places[index] <= places[after]
        if neighbour_mm is None and gaps.size:
            assert places[after] - places[index] <= 3.0 * np.median(gaps)
