"""What makes calibrated logits of a network's: one temperature, and an offset for each class.

A temperature says how sure the network may be, yet leaves the classes' frequencies as training showed them.
Where training shows rare classes more often than they come, the network expects them too often, and no
temperature mends that; an offset a class does (bias-corrected temperature scaling). Everything that turns
logits into probabilities, of a frame or of a study, goes through here.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.calibration import (
    TEMPERATURE_RANGE,
    Floats,
    fit_temperature,
    negative_log_likelihood,
    softmax,
)
from models.card import Calibration

# Standard deviation of the prior on each offset, in nats. With thousands of rows it moves nothing; with a few
# dozen it keeps a class that they hardly show from being moved out of sight.
_OFFSET_PRIOR = 1.0
_MOST_STEPS = 100


@dataclass(frozen=True, slots=True)
class Scaling:
    """Calibrated logits are ``logits / temperature + offsets``; without offsets, the temperature alone."""

    temperature: float = 1.0
    offsets: tuple[float, ...] = ()

    @classmethod
    def of(cls, calibration: Calibration) -> Self:
        """Take the numbers of a card."""
        return cls(calibration.temperature, calibration.offsets)

    def logits(self, logits: Floats) -> NDArray[np.float64]:
        """Calibrate a network's logits, (..., n_classes).

        The mean over frames may be taken before or after.
        """
        scaled = np.asarray(logits, np.float64) / self.temperature
        return scaled + np.array(self.offsets) if self.offsets else scaled

    def probabilities(self, logits: Floats) -> NDArray[np.float64]:
        """Give the calibrated probabilities of a network's logits, (..., n_classes); rows sum to 1.

        Examples
        --------
        >>> Scaling(2.0, (np.log(3.0), 0.0)).probabilities(np.array([1.0, 1.0]))
        array([0.75, 0.25])
        """
        return softmax(self.logits(logits))

    def softened(self, temperature: float) -> "Scaling":
        """Divide the calibrated logits once more."""
        return Scaling(self.temperature * temperature, tuple(one / temperature for one in self.offsets))


def fit_scaling(logits: Floats, labels: NDArray[np.integer]) -> Scaling:
    """Find temperature and offsets under which the true classes are most likely.

    Parameters
    ----------
    logits : (n_samples, n_classes) float
        Of images the network was not fitted on.
    labels : (n_samples,) integer
        Index of the true class; their frequencies are taken for those of the images to come.

    Returns
    -------
    Scaling
        The temperature is within `TEMPERATURE_RANGE`; the offsets sum to 0.

    Notes
    -----
    With ``p = softmax(b z + c)`` and b = 1 / temperature the negative log likelihood is convex in b and c
    together [1]_. A normal prior of mean 0 and standard deviation 1 on each c makes the solution unique and
    finite, also for a class of which no sample is there. It is found by Newton's method with steps halved
    until they help; a temperature at a border of its range stays there.

    The offsets undo the balance of training, as they would any other difference of class frequencies between
    what the network was shown and what is fitted on [2]_; so another population asks for other offsets.

    References
    ----------
    .. [1] A. Alexandari, A. Kundaje, A. Shrikumar, "Maximum likelihood with bias-corrected calibration is
       hard-to-beat at label shift adaptation", ICML 2020.
    .. [2] M. Saerens, P. Latinne, C. Decaestecker, "Adjusting the outputs of a classifier to new a priori
       probabilities", Neural Computation 14 (2002) 21-41.

    Examples
    --------
    The network calls both classes equally likely; three of four are of the first:

    >>> scaling = fit_scaling(np.zeros((4000, 2)), np.array([0, 0, 0, 1] * 1000))
    >>> scaling.probabilities(np.zeros(2)).round(2)
    array([0.75, 0.25])
    """
    values = np.asarray(logits, np.float64)
    coldest, hottest = TEMPERATURE_RANGE
    lowest, highest = 1.0 / hottest, 1.0 / coldest
    # 1 / temperature, then an offset a class
    numbers = np.zeros(values.shape[-1] + 1)
    numbers[0] = np.clip(1.0 / fit_temperature(values, labels), lowest, highest)
    loss = _loss(values, labels, numbers)
    for _ in range(_MOST_STEPS):
        step = _newton_step(values, labels, numbers)
        if (numbers[0] <= lowest and step[0] < 0.0) or (numbers[0] >= highest and step[0] > 0.0):
            step = _newton_step(values, labels, numbers, keeps_temperature=True)
        saved = 0.0
        while saved <= 0.0 and np.abs(step).max() > 1e-12:
            tried = numbers + step
            tried[0] = np.clip(tried[0], lowest, highest)
            saved = loss - _loss(values, labels, tried)
            step = step / 2.0
        if saved <= 0.0:
            break
        numbers, loss = tried, loss - saved
    return Scaling(1.0 / float(numbers[0]), tuple((numbers[1:] - numbers[1:].mean()).tolist()))


def _loss(values: NDArray[np.float64], labels: NDArray[np.integer], numbers: NDArray[np.float64]) -> float:
    """Give the sum of ``-log p`` of the true classes and of the prior, less what is constant."""
    prior = float(numbers[1:] @ numbers[1:]) / (2.0 * _OFFSET_PRIOR**2)
    moved = numbers[0] * values + numbers[1:]
    return len(values) * negative_log_likelihood(moved, labels) + prior


def _newton_step(
    values: NDArray[np.float64],
    labels: NDArray[np.integer],
    numbers: NDArray[np.float64],
    *,
    keeps_temperature: bool = False,
) -> NDArray[np.float64]:
    n_classes = values.shape[1]
    probabilities = softmax(numbers[0] * values + numbers[1:])
    surplus = probabilities - np.eye(n_classes)[labels]
    slope = np.append((surplus * values).sum(), surplus.sum(axis=0) + numbers[1:] / _OFFSET_PRIOR**2)
    expected = (probabilities * values).sum(axis=1, keepdims=True)
    curvature = np.empty((n_classes + 1, n_classes + 1))
    # rows of equal logits say nothing of the temperature; the summand keeps the matrix invertible
    curvature[0, 0] = (probabilities * (values - expected) ** 2).sum() + 1e-9 * len(values)
    curvature[0, 1:] = curvature[1:, 0] = (probabilities * (values - expected)).sum(axis=0)
    curvature[1:, 1:] = (
        np.diag(probabilities.sum(axis=0) + _OFFSET_PRIOR**-2) - probabilities.T @ probabilities
    )
    if keeps_temperature:
        return np.append(0.0, -np.linalg.solve(curvature[1:, 1:], slope[1:]))
    return np.asarray(-np.linalg.solve(curvature, slope))
