"""The model's worst errors for its card, as rows of a table: whom it would let wait, whom hurry for nothing.

No picture of a data set goes into a card: most sets may not be handed on, and none is copied into the
project. A row names the image, which whoever has the set can open.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.calibration import score_of
from models.card import ModelCard
from training.markdown import table
from training.units import Judged

N_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Failure:
    """An image or study that was called wrong at an operating point.

    `score` is the summed probability of the classes that the point flags, `called` the likeliest class and
    `called_probability` its own.
    """

    name: str
    truth: str
    called: str
    called_probability: float
    score: float


@dataclass(frozen=True, slots=True)
class Failures:
    """The worst of those missed and of those flagged for nothing, and how many there are of how many."""

    missed: tuple[Failure, ...]
    n_missed: int
    n_positive: int
    false_alarms: tuple[Failure, ...]
    n_false_alarms: int
    n_negative: int


def find_failures(card: ModelCard, judged: Judged, *, n_shown: int = N_SHOWN) -> Failures:
    """Find the positives with the lowest and the negatives with the highest score beyond the threshold.

    Parameters
    ----------
    card : ModelCard
        Its default operating point decides.
    judged : Judged
        What is said of units that did not train.
    n_shown : int
        So many of each are given, the worst first.
    """
    point = next(one for one in card.operating_points if one.name == card.default_operating_point)
    places = [card.class_keys.index(key) for key in point.classes]
    scores = score_of(judged.probabilities, places)
    is_positive = np.isin(judged.labels, places)
    is_flagged = scores >= point.threshold
    missed = np.flatnonzero(is_positive & ~is_flagged)
    alarms = np.flatnonzero(~is_positive & is_flagged)

    def worst(rows: np.ndarray[tuple[int], np.dtype[np.intp]]) -> tuple[Failure, ...]:
        called = judged.probabilities.argmax(axis=1)
        return tuple(
            Failure(
                name=str(judged.names[row]),
                truth=card.class_keys[judged.labels[row]],
                called=card.class_keys[called[row]],
                called_probability=float(judged.probabilities[row, called[row]]),
                score=float(scores[row]),
            )
            for row in rows[:n_shown]
        )

    return Failures(
        missed=worst(missed[np.argsort(scores[missed], kind="stable")]),
        n_missed=len(missed),
        n_positive=int(is_positive.sum()),
        false_alarms=worst(alarms[np.argsort(-scores[alarms], kind="stable")]),
        n_false_alarms=len(alarms),
        n_negative=int((~is_positive).sum()),
    )


def section(card: ModelCard, failures: Failures) -> str:
    """Give the card's part on failures as Markdown."""
    positive = f"{failures.n_missed} of {failures.n_positive} dangerous ones fall below the threshold"
    negative = f"{failures.n_false_alarms} of {failures.n_negative} others are flagged"
    return "\n\n".join(
        [
            "## Failures",
            (
                f"At the operating point {card.default_operating_point!r}, on what was measured: {positive}, "
                f"{negative}. The worst of each, by the set's name for the image (of a study, its first). "
                "There are no pictures here: no image of a data set is copied into a card."
            ),
            "Missed, the least suspected first:",
            _rows(failures.missed),
            "Flagged for nothing, the most suspected first:",
            _rows(failures.false_alarms),
        ]
    )


def _rows(failures: Sequence[Failure]) -> str:
    if not failures:
        return "None."
    head = ("image", "truth", "called", "its probability", "summed probability of the flagged classes")
    return table(
        head,
        [
            (f"`{one.name}`", one.truth, one.called, f"{one.called_probability:.3f}", f"{one.score:.4f}")
            for one in failures
        ],
    )
