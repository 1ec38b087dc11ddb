"""A failure of the model never makes a wait longer than it would be without the model.

The argument stands beside the figure in ``policy.toml``; here it is simulated with the shipped figures.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from serving.worklist.policy import DoctorPriority, read_policy
from serving.worklist.queueing import erlang_c
from serving.worklist.ranking import MICROSECONDS_PER_MINUTE, allowance_minutes, due_at_us, reading_order
from serving.worklist.simulator import read_in_order

POLICY = read_policy()
READ_MINUTES = 10.0
N_STUDIES = 50_000


def arrivals(load: float, rng: np.random.Generator, n_readers: int = 2) -> NDArray[np.float64]:
    return np.cumsum(rng.exponential(READ_MINUTES / (n_readers * load), N_STUDIES))


def microseconds(minutes: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(minutes * MICROSECONDS_PER_MINUTE).astype(np.int64)


@pytest.mark.parametrize("load", [0.6, 0.9])
@pytest.mark.parametrize("unscored_share", [0.02, 0.3, 1.0])
@pytest.mark.parametrize("model", sorted(POLICY.model_minutes))
def test_unscored_studies_wait_no_longer_than_first_come_first_served(
    model: str, unscored_share: float, load: float
) -> None:
    rng = np.random.default_rng(4)
    arrived = arrivals(load, rng)
    reading = rng.exponential(READ_MINUTES, N_STUDIES)
    # Every fifth study is of the most urgent class, and the model knows it: the hardest case for the others.
    times = POLICY.model_minutes[model].values()
    diseased = rng.random(N_STUDIES) < 0.2
    probability = np.where(diseased, rng.beta(8, 2, N_STUDIES), rng.beta(1, 19, N_STUDIES))
    allowance = allowance_minutes(
        np.column_stack([probability, 1 - probability]), np.array([min(times), max(times)])
    )
    unscored = rng.random(N_STUDIES) < unscored_share
    allowance[unscored] = POLICY.unscored_minutes
    order = np.argsort(due_at_us(microseconds(arrived), allowance), kind="stable")

    waited = read_in_order(arrived, reading, order, n_readers=2)
    without_model = read_in_order(arrived, reading, np.arange(N_STUDIES), n_readers=2)

    assert waited[unscored].mean() <= without_model[unscored].mean()


def test_when_the_model_fails_altogether_the_order_is_that_of_arrival() -> None:
    rng = np.random.default_rng(5)
    received = microseconds(np.sort(rng.uniform(0, 1e5, 1000)))

    due = due_at_us(received, np.full(1000, POLICY.unscored_minutes))

    assert (reading_order(due, received, np.arange(1000)) == np.arange(1000)).all()


def test_when_the_model_fails_altogether_stat_still_passes_all_but_one_wait_in_ten_thousand() -> None:
    n_readers, load = 2, 0.8
    lead_minutes = POLICY.unscored_minutes - POLICY.doctor_minutes[DoctorPriority.STAT]

    # P(wait > t) = C exp(-(c mu - lambda) t) for first come, first served.
    longer = erlang_c(n_readers, load) * math.exp(-n_readers * (1 - load) / READ_MINUTES * lead_minutes)

    assert longer < 1e-4


@given(st.integers(0, 10**9), st.floats(0.0, 1.0), st.sampled_from(sorted(POLICY.model_minutes)))
def test_nothing_passes_an_unscored_study_after_its_first_hours(
    received_us: int, probability: float, model: str
) -> None:
    times = POLICY.model_minutes[model].values()
    scored = allowance_minutes(np.array([[probability, 1 - probability]]), np.array([min(times), max(times)]))
    hours = POLICY.unscored_minutes - POLICY.doctor_minutes[DoctorPriority.STAT]
    unscored_due = due_at_us(np.array([received_us]), np.array([POLICY.unscored_minutes]))

    later = np.array([received_us + int(hours * MICROSECONDS_PER_MINUTE) + 1])

    assert due_at_us(later, scored)[0] > unscored_due[0]


def test_a_study_known_to_be_harmless_stands_behind_an_unscored_one_that_came_hours_later() -> None:
    for times in POLICY.model_minutes.values():
        assert max(times.values()) - POLICY.unscored_minutes >= 20 * 60
