"""The simulated reading room agrees with theory, and with the figures that the order was chosen by."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from numpy.typing import NDArray

from serving.worklist.policy import read_policy
from serving.worklist.queueing import QueuePolicy, Setting, mean_waits
from serving.worklist.simulator import (
    SimulatedRun,
    SimulatedWaits,
    count_runs,
    read_in_order,
    read_interrupting,
    simulate,
    summarise,
)

CLASSES = ("flagged", "unflagged", "diseased", "healthy", "missed")
# A single reader at load .9 forgets so slowly that a mean within 5 per cent takes a million studies.
SETTINGS = [
    (2, 0.8, 600_000),
    (4, 0.8, 600_000),
    (1, 0.5, 200_000),
    (1, 0.9, 1_000_000),
]

minutes = st.floats(0.0, 20.0)
rooms = st.integers(1, 30).flatmap(
    lambda n_studies: st.tuples(
        st.lists(minutes, min_size=n_studies, max_size=n_studies),
        st.lists(minutes, min_size=n_studies, max_size=n_studies),
        st.permutations(range(n_studies)),
        st.integers(1, 4),
    )
)
Room = tuple[list[float], list[float], list[int], int]


@cache
def runs_of(setting: Setting, policy: QueuePolicy, n_studies: int, seed: int = 0) -> tuple[SimulatedRun, ...]:
    return tuple(simulate(setting, policy, read_policy(), n_studies=n_studies, seed=seed))


def waits_of(setting: Setting, policy: QueuePolicy, n_studies: int, seed: int = 0) -> SimulatedWaits:
    return summarise(runs_of(setting, policy, n_studies, seed))


def arrays_of(room: Room) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    gaps, readings, order, _ = room
    return np.cumsum(gaps), np.array(readings), np.array(order, dtype=np.intp)


def read_by_searching(room: Room) -> NDArray[np.float64]:
    """Read without heaps: at each moment a reader becomes free, look through all who wait."""
    arrived, reading, order = arrays_of(room)
    place = np.argsort(order)
    free_at = [0.0] * room[3]
    begins = np.full(len(arrived), np.nan)
    while (unread := np.flatnonzero(np.isnan(begins))).size:
        now = max(min(free_at), arrived[unread].min())
        here = unread[arrived[unread] <= now]
        study = here[np.argmin(place[here])]
        begins[study] = now
        free_at[free_at.index(min(free_at))] = now + reading[study]
    waited: NDArray[np.float64] = begins - arrived
    return waited


@pytest.mark.parametrize(("readers", "load", "n_studies"), SETTINGS)
@pytest.mark.parametrize(
    "policy", [QueuePolicy.FIFO, QueuePolicy.FLAG_FIRST, QueuePolicy.FLAG_FIRST_PREEMPTIVE]
)
def test_simulated_means_lie_within_5_per_cent_of_theory(
    readers: int, load: float, n_studies: int, policy: QueuePolicy
) -> None:
    setting = Setting(readers, load, 10.0, 0.1, 0.9, 0.9)
    theory = mean_waits(setting, policy)

    waits = waits_of(setting, policy, n_studies)

    for name in CLASSES:
        # A hundredth of a minute: four readers let the flagged wait .0088, a mean of a few waits.
        assert getattr(waits, name) == pytest.approx(getattr(theory, name), rel=0.05, abs=0.01), name


@pytest.mark.parametrize("policy", list(QueuePolicy))
def test_no_order_changes_the_mean_over_all_studies(policy: QueuePolicy) -> None:
    setting = Setting(2, 0.8, 10.0, 0.1, 0.9, 0.9, auc=0.95)

    waited, fifo_waited = (
        np.concatenate([run.waited_minutes for run in runs_of(setting, order, 200_000)])
        for order in (policy, QueuePolicy.FIFO)
    )

    assert waited.mean() == pytest.approx(fifo_waited.mean(), rel=0.02)


@pytest.mark.parametrize("policy", [QueuePolicy.FLAG_FIRST, QueuePolicy.DUE_AT, QueuePolicy.PROBABILITY])
def test_a_flag_that_knows_nothing_changes_nothing(policy: QueuePolicy) -> None:
    blind = Setting(2, 0.8, 10.0, 0.3, sensitivity=0.4, specificity=0.6)

    waits = waits_of(blind, policy, 200_000)

    assert waits.diseased == pytest.approx(waits.healthy, rel=0.05)


# Diseased, missed, healthy, longest, in minutes: two readers, 10-minute reads, prevalence .1, AUC .95, flag
# at sensitivity .9, 15 minutes for critical and 24 hours for routine. The figures the order was chosen by.
@pytest.mark.parametrize(
    ("policy", "diseased", "missed", "healthy", "longest"),
    [
        (QueuePolicy.FIFO, 17.6, 16.6, 17.6, 207),
        (QueuePolicy.FLAG_FIRST, 6.0, 20.4, 18.9, 245),
        (QueuePolicy.PROBABILITY, 4.3, 7.7, 19.2, 1467),
        (QueuePolicy.DUE_AT, 4.5, 9.5, 19.0, 333),
    ],
)
def test_the_waits_that_the_order_was_chosen_by_come_out_again(
    policy: QueuePolicy, diseased: float, missed: float, healthy: float, longest: float
) -> None:
    waits = waits_of(Setting(2, 0.8, 10.0, 0.1, 0.9, 0.9, auc=0.95), policy, 300_000)

    assert waits.diseased == pytest.approx(diseased, rel=0.06)
    assert waits.missed == pytest.approx(missed, rel=0.12)
    assert waits.healthy == pytest.approx(healthy, rel=0.06)
    assert waits.longest == pytest.approx(longest, rel=0.35)


def test_due_times_help_the_missed_where_a_flag_harms_them() -> None:
    setting = Setting(2, 0.95, 10.0, 0.1, 0.9, 0.9, auc=0.95)
    due_at, flag, fifo = (
        waits_of(setting, policy, 100_000)
        for policy in (QueuePolicy.DUE_AT, QueuePolicy.FLAG_FIRST, QueuePolicy.FIFO)
    )

    assert due_at.missed is not None
    assert flag.missed is not None
    assert fifo.missed is not None
    assert due_at.missed < fifo.missed < flag.missed
    assert due_at.longest < 1.5 * flag.longest


@given(rooms)
def test_a_free_reader_always_takes_the_study_that_stands_first(room: Room) -> None:
    arrived, reading, order = arrays_of(room)

    waited = read_in_order(arrived, reading, order, n_readers=room[3])

    assert waited == pytest.approx(read_by_searching(room))


@given(rooms)
def test_without_anyone_to_pass_interrupting_is_reading_in_order(room: Room) -> None:
    arrived, reading, _ = arrays_of(room)
    by_arrival = np.arange(len(arrived))

    interrupting = read_interrupting(arrived, reading, by_arrival, n_readers=room[3])

    assert interrupting == pytest.approx(
        read_in_order(arrived, reading, by_arrival, n_readers=room[3]), abs=1e-9
    )


@given(rooms)
def test_with_one_reader_who_may_interrupt_the_first_study_never_waits(room: Room) -> None:
    arrived, reading, order = arrays_of(room)

    waited = read_interrupting(arrived, reading, order, n_readers=1)

    assert waited[order[0]] == pytest.approx(0.0, abs=1e-9)
    assert (waited >= -1e-9).all()


@given(rooms)
def test_one_reader_does_the_same_work_in_any_order(room: Room) -> None:
    arrived, reading, order = arrays_of(room)

    ends = [
        (arrived + read(arrived, reading, order, n_readers=1) + reading).max()
        for read in (read_in_order, read_interrupting)
    ]

    by_arrival = arrived + read_in_order(arrived, reading, np.arange(len(arrived)), n_readers=1) + reading
    assert ends == pytest.approx([by_arrival.max()] * 2)


def test_an_interrupted_reading_is_taken_up_where_it_was_left() -> None:
    arrived, reading = np.array([0.0, 4.0, 5.0]), np.array([10.0, 3.0, 2.0])

    waited = read_interrupting(arrived, reading, np.array([1, 2, 0]), n_readers=1)

    # The first is read 0-4 and 9-15, the second 4-7, the third 7-9.
    assert list(waited) == [5.0, 0.0, 2.0]


def test_equal_seeds_give_equal_results_and_other_seeds_others() -> None:
    setting = Setting(2, 0.8, 10.0, 0.1, 0.9, 0.9)
    first, again, other = (
        summarise(list(simulate(setting, QueuePolicy.DUE_AT, read_policy(), n_studies=5_000, seed=seed)))
        for seed in (7, 7, 8)
    )

    assert first == again
    assert first != other


@pytest.mark.parametrize(("n_studies", "n_runs"), [(1_000, 1), (100_000, 1), (100_001, 2), (200_000, 2)])
def test_runs_measure_as_many_studies_as_were_asked_for(n_studies: int, n_runs: int) -> None:
    assert count_runs(n_studies) == n_runs

    runs = simulate(
        Setting(4, 0.1, 10.0, 0.1, 0.9, 0.9), QueuePolicy.FIFO, read_policy(), n_studies=n_studies, seed=0
    )

    assert sum(len(run.waited_minutes) for run in runs) == n_studies


@effort(max_examples=20)
@given(st.floats(0.5, 0.99), st.floats(0.05, 0.5))
def test_the_simulated_score_is_calibrated_and_has_the_auc_it_was_given(
    auc: float, prevalence: float
) -> None:
    setting = Setting(2, 0.5, 10.0, prevalence, 0.8, 0.5, auc=auc)

    (run,) = simulate(setting, QueuePolicy.FIFO, read_policy(), n_studies=20_000, seed=3)

    ranks = np.argsort(np.argsort(run.probability))[run.is_diseased]
    n_sick = len(ranks)
    mann_whitney = (ranks.sum() - n_sick * (n_sick - 1) / 2) / (n_sick * (len(run.probability) - n_sick))
    assert mann_whitney == pytest.approx(auc, abs=0.03)
    assert run.probability.mean() == pytest.approx(prevalence, abs=0.02)
    upper = run.probability >= np.median(run.probability)
    assert run.probability[upper].mean() == pytest.approx(run.is_diseased[upper].mean(), abs=0.03)
    assert run.is_flagged[run.is_diseased].mean() == pytest.approx(0.8, abs=0.06)


@pytest.mark.parametrize("prevalence", [0.0, 1.0])
@pytest.mark.parametrize("auc", [None, 0.9])
@pytest.mark.parametrize("policy", list(QueuePolicy))
def test_nobody_ill_or_everybody_leaves_the_other_class_without_a_wait(
    prevalence: float, auc: float | None, policy: QueuePolicy
) -> None:
    waits = waits_of(Setting(2, 0.5, 10.0, prevalence, 0.9, 0.9, auc=auc), policy, 2_000)

    assert (waits.diseased is None) == (prevalence == 0.0)
    assert (waits.healthy is None) == (prevalence == 1.0)
