"""Mean waits of the queues that have a closed form: what a simulation is checked against.

Studies arrive at random (Poisson) and are read by `c` readers in exponential times (M/M/c). A study's
*wait* is its time from arrival to the end of its reading, less its own reading time; where a reading is
interrupted for a more urgent study, the interruption counts as waiting. At equal mean reading times no
order changes the mean over all studies (conservation law): what the flagged gain, the others pay.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist


class QueuePolicy(StrEnum):
    """In which order waiting studies are read."""

    FIFO = "fifo"
    FLAG_FIRST = "flag-first"
    FLAG_FIRST_PREEMPTIVE = "flag-first-preemptive"
    PROBABILITY = "probability"
    DUE_AT = "due-at"


@dataclass(frozen=True, slots=True)
class Setting:
    """A reading room and the model that looks ahead for it.

    Parameters
    ----------
    n_readers : int
        Doctors who read at the same time.
    load : float
        Share of their time that the arriving studies take, between 0 and 1, both excluded.
    read_minutes : float, min
        Mean time to read one study.
    prevalence : float
        Share of the studies that show the disease.
    sensitivity, specificity : float
        The flag's. With an `auc`, the threshold is the one that has this sensitivity, and its specificity
        follows from the curve: see :attr:`flag_specificity`.
    auc : float or None
        Area under the ROC curve of a graded score, .5 to less than 1: normal with unit variance in the
        healthy and in the diseased, and calibrated. None: the model says nothing beyond its flag.

    Raises
    ------
    ValueError
        If a figure lies outside its range; the message is a sentence for the person who gave it.
    """

    n_readers: int
    load: float
    read_minutes: float
    prevalence: float
    sensitivity: float
    specificity: float
    auc: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.n_readers <= 1000:
            raise ValueError(f"readers is {self.n_readers}, expected 1 to 1000")
        if not 0 < self.load < 1:
            raise ValueError(
                f"load is {self.load:g}, expected more than 0 and less than 1: "
                "from 1 on more studies arrive than can be read and the queue grows without end"
            )
        if not 0 < self.read_minutes < math.inf:
            raise ValueError(f"read-minutes is {self.read_minutes:g}, expected a positive time")
        for name in ("prevalence", "sensitivity", "specificity"):
            share: float = getattr(self, name)
            if not 0 <= share <= 1:
                raise ValueError(f"{name} is {share:g}, expected 0 to 1")
        if self.auc is not None and not 0.5 <= self.auc < 1:
            raise ValueError(f"auc is {self.auc:g}, expected 0.5 to less than 1")

    @property
    def arrivals_per_minute(self) -> float:
        """Rate at which studies arrive, 1/min."""
        return self.load * self.n_readers / self.read_minutes

    @property
    def score_separation(self) -> float:
        """Distance of the diseased's mean score from the healthy's in standard deviations; 0 without an AUC.

        ``AUC = Phi(d / sqrt 2)`` for two normal distributions of unit variance.
        """
        return 0.0 if self.auc is None else math.sqrt(2) * NormalDist().inv_cdf(self.auc)

    @property
    def flag_threshold(self) -> float:
        """Score from which on a study is flagged, at the stated sensitivity."""
        if self.sensitivity in (0, 1):
            return math.inf if self.sensitivity == 0 else -math.inf
        return self.score_separation - NormalDist().inv_cdf(self.sensitivity)

    @property
    def flag_specificity(self) -> float:
        """The flag's specificity: as stated, or with an AUC the one that its curve leaves."""
        if self.auc is None:
            return self.specificity
        if math.isinf(self.flag_threshold):
            return 1.0 if self.flag_threshold > 0 else 0.0
        return NormalDist().cdf(self.flag_threshold)

    @property
    def flagged_share(self) -> float:
        """Share of all studies that are flagged, rightly or wrongly."""
        return self.prevalence * self.sensitivity + (1 - self.prevalence) * (1 - self.flag_specificity)


@dataclass(frozen=True, slots=True)
class MeanWaits:
    """Mean waits in minutes; None for a class that no study belongs to."""

    flagged: float | None
    unflagged: float | None
    diseased: float | None
    healthy: float | None
    missed: float | None


def erlang_c(n_readers: int, load: float) -> float:
    """Give the probability that an arriving study finds every reader busy.

    Notes
    -----
    From Erlang's loss formula by its recursion, which neither overflows nor loses digits, with the offered
    load ``a = c load``: ``B_k = a B_(k-1) / (k + a B_(k-1))`` and ``C = B / (1 - load (1 - B))``.

    Examples
    --------
    >>> round(erlang_c(1, 0.8), 12), round(erlang_c(2, 0.8), 4)
    (0.8, 0.7111)
    """
    offered = n_readers * load
    blocked = 1.0
    for readers in range(1, n_readers + 1):
        blocked = offered * blocked / (readers + offered * blocked)
    return blocked / (1 - load * (1 - blocked))


def mean_waits(setting: Setting, policy: QueuePolicy) -> MeanWaits | None:
    """Give the mean wait of each class of studies, None for a policy without a closed form.

    Notes
    -----
    With ``W0 = C / (c mu)`` and ``s`` the load of the flagged alone:

    - first in, first out: ``W0 / (1 - load)``;
    - flagged first: ``W0 / (1 - s)`` and ``W0 / ((1 - s) (1 - load))`` [1]_;
    - flagged first, interrupting: the flagged see a queue of the load ``s`` that is theirs alone; the
      others' mean follows from the conservation law.

    A class's mean is that of its flagged and unflagged parts by their shares; whether a study is flagged
    depends on its own state alone.

    References
    ----------
    .. [1] A. Cobham, "Priority assignment in waiting line problems", Operations Research 2 (1954) 70-76.

    Examples
    --------
    >>> setting = Setting(2, 0.8, 10.0, prevalence=0.1, sensitivity=0.9, specificity=0.9)
    >>> waits = mean_waits(setting, QueuePolicy.FLAG_FIRST)
    >>> assert waits is not None and waits.diseased is not None and waits.missed is not None
    >>> round(waits.diseased, 4), round(waits.missed, 4)
    (5.8152, 20.7684)
    """
    share = setting.flagged_share
    flagged_load = setting.load * share
    everyone = _fifo_wait(setting, setting.load)
    match policy:
        case QueuePolicy.FIFO:
            flagged = unflagged = everyone
        case QueuePolicy.FLAG_FIRST:
            flagged = everyone * (1 - setting.load) / (1 - flagged_load)
            unflagged = everyone / (1 - flagged_load)
        case QueuePolicy.FLAG_FIRST_PREEMPTIVE:
            flagged = _fifo_wait(setting, flagged_load)
            unflagged = (everyone - share * flagged) / (1 - share) if share < 1 else everyone
        case QueuePolicy.PROBABILITY | QueuePolicy.DUE_AT:
            return None
    return _by_class(setting, flagged, unflagged)


def _fifo_wait(setting: Setting, load: float) -> float:
    return erlang_c(setting.n_readers, load) * setting.read_minutes / (setting.n_readers * (1 - load))


def _by_class(setting: Setting, flagged: float, unflagged: float) -> MeanWaits:
    sick, share = setting.prevalence, setting.flagged_share
    sensitivity, specificity = setting.sensitivity, setting.flag_specificity
    shares: Mapping[str, float] = {
        "flagged": share,
        "unflagged": 1 - share,
        "diseased": sick,
        "healthy": 1 - sick,
        "missed": sick * (1 - sensitivity),
    }
    means: Mapping[str, float] = {
        "flagged": flagged,
        "unflagged": unflagged,
        "diseased": sensitivity * flagged + (1 - sensitivity) * unflagged,
        "healthy": (1 - specificity) * flagged + specificity * unflagged,
        "missed": unflagged,
    }
    # 1 - .9 - .1 is not quite nought
    return MeanWaits(**{name: mean if shares[name] > 1e-12 else None for name, mean in means.items()})
