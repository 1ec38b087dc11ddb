"""Shows in CARD.md what of a patient counts beside the picture, how much, and what it gives."""

from collections.abc import Sequence

import numpy as np

from models.card import ModelCard, PatientFactors
from training import markdown

_TITLE = "## Patient's context"
_THRESHOLDS = (
    "Thresholds are chosen by the picture alone, for a study may come without context. With it they give:"
)
_AGES = "Part of the dangerous that the point 'balanced' finds, by age:"
_COMPARED = ("with context", "less that of the picture alone (95 % interval)")
_CAUTION = (
    "The factors are those of this set's patients and of how its images came together (who was photographed "
    "where, at what age, in which clinic), not of any other population, and a disease in an unusual patient "
    "is moved down. Factors by field and level; ages between two levels lie between their factors:"
)


def section(card: ModelCard) -> str:
    """Give the card's part on the patient's context as Markdown."""
    factors = card.context
    if factors is None or not factors.terms:
        return f"{_TITLE}\n\nThe model looks at the picture alone.{_left_out(factors)}"
    used = " and ".join(term.field for term in factors.terms)
    introduction = (
        f"Where they are known, {used} multiply the picture's probabilities; each may be absent and then "
        f"changes nothing. Fitted on {factors.n} images ({factors.fitted_on}).{_left_out(factors)}"
    )
    points = [
        (point.name, markdown.figure(point.sensitivity), markdown.figure(point.specificity))
        for point in factors.operating_points
    ]
    parts = [_TITLE, introduction, _gains(factors)]
    if by_age := _by_age(factors):
        parts += [_AGES, by_age]
    if points:
        parts += [_THRESHOLDS, markdown.table(("point", "sensitivity", "specificity"), points)]
    return "\n\n".join([*parts, _CAUTION, _levels(factors, card.class_keys)])


def _left_out(factors: PatientFactors | None) -> str:
    if factors is None or not factors.left_out:
        return ""
    return f" Tried and left out, for it did not pay: {', '.join(factors.left_out)}."


def _by_age(factors: PatientFactors) -> str:
    figure_of = {(metric.group, metric.name): metric.figure for metric in factors.metrics}
    rows = [
        (
            group.removeprefix("with context, "),
            markdown.figure(figure),
            markdown.figure(figure_of[group, f"{name}_gain"], sign="+"),
        )
        for (group, name), figure in figure_of.items()
        if group != "with context" and (group, f"{name}_gain") in figure_of
    ]
    return markdown.table(("age in years", *_COMPARED), rows) if rows else ""


def _gains(factors: PatientFactors) -> str:
    figure_of = {metric.name: metric.figure for metric in factors.metrics if metric.group == "with context"}
    rows = [
        (
            name.replace("_", " "),
            markdown.figure(figure),
            markdown.figure(figure_of[f"{name}_gain"], sign="+"),
        )
        for name, figure in figure_of.items()
        if f"{name}_gain" in figure_of
    ]
    return markdown.table(("figure", *_COMPARED), rows)


def _levels(factors: PatientFactors, class_keys: Sequence[str]) -> str:
    rows = [
        (term.field, level.replace("_", " "), *(f"{np.exp(value):.2f}" for value in row))
        for term in factors.terms
        for level, row in zip(term.levels, term.log_ratios, strict=True)
    ]
    return markdown.table(("field", "level", *class_keys), rows)
