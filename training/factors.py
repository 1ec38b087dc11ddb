"""Fits what age, sex and body site say for and against each class, beside what the picture says.

It is a multinomial logistic regression with the picture's own log probabilities as a fixed offset, so only
what the picture does not tell is learnt: that a face is no back can often be seen. Each image counts once for
every set of fields that may be known together, the others taken away; so the same factors hold for a patient
whose age alone is known. A constant for each class is fitted along and thrown away: how frequent a class is
belongs to the picture's side, whatever is known of the patient, and would else pass for what the field says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np
from numpy.typing import NDArray

from data.body_sites import BodySite
from data.study import Sex
from models.card import ContextField, ContextTerm
from models.context import KnownContext

Floats = NDArray[np.float64]

# Keratinocyte cancers rise from 60 on, naevi fall from 45 on; between the ages factors run along a line.
AGES = (15, 30, 45, 60, 75)

# The constant's own ridge: next to nothing, it only makes the solution one.
_RIDGE_OF_CONSTANT = 1e-4
_MAX_STEPS = 60


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """How one field becomes numbers.

    Attributes
    ----------
    levels : tuple of str
        As in the card.
    rows : (n_levels, n_inputs) float64
        Each level's numbers; those of the fitted images have a mean of zero.
    inputs : (n_images, n_inputs) float64
        Zero where the field is not known.
    """

    levels: tuple[str, ...]
    rows: Floats
    inputs: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """What was fitted: the card's terms, and the constants that do not count (n_classes,)."""

    terms: tuple[ContextTerm, ...]
    constants: Floats


def fit_factors(
    offsets: Floats,
    labels: NDArray[np.int64],
    contexts: Sequence[KnownContext],
    fields: Sequence[ContextField],
    *,
    ridge: float,
) -> Factors:
    """Fit the factors of some fields together.

    Parameters
    ----------
    offsets : (n_images, n_classes) float64, nats
        Calibrated log probabilities, up to a constant a row, of images that the network was not fitted on.
    labels : (n_images,) int64
        Index of the true class.
    contexts : (n_images,) KnownContext
    fields : sequence of str
        Of those that anything is known of, each gives a term; without any, the constants alone are fitted.
    ridge : float
        Weight of half the squared coefficients beside the summed negative log likelihood.
    """
    encodings = {name: encode(contexts, name) for name in fields}
    known = {name: encoding for name, encoding in encodings.items() if encoding.levels}
    sets = list(chain.from_iterable(combinations(known, n) for n in range(1, len(known) + 1))) or [()]
    inputs = np.concatenate([_only(known, chosen, len(labels)) for chosen in sets])
    tiled = np.tile(offsets, (len(sets), 1))
    weights = np.full(len(tiled), 1.0 / len(sets))
    coefficients, constants = fit_offset_regression(
        inputs, np.tile(labels, len(sets)), tiled, weights, ridge=ridge
    )
    terms, start = [], 0
    for name, encoding in known.items():
        stop = start + encoding.rows.shape[1]
        ratios = encoding.rows @ coefficients[start:stop]
        rows = tuple(tuple(round(float(value), 4) for value in row) for row in ratios)
        terms.append(ContextTerm(field=name, levels=encoding.levels, log_ratios=rows))
        start = stop
    return Factors(tuple(terms), constants)


def encode(contexts: Sequence[KnownContext], name: ContextField) -> Encoding:
    """Turn a field into numbers whose mean over the images in which it is known is zero.

    An age has a part of the two ages of `AGES` that it lies between. A body site has its region's number
    and, if it is finer, its own: so the ear, which is rare, borrows from the head, and a sender who names
    the region alone is understood too.

    Examples
    --------
    >>> encode([KnownContext(age_years=age) for age in (15.0, 22.5, 30.0)], "age").inputs.round(2)[:, :2]
    array([[ 0.5, -0.5],
           [ 0. ,  0. ],
           [-0.5,  0.5]])
    """
    if name == "age":
        levels = tuple(str(age) for age in AGES)
        plain = np.eye(len(AGES))
        values = [None if one.age_years is None else _between_ages(one.age_years) for one in contexts]
    else:
        said = [one.sex if name == "sex" else one.site for one in contexts]
        levels, plain = _sexes(said) if name == "sex" else _sites(said)
        values = [plain[levels.index(str(one))] if one else None for one in said]
    is_known = np.array([value is not None for value in values])
    if not is_known.any():
        return Encoding((), np.zeros((0, 0)), np.zeros((len(contexts), 0)))
    inputs = np.zeros((len(contexts), plain.shape[1]))
    inputs[is_known] = np.stack([value for value in values if value is not None])
    mean = inputs[is_known].mean(axis=0)
    inputs[is_known] -= mean
    return Encoding(levels, plain - mean, inputs)


def fit_offset_regression(
    inputs: Floats, labels: NDArray[np.int64], offsets: Floats, weights: Floats, *, ridge: float
) -> tuple[Floats, Floats]:
    """Fit a multinomial logistic regression beside fixed offsets.

    Parameters
    ----------
    inputs : (n_rows, n_inputs) float64
    labels : (n_rows,) int64
        Index of the true class.
    offsets : (n_rows, n_classes) float64
        Added to the logits as they are.
    weights : (n_rows,) float64
        How much each row counts.
    ridge : float
        Weight of half the squared coefficients; the constants are all but free.

    Returns
    -------
    (n_inputs, n_classes) float64, (n_classes,) float64
        Coefficients and constants; both sum to zero over the classes.

    Notes
    -----
    Newton's method with halved steps where a whole one does not lower the loss, which is strictly convex.
    """
    n_classes = offsets.shape[1]
    rows = np.column_stack([inputs, np.ones(len(inputs))])
    penalty = np.full(rows.shape[1], ridge)
    penalty[-1] = _RIDGE_OF_CONSTANT
    regression = _Regression(rows, np.eye(n_classes)[labels], offsets, weights, penalty)
    found = np.zeros((rows.shape[1], n_classes))
    loss, probabilities = regression.loss(found)
    for _ in range(_MAX_STEPS):
        slope = regression.slope(found, probabilities)
        step = np.linalg.solve(regression.curvature(probabilities), slope.T.ravel())
        step = step.reshape(n_classes, -1).T
        if float((slope * step).sum()) < 1e-9 * len(rows):
            break
        part = 1.0
        while part > 1e-6:
            lower, at_lower = regression.loss(found - part * step)
            if lower < loss:
                break
            part /= 2.0
        else:
            break
        found, loss, probabilities = found - part * step, lower, at_lower
    return found[:-1], found[-1]


@dataclass(frozen=True, slots=True, eq=False)
class _Regression:
    """Rows (n_rows, n_inputs), truth and offsets (n_rows, n_classes), and each input's penalty."""

    rows: Floats
    truth: Floats
    offsets: Floats
    weights: Floats
    penalty: Floats

    def loss(self, found: Floats) -> tuple[float, Floats]:
        """Give the penalised loss, and the probabilities (n_rows, n_classes) that it comes from."""
        logits = self.offsets + self.rows @ found
        logits -= logits.max(axis=1, keepdims=True)
        powers = np.exp(logits)
        sums = powers.sum(axis=1, keepdims=True)
        misfit = self.weights @ (np.log(sums[:, 0]) - (logits * self.truth).sum(axis=1))
        return float(misfit + 0.5 * (self.penalty[:, None] * found**2).sum()), powers / sums

    def slope(self, found: Floats, probabilities: Floats) -> Floats:
        """Give the loss's first derivatives, in the shape of `found`."""
        errors = self.weights[:, None] * (probabilities - self.truth)
        return np.asarray(self.rows.T @ errors + self.penalty[:, None] * found)

    def curvature(self, probabilities: Floats) -> Floats:
        """Give the second derivatives, a block for each pair of classes."""
        n_inputs, n_classes = self.rows.shape[1], probabilities.shape[1]
        blocks = np.empty((n_classes, n_inputs, n_classes, n_inputs))
        for one in range(n_classes):
            for other in range(one, n_classes):
                shared = (one == other) - probabilities[:, other]
                weighed = (self.weights * probabilities[:, one] * shared)[:, None] * self.rows
                blocks[one, :, other] = blocks[other, :, one] = self.rows.T @ weighed
            blocks[one, :, one] += np.diag(self.penalty)
        return blocks.reshape(n_classes * n_inputs, n_classes * n_inputs)


def _only(
    encodings: Mapping[ContextField, Encoding], chosen: Sequence[ContextField], n_images: int
) -> Floats:
    inputs = [encoding.inputs * (name in chosen) for name, encoding in encodings.items()]
    return np.column_stack([np.zeros((n_images, 0)), *inputs])


def _between_ages(age_years: float) -> Floats:
    return np.array([np.interp(age_years, AGES, corner) for corner in np.eye(len(AGES))])


def _sexes(said: Sequence[Sex | BodySite | None]) -> tuple[tuple[str, ...], Floats]:
    levels = tuple(sorted({str(one) for one in said if one}))
    return levels, np.eye(len(levels))


def _sites(said: Sequence[Sex | BodySite | None]) -> tuple[tuple[str, ...], Floats]:
    named = {one for one in said if isinstance(one, BodySite)}
    named |= {one.region for one in named}
    places = [site for site in BodySite if site in named]
    rows = np.eye(len(places))
    for row, site in enumerate(places):
        rows[row, places.index(site.region)] = 1.0
    return tuple(str(site) for site in places), rows
