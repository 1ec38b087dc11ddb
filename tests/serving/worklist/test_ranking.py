"""The order of the queue keeps its promises, whatever the model says."""

from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from serving.worklist.ranking import (
    MICROSECONDS_PER_MINUTE,
    allowance_minutes,
    due_at_us,
    leading_class,
    reading_order,
)

CLASS_MINUTES = np.array([15.0, 60.0, 240.0, 1440.0])
N_CLASSES = len(CLASS_MINUTES)
A_YEAR_US = 365 * 24 * 60 * MICROSECONDS_PER_MINUTE

weights = st.lists(st.floats(0.0, 1.0), min_size=N_CLASSES, max_size=N_CLASSES).filter(
    lambda row: sum(row) > 1e-3
)
arrivals_us = st.integers(0, A_YEAR_US)
doctor_times = st.one_of(st.just(float("inf")), st.floats(1.0, 5000.0))
queues = st.lists(st.tuples(weights, arrivals_us, doctor_times), min_size=1, max_size=25)


def distribution(row: list[float]) -> NDArray[np.float64]:
    return np.array([row]) / sum(row)


def due_of(
    queue: list[tuple[list[float], int, float]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Give due times, arrivals and allowed minutes of a queue."""
    probabilities = np.vstack([distribution(row) for row, _, _ in queue])
    received = np.array([arrival for _, arrival, _ in queue], dtype=np.int64)
    doctor = np.array([minutes for _, _, minutes in queue])
    allowance = allowance_minutes(probabilities, CLASS_MINUTES)
    return due_at_us(received, allowance, doctor), received, np.minimum(allowance, doctor)


def test_a_certain_study_is_allowed_its_classes_own_time() -> None:
    assert allowance_minutes(np.eye(N_CLASSES), CLASS_MINUTES) == pytest.approx(CLASS_MINUTES)


def test_an_even_chance_of_15_and_240_minutes_allows_an_hour() -> None:
    allowance = allowance_minutes(np.array([[0.5, 0.0, 0.5, 0.0]]), CLASS_MINUTES)

    assert allowance == pytest.approx([60.0])


@given(weights)
def test_an_allowance_lies_between_the_shortest_and_the_longest_time(row: list[float]) -> None:
    allowance = allowance_minutes(distribution(row), CLASS_MINUTES)

    assert 15.0 <= allowance[0] <= 1440.0


@given(weights, st.integers(0, N_CLASSES - 2), st.floats(0.0, 1.0))
def test_probability_moved_to_a_more_urgent_class_never_makes_a_study_due_later(
    row: list[float], urgent: int, share: float
) -> None:
    before = distribution(row)
    after = before.copy()
    moved = share * before[0, urgent + 1]
    after[0, urgent + 1] -= moved
    after[0, urgent] += moved

    allowances = allowance_minutes(np.vstack([before, after]), CLASS_MINUTES)

    assert allowances[1] <= allowances[0] * (1 + 1e-12)


@given(weights, st.permutations(range(N_CLASSES)))
def test_the_order_of_the_classes_is_of_no_matter(row: list[float], order: list[int]) -> None:
    probabilities = distribution(row)

    shuffled = allowance_minutes(probabilities[:, order], CLASS_MINUTES[order])

    assert shuffled == pytest.approx(allowance_minutes(probabilities, CLASS_MINUTES))


@given(queues)
def test_no_study_waits_for_ever_because_its_due_time_bounds_who_may_pass(
    queue: list[tuple[list[float], int, float]],
) -> None:
    due, received, _ = due_of(queue)
    order = reading_order(due, received, np.arange(len(queue)))
    place = np.argsort(order)

    for study in range(len(queue)):
        too_late = received > due[study]
        assert (place[too_late] > place[study]).all()
        assert due[study] <= received[study] + 1440 * MICROSECONDS_PER_MINUTE


@given(queues)
def test_a_later_study_overtakes_an_earlier_one_only_by_having_less_time_left(
    queue: list[tuple[list[float], int, float]],
) -> None:
    due, received, allowed = due_of(queue)
    order = reading_order(due, received, np.arange(len(queue)))

    for ahead, behind in pairwise(order):
        if received[ahead] > received[behind]:
            assert allowed[ahead] < allowed[behind]
            now = int(received[ahead])
            assert due[ahead] - now < due[behind] - now


@given(queues, st.integers(0, A_YEAR_US))
def test_the_order_never_changes_as_time_passes(
    queue: list[tuple[list[float], int, float]], elapsed_us: int
) -> None:
    due, received, _ = due_of(queue)
    ids = np.arange(len(queue))

    assert (reading_order(due, received, ids) == reading_order(due - elapsed_us, received, ids)).all()


@given(weights, arrivals_us, st.floats(1.0, 5000.0))
def test_a_doctors_priority_always_counts_and_never_delays(
    row: list[float], arrival: int, doctor: float
) -> None:
    allowance = allowance_minutes(distribution(row), CLASS_MINUTES)
    received = np.array([arrival], dtype=np.int64)

    with_doctor = due_at_us(received, allowance, np.array([doctor]))
    without = due_at_us(received, allowance)

    assert with_doctor[0] <= without[0]
    assert with_doctor[0] <= arrival + np.rint(doctor * MICROSECONDS_PER_MINUTE)


@given(weights, arrivals_us)
def test_stat_is_due_within_its_time_however_harmless_the_model_thinks_it(
    row: list[float], arrival: int
) -> None:
    due, _, _ = due_of([(row, arrival, 15.0)])

    assert due[0] == arrival + 15 * MICROSECONDS_PER_MINUTE


@given(queues)
def test_every_study_is_read_exactly_once(queue: list[tuple[list[float], int, float]]) -> None:
    due, received, _ = due_of(queue)

    order = reading_order(due, received, np.arange(len(queue)))

    assert sorted(order) == list(range(len(queue)))


@given(queues, st.randoms())
def test_the_order_does_not_depend_on_the_order_in_which_rows_are_given(
    queue: list[tuple[list[float], int, float]], random: Random
) -> None:
    due, received, _ = due_of(queue)
    ids = np.array([f"study-{row}" for row in range(len(queue))])
    shuffle = np.array(random.sample(range(len(queue)), len(queue)))

    shuffled = reading_order(due[shuffle], received[shuffle], ids[shuffle])

    assert list(ids[shuffle][shuffled]) == list(ids[reading_order(due, received, ids)])


def test_equal_due_times_are_read_by_arrival_then_by_id() -> None:
    due = np.array([100, 100, 100, 50])
    received = np.array([10, 5, 5, 40])

    assert list(reading_order(due, received, np.array(["a", "c", "b", "d"]))) == [3, 2, 1, 0]


def test_due_times_are_exact_microseconds_in_this_century() -> None:
    received = np.array([4_102_444_800_000_001], dtype=np.int64)

    due = due_at_us(received, np.array([15.0]))

    assert due.dtype == np.int64
    assert due[0] == 4_102_444_800_000_001 + 900_000_000


def test_the_leading_class_is_the_one_that_shortens_the_allowance_most() -> None:
    # ln(1440 / 15) = 4.56 for the first class, ln(1440 / 60) = 3.18 for the second.
    probabilities = np.array([[0.3, 0.4, 0.0, 0.3], [0.2, 0.4, 0.0, 0.4]])

    assert list(leading_class(probabilities, CLASS_MINUTES)) == [0, 1]


def test_a_study_that_nothing_shortens_is_led_by_its_most_probable_class() -> None:
    two_harmless = np.array([60.0, 1440.0, 1440.0])

    assert list(leading_class(np.array([[0.05, 0.2, 0.75]]), two_harmless)) == [2]


@given(weights)
def test_without_its_leading_class_a_study_is_due_later_than_without_any_other(row: list[float]) -> None:
    probabilities = distribution(row)
    lead = int(leading_class(probabilities, CLASS_MINUTES)[0])
    assume(allowance_minutes(probabilities, CLASS_MINUTES)[0] < 0.74 * 1440.0)

    without = []
    for cleared in range(N_CLASSES):
        rest = probabilities.copy()
        rest[0, -1] += rest[0, cleared] if cleared != N_CLASSES - 1 else 0.0
        rest[0, cleared] = 0.0 if cleared != N_CLASSES - 1 else rest[0, cleared]
        without.append(allowance_minutes(rest, CLASS_MINUTES)[0])

    assert without[lead] == pytest.approx(max(without))


@pytest.mark.parametrize(
    ("probabilities", "minutes", "message"),
    [
        (np.array([[0.5, 0.4]]), np.array([15.0, 60.0]), "sum to 1"),
        (np.array([[1.5, -0.5]]), np.array([15.0, 60.0]), "non-negative"),
        (np.array([[np.nan, 1.0]]), np.array([15.0, 60.0]), "sum to 1"),
        (np.array([[0.5, 0.5]]), np.array([15.0, 60.0, 1.0]), "shapes disagree"),
        (np.array([[0.5, 0.5]]), np.array([0.0, 60.0]), "positive and finite"),
        (np.array([[0.5, 0.5]]), np.array([np.inf, 60.0]), "positive and finite"),
    ],
)
def test_scores_that_are_no_distribution_are_refused(
    probabilities: NDArray[np.float64], minutes: NDArray[np.float64], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        allowance_minutes(probabilities, minutes)


@pytest.mark.parametrize(
    ("allowance", "doctor", "message"),
    [
        ([np.nan], None, "positive and finite"),
        ([0.0], None, "positive and finite"),
        ([5.0, 6.0], None, "shapes disagree"),
        ([5.0], [0.0], "must be positive"),
        ([5.0], [np.nan], "must be positive"),
        ([5.0], [1.0, 2.0], "shapes disagree"),
    ],
)
def test_a_due_time_is_never_made_of_a_senseless_allowance(
    allowance: list[float], doctor: list[float] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        due_at_us(
            np.array([0], dtype=np.int64), np.array(allowance), None if doctor is None else np.array(doctor)
        )


def test_nothing_is_written_into_an_argument() -> None:
    probabilities = np.array([[0.25, 0.25, 0.25, 0.25]])
    for array in (probabilities, CLASS_MINUTES):
        array.flags.writeable = False

    allowance = allowance_minutes(probabilities, CLASS_MINUTES)
    allowance.flags.writeable = False

    assert due_at_us(np.array([0]), allowance, np.array([np.inf]))[0] > 0
