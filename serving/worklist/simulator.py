"""What a policy does to every class of patient, before it is switched on: a simulated reading room.

Studies arrive at random (Poisson), a model looks at each at once, and readers take the next one off the
queue whenever they are free. The order is the product's own: due times are made by
:mod:`serving.worklist.ranking` from the shipped policy's times for critical and routine.

The model's score is binormal, and calibrated by Bayes' rule; its flag is the score's threshold. Without an
AUC the model says nothing beyond its flag, so that its calibrated probability is one of two: the flag's
positive predictive value, or what its negative one leaves.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.card import Severity
from serving.worklist.policy import Policy
from serving.worklist.queueing import QueuePolicy, Setting
from serving.worklist.ranking import MICROSECONDS_PER_MINUTE, allowance_minutes, due_at_us

# A full run. Runs are independent, their spread gives a mean's standard error; and since the longest of more
# waits is longer, only runs of one length give a longest wait that can be compared.
STUDIES_OF_A_RUN = 100_000
# A queue forgets its start in `relaxation` arrivals, which grow without bound as the load nears 1. Beyond
# a load of about .985 a run cannot pay for ten of them: its means are then a little low.
LONGEST_WARM_UP = 250_000


@dataclass(frozen=True, slots=True)
class SimulatedRun:
    """The studies of one run, in the order of their arrival, without those of its warm-up and its end.

    `waited_minutes` is (n_studies,) float64, min; `probability` (n_studies,) float64 the calibrated one of
    disease; `is_diseased` and `is_flagged` are (n_studies,) bool.
    """

    waited_minutes: NDArray[np.float64]
    probability: NDArray[np.float64]
    is_diseased: NDArray[np.bool_]
    is_flagged: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SimulatedWaits:
    """Mean waits in minutes; None for a class that no study belongs to.

    `longest` is the longest wait among the studies of one run, the mean over the runs.
    """

    flagged: float | None
    unflagged: float | None
    diseased: float | None
    healthy: float | None
    missed: float | None
    longest: float


def count_runs(n_studies: int) -> int:
    """Give the number of runs that `n_studies` are divided among."""
    return -(-n_studies // STUDIES_OF_A_RUN)


def simulate(
    setting: Setting, queue_policy: QueuePolicy, times: Policy, *, n_studies: int, seed: int
) -> Iterator[SimulatedRun]:
    """Yield independent runs that measure `n_studies` together.

    Each run begins empty and simulates more than it measures: the studies of the warm-up, and as many at
    its end, whose wait later arrivals would have lengthened, are left out.
    """
    n_runs = count_runs(n_studies)
    for run, child in enumerate(np.random.SeedSequence(seed).spawn(n_runs)):
        measured = n_studies // n_runs + (run < n_studies % n_runs)
        yield _run(setting, queue_policy, times, measured, np.random.default_rng(child))


def summarise(runs: Sequence[SimulatedRun]) -> SimulatedWaits:
    """Give the mean wait of each class over all runs, and their longest."""
    waited = np.concatenate([run.waited_minutes for run in runs])
    diseased = np.concatenate([run.is_diseased for run in runs])
    flagged = np.concatenate([run.is_flagged for run in runs])
    return SimulatedWaits(
        flagged=_mean(waited[flagged]),
        unflagged=_mean(waited[~flagged]),
        diseased=_mean(waited[diseased]),
        healthy=_mean(waited[~diseased]),
        missed=_mean(waited[diseased & ~flagged]),
        longest=float(np.mean([run.waited_minutes.max() for run in runs])),
    )


def read_in_order(
    arrived_minutes: NDArray[np.float64],
    reading_minutes: NDArray[np.float64],
    order: NDArray[np.intp],
    *,
    n_readers: int,
) -> NDArray[np.float64]:
    """Give each study's wait when a free reader always takes the waiting study that stands first.

    Parameters
    ----------
    arrived_minutes : (n_studies,) float64, min
        Times of arrival, rising from nought or later.
    reading_minutes : (n_studies,) float64, min
        Time that each study takes to read.
    order : (n_studies,) intp
        All studies in the order in which they would be read if all were waiting.
    n_readers : int
        Readers at work.

    Returns
    -------
    (n_studies,) float64, min
        From arrival to the beginning of the reading.

    Examples
    --------
    The third study passes the second, which waits while the first is read:

    >>> read_in_order(np.array([0.0, 1.0, 2.0]), np.array([5.0, 5.0, 5.0]), np.array([0, 2, 1]), n_readers=1)
    array([0., 9., 3.])
    """
    arrivals, readings, studies = arrived_minutes.tolist(), reading_minutes.tolist(), order.tolist()
    ranks = _ranks(order)
    begins = [0.0] * len(arrivals)
    free_at = [0.0] * n_readers
    waiting: list[int] = []
    now, next_study, n_arrivals = 0.0, 0, len(arrivals)
    for _ in range(n_arrivals):
        now = max(now, free_at[0])
        if not waiting:
            now = max(now, arrivals[next_study])
        while next_study < n_arrivals and arrivals[next_study] <= now:
            heapq.heappush(waiting, ranks[next_study])
            next_study += 1
        study = studies[heapq.heappop(waiting)]
        begins[study] = now
        heapq.heapreplace(free_at, now + readings[study])
    return np.asarray(begins) - arrived_minutes


def read_interrupting(
    arrived_minutes: NDArray[np.float64],
    reading_minutes: NDArray[np.float64],
    order: NDArray[np.intp],
    *,
    n_readers: int,
) -> NDArray[np.float64]:
    """Give each study's wait when an arriving study interrupts the reading of one that stands behind it.

    An interrupted reading is taken up later where it was left. Parameters are those of
    :func:`read_in_order`.

    Returns
    -------
    (n_studies,) float64, min
        From arrival to the end of the reading, less the study's own reading time.

    Examples
    --------
    The second study interrupts the first, which waits the five minutes of the other's reading:

    >>> read_interrupting(np.array([0.0, 1.0]), np.array([5.0, 5.0]), np.array([1, 0]), n_readers=1)
    array([5., 0.])
    """
    arrivals, remaining, studies = arrived_minutes.tolist(), reading_minutes.tolist(), order.tolist()
    ranks = _ranks(order)
    ends = [0.0] * len(arrivals)
    reading: list[tuple[float, int]] = []  # end of the reading and rank, the next to end first
    waiting: list[int] = []

    def advance(until: float) -> None:
        """Let readings end, and the next ones begin, up to a moment."""
        while reading and reading[0][0] <= until:
            end, rank = heapq.heappop(reading)
            ends[studies[rank]] = end
            if waiting:
                following = heapq.heappop(waiting)
                heapq.heappush(reading, (end + remaining[studies[following]], following))

    for study, now in enumerate(arrivals):
        advance(now)
        rank = ranks[study]
        if len(reading) < n_readers:
            heapq.heappush(reading, (now + remaining[study], rank))
            continue
        last = max(range(n_readers), key=lambda place: reading[place][1])
        end, last_rank = reading[last]
        if rank > last_rank:
            heapq.heappush(waiting, rank)
            continue
        remaining[studies[last_rank]] = end - now
        heapq.heappush(waiting, last_rank)
        reading[last] = (now + remaining[study], rank)
        heapq.heapify(reading)
    advance(float("inf"))
    return np.asarray(ends) - arrived_minutes - reading_minutes


def _run(
    setting: Setting, queue_policy: QueuePolicy, times: Policy, measured: int, rng: np.random.Generator
) -> SimulatedRun:
    relaxation = setting.load / (1 - np.sqrt(setting.load)) ** 2
    warm_up = min(1000 + int(10 * relaxation), LONGEST_WARM_UP)
    n_studies = measured + 2 * warm_up
    arrived = np.cumsum(rng.exponential(1 / setting.arrivals_per_minute, n_studies))
    reading = rng.exponential(setting.read_minutes, n_studies)
    diseased = rng.random(n_studies) < setting.prevalence
    probability, flagged = _look_ahead(setting, diseased, rng)
    order = _order(queue_policy, times, arrived, probability, flagged)
    read = read_interrupting if queue_policy is QueuePolicy.FLAG_FIRST_PREEMPTIVE else read_in_order
    waited = read(arrived, reading, order, n_readers=setting.n_readers)
    kept = slice(warm_up, warm_up + measured)
    return SimulatedRun(waited[kept], probability[kept], diseased[kept], flagged[kept])


def _look_ahead(
    setting: Setting, diseased: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Give each study's calibrated probability of disease and whether it is flagged."""
    prevalence = setting.prevalence
    if setting.auc is None:
        flag_chance = np.where(diseased, setting.sensitivity, 1 - setting.specificity)
        flagged = rng.random(diseased.shape) < flag_chance
        true_flags = prevalence * setting.sensitivity
        misses = prevalence - true_flags
        share = setting.flagged_share
        # The shares are differences of rounded figures: a certainty may come out as 1.0000000000000002.
        given_flag = min(1.0, true_flags / share) if share > 0 else prevalence
        given_none = min(1.0, misses / (1 - share)) if share < 1 else prevalence
        return np.where(flagged, given_flag, given_none), flagged
    separation = setting.score_separation
    score = rng.standard_normal(diseased.shape) + separation * diseased
    # Bayes' rule in odds: the likelihood ratio of two unit normals is exp(d x - d^2 / 2).
    likelihood_ratio = np.exp(separation * score - separation**2 / 2)
    sick = prevalence * likelihood_ratio
    return sick / (sick + (1 - prevalence)), score >= setting.flag_threshold


def _order(
    queue_policy: QueuePolicy,
    times: Policy,
    arrived: NDArray[np.float64],
    probability: NDArray[np.float64],
    flagged: NDArray[np.bool_],
) -> NDArray[np.intp]:
    match queue_policy:
        case QueuePolicy.FIFO:
            key = np.zeros(len(arrived))
        case QueuePolicy.FLAG_FIRST | QueuePolicy.FLAG_FIRST_PREEMPTIVE:
            key = -flagged.astype(np.float64)
        case QueuePolicy.PROBABILITY:
            key = -probability
        case QueuePolicy.DUE_AT:
            class_minutes = np.array(
                [times.severity_minutes[Severity.CRITICAL], times.severity_minutes[Severity.ROUTINE]]
            )
            allowance = allowance_minutes(np.column_stack([probability, 1 - probability]), class_minutes)
            received_us = np.rint(arrived * MICROSECONDS_PER_MINUTE).astype(np.int64)
            return np.argsort(due_at_us(received_us, allowance), kind="stable")
    return np.argsort(key, kind="stable")


def _ranks(order: NDArray[np.intp]) -> list[int]:
    ranks = np.empty(len(order), dtype=np.intp)
    ranks[order] = np.arange(len(order))
    return [int(rank) for rank in ranks.tolist()]


def _mean(waits: NDArray[np.float64]) -> float | None:
    return float(waits.mean()) if waits.size else None
