import numpy as np
import pytest

from models.aims import Aim, threshold_for


def test_the_balanced_point_has_the_largest_sum_of_both() -> None:
    draws = np.random.default_rng(5)
    scores, is_positive = draws.random(300), draws.random(300) < 0.3
    scores = np.where(is_positive, scores**0.5, scores)

    threshold = threshold_for(Aim("balanced", ("ill",)), scores, is_positive)

    def both(limit: float) -> float:
        called = scores >= limit
        return float(called[is_positive].mean() + (~called[~is_positive]).mean())

    assert both(threshold) == pytest.approx(max(both(limit) for limit in scores))
