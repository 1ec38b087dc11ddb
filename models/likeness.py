"""How like training's a picture looks, aspect by aspect, and what is amiss where it does not.

Each aspect of :mod:`models.appearance` has a Gaussian fitted to the training pictures. The distance from it
is put on a scale on which the middle picture of the held-out set stands at 0.5 and the limit at 1, so that
aspects, and the network's features beside them, can be compared: the worst of all counts.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from models.appearance import N_LIGHT_BANDS, N_STATISTICS, Aspect

Floats = NDArray[np.float64] | NDArray[np.float32]

# A direction in which training hardly varies counts as if it varied this much, in the statistics' own unit
# (grey levels, or their logarithm): what is all but constant there may differ a little elsewhere.
_LEAST_SPREAD = 0.02
# So many standard deviations below or above training's mean are called few or many in words.
_FAR = 2.0
# Held-out pictures that are all but alike, or some of which are far out, do not bend the scale further.
_LEAST_POWER, _MOST_POWER = 0.25, 16.0


class Unlike(StrEnum):
    """What is amiss with a picture; the value is the code."""

    NO_STRUCTURE = "no-structure"
    BLURRED = "blurred"
    NOISY = "noisy"
    NO_COLOUR = "no-colour"
    TEXTURE = "texture"
    TONES = "tones"
    LAYOUT = "layout"
    FEATURES = "features"

    @property
    def words(self) -> str:
        """Say it to people."""
        return _WORDS[self]


_WORDS = {
    Unlike.NO_STRUCTURE: "nothing is to be seen on it",
    Unlike.BLURRED: "it is blurred",
    Unlike.NOISY: "it is full of noise or fine detail",
    Unlike.NO_COLOUR: "it has no colour, or neighbouring slices are one and the same",
    Unlike.TEXTURE: "its texture is unlike",
    Unlike.TONES: "its brightness or colours are unlike",
    Unlike.LAYOUT: "light and dark stand elsewhere on it",
    Unlike.FEATURES: "what the network sees on it is unlike",
}


@dataclass(frozen=True, eq=False)
class Likeness:
    """What one aspect of training's pictures is like.

    Attributes
    ----------
    aspect : Aspect
    mean, spread : (n_statistics,) float32
        Of each statistic.
    whitening : (n_statistics, n_statistics) float32
        Turns a difference from the mean into independent ones of variance 1.
    limit : float
        Distance that is accepted.
    power : float
        ``(distance / limit) ** power`` is 0.5 for the middle picture.
    """

    aspect: Aspect
    mean: NDArray[np.float32]
    spread: NDArray[np.float32]
    whitening: NDArray[np.float32]
    limit: float
    power: float

    def __post_init__(self) -> None:
        length = N_STATISTICS[self.aspect]
        shapes = self.mean.shape, self.spread.shape, self.whitening.shape
        if shapes != ((length,), (length,), (length, length)):
            raise ValueError(f"shapes disagree: {self.aspect} has {shapes}, expected {length} statistics")
        arrays = (self.mean, self.spread, self.whitening)
        if not all(np.isfinite(array).all() for array in arrays) or not (self.spread > 0).all():
            raise ValueError(
                f"mean, spread and whitening of {self.aspect} must be finite, the spread above 0"
            )
        if not (0 < self.limit < np.inf and 0 < self.power < np.inf):
            raise ValueError(
                f"limit and power of {self.aspect} are {self.limit}, {self.power}, expected numbers above 0"
            )

    def scaled(self, statistics: Floats) -> NDArray[np.float64]:
        """Give how far pictures (n, n_statistics) lie from training's, (n,): 1 is the limit."""
        away = (np.asarray(statistics, np.float64) - self.mean) @ self.whitening.astype(np.float64)
        return np.asarray((np.sqrt((away**2).sum(axis=1)) / self.limit) ** self.power, np.float64)


def fit_likeness(aspect: Aspect, train: Floats, held_out: Floats, *, acceptance: float) -> Likeness:
    """Learn one aspect.

    Parameters
    ----------
    aspect : Aspect
    train, held_out : (n, n_statistics) float
        Of the pictures the network was fitted on, and of others of the same kind, which set the limit.
    acceptance : float
        Part of `held_out` that is to lie within the limit, in (0, 1].

    Notes
    -----
    The covariance is shrunk towards its diagonal by ``k / (k + n)`` for k statistics of n pictures, so that
    few pictures of many statistics give no direction without variance.
    """
    values = np.asarray(train, np.float64)
    n, length = values.shape
    mean = values.mean(axis=0)
    covariance = np.cov(values - mean, rowvar=False, bias=True)
    part = length / (length + n)
    shrunk = (1.0 - part) * covariance + part * np.diag(np.diag(covariance))
    variances, directions = np.linalg.eigh(shrunk)
    unbounded = Likeness(
        aspect=aspect,
        mean=mean.astype(np.float32),
        spread=np.maximum(values.std(axis=0), _LEAST_SPREAD).astype(np.float32),
        whitening=(directions / np.sqrt(variances + _LEAST_SPREAD**2)).astype(np.float32),
        limit=1.0,
        power=1.0,
    )
    limit, power = scale_of(unbounded.scaled(held_out), acceptance)
    return Likeness(aspect, unbounded.mean, unbounded.spread, unbounded.whitening, limit, power)


def scale_of(distances: Floats, acceptance: float) -> tuple[float, float]:
    """Give the limit that accepts its part of distances (n,), and the power that puts their middle at 0.5.

    Examples
    --------
    >>> limit, power = scale_of(np.array([1.0, 2.0, 4.0, 4.0]), 1.0)
    >>> (2.0 / limit) ** power
    0.5
    """
    limit = max(float(np.quantile(distances, acceptance, method="higher")), float(np.finfo(np.float32).tiny))
    middle = float(np.quantile(distances, 0.5, method="lower"))
    # where all are alike there is no middle to speak of
    power = np.log(0.5) / np.log(middle / limit) if 0.0 < middle < limit else 1.0
    return limit, float(min(max(power, _LEAST_POWER), _MOST_POWER))


def amiss(leading: Aspect | None, texture: NDArray[np.float32], likeness: Likeness | None) -> Unlike:
    """Say what is amiss with a picture.

    Parameters
    ----------
    leading : Aspect or None
        The aspect that is furthest from training's; None where it is the network's features.
    texture : (n_statistics,) float32
        The picture's.
    likeness : Likeness or None
        Of training's texture; None where it is not beyond its limit, and tells nothing.
    """
    if likeness is not None:
        away = (texture - likeness.mean) / likeness.spread
        light = away[:N_LIGHT_BANDS]
        # the steps of each colour stand first in its half of the rest
        first, second = np.split(away[2 * N_LIGHT_BANDS :], 2)
        colour = np.concatenate([first[: first.size // 2], second[: second.size // 2]])
        if (light < -_FAR).all():
            return Unlike.NO_STRUCTURE
        if (colour < -_FAR).all():
            return Unlike.NO_COLOUR
        if (light[:2] < -_FAR).all():
            return Unlike.BLURRED
        if (light[:2] > _FAR).all():
            return Unlike.NOISY
    return Unlike.FEATURES if leading is None else Unlike(str(leading))
