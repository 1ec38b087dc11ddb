import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.card import Interval, OperatingPoint
from serving.scoring.score import flagged_classes

MEASURED = Interval(value=0.9, low=0.8, high=1.0, n=100)


def point(threshold: float) -> OperatingPoint:
    return OperatingPoint(
        name="balanced",
        classes=("akiec", "bcc", "mel"),
        threshold=threshold,
        sensitivity=MEASURED,
        specificity=MEASURED,
        chosen_on="fold 1",
    )


@pytest.mark.parametrize(
    ("akiec", "bcc", "mel", "flagged"),
    [
        (0.02, 0.01, 0.55, {"mel"}),  # a class with no part in the sum is not flagged with it
        (0.20, 0.01, 0.55, {"akiec", "mel"}),
        (0.06, 0.05, 0.04, {"akiec"}),  # only their sum reaches it: the likeliest stands for it
        (0.04, 0.04, 0.05, set()),
    ],
)
def test_the_classes_that_bring_a_study_to_the_threshold_are_flagged(
    akiec: float, bcc: float, mel: float, flagged: set[str]
) -> None:
    assert flagged_classes(point(0.14), {"akiec": akiec, "bcc": bcc, "mel": mel, "nv": 0.3}) == flagged


@given(*(st.floats(0.0, 1.0) for _ in range(4)))
def test_something_is_flagged_exactly_when_the_sum_reaches_the_threshold(
    akiec: float, bcc: float, mel: float, threshold: float
) -> None:
    flagged = flagged_classes(point(threshold), {"akiec": akiec, "bcc": bcc, "mel": mel})

    assert bool(flagged) == (akiec + bcc + mel >= threshold)
