"""Adds what is known of the patient to what the picture says: age, sex and body site, each of which may lack.

The picture's probabilities are multiplied by one factor a class for each field that is known, and made to sum
to 1 again: Bayes' rule with factors fitted for it (:mod:`training.context`). So the network, its map and its
temperature stay what they are without, a field that is absent or unknown changes nothing at all, and the
factors are a table that a person can read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from data.body_sites import BodySite, site_of
from data.study import PatientContext, Sex
from models.card import ContextTerm, PatientFactors

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class KnownContext:
    """What is known of a patient in the terms of the card.

    `ignored` says for people what was sent and could not be taken.
    """

    age_years: float | None = None
    sex: Sex | None = None
    site: BodySite | None = None
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ContextUse:
    """What of the context went into a score, by field, and what was sent but could not be taken."""

    used: Mapping[str, float | str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()

    def as_object(self) -> dict[str, object]:
        """Give it as JSON holds it."""
        return {"used": dict(self.used), "ignored": list(self.ignored)}


def known_context(patient: PatientContext) -> KnownContext:
    """Read a patient's context; a place that is not known is ignored, and said to be.

    Examples
    --------
    >>> known_context(PatientContext(age_years=63, body_site="left forearm")).site
    <BodySite.UPPER_EXTREMITY: 'upper_extremity'>
    >>> known_context(PatientContext(body_site="liver")).ignored
    ("body site 'liver' is no place on the skin that is known",)
    """
    site = site_of(patient.body_site)
    ignored = patient.ignored
    if patient.body_site and site is None:
        ignored += (f"body site {patient.body_site[:80]!r} is no place on the skin that is known",)
    return KnownContext(patient.age_years, patient.sex, site, ignored)


def log_ratios(known: KnownContext, factors: PatientFactors, n_classes: int) -> Floats:
    """Sum up what the known fields say for and against each class.

    Parameters
    ----------
    known : KnownContext
    factors : PatientFactors
        From the model's card.
    n_classes : int

    Returns
    -------
    (n_classes,) float64, nats
        Exactly zero where nothing is known.
    """
    total = np.zeros(n_classes)
    for term in factors.terms:
        row = _row(known, term)
        if row is not None:
            total += row
    return total


def fuse(probabilities: Floats, ratios: Floats) -> Floats:
    """Multiply probabilities by factors and make them sum to 1 again.

    Parameters
    ----------
    probabilities : (..., n_classes) float64
        Of the picture alone.
    ratios : (..., n_classes) float64, nats
        From :func:`log_ratios`.

    Returns
    -------
    (..., n_classes) float64
        The very probabilities given where all ratios are zero.

    Notes
    -----
    With ``p = softmax(logits / T)`` it is ``softmax(logits / T + ratios)``, whatever the temperature and
    however a study's frames were pooled.

    Examples
    --------
    >>> fuse(np.array([0.5, 0.5]), np.log([3.0, 1.0]))
    array([0.75, 0.25])
    """
    if not ratios.any():
        return probabilities
    weighed = probabilities * np.exp(ratios - ratios.max(axis=-1, keepdims=True))
    return np.asarray(weighed / weighed.sum(axis=-1, keepdims=True), np.float64)


def context_use(known: KnownContext, factors: PatientFactors) -> ContextUse:
    """Say which values count in a model's score, and what was ignored."""
    values: dict[str, float | str | None] = {
        "age": known.age_years,
        "sex": None if known.sex is None else str(known.sex),
        "site": None if known.site is None else str(known.site),
    }
    used: dict[str, float | str] = {}
    for term in factors.terms:
        value = values[term.field]
        if value is not None and _row(known, term) is not None:
            used[term.field] = value
    return ContextUse(used, known.ignored)


def _row(known: KnownContext, term: ContextTerm) -> Floats | None:
    """Give a term's numbers for what is known, None where it has none."""
    if term.field == "age":
        return None if known.age_years is None else _at_age(known.age_years, term)
    named = (known.sex,) if term.field == "sex" else (known.site, known.site and known.site.region)
    for level in named:
        if level is not None and level in term.levels:
            return np.array(term.log_ratios[term.levels.index(level)])
    return None


def _at_age(age_years: float, term: ContextTerm) -> Floats:
    ages = [float(level) for level in term.levels]
    return np.array([np.interp(age_years, ages, column) for column in zip(*term.log_ratios, strict=True)])
