import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as reference

from models.measures import (
    accuracy,
    auc,
    auc_of_classes,
    balanced_accuracy,
    bootstrap_interval,
    confusion_matrix,
    even_handed_classes,
    macro_auc,
    recall_of_classes,
    roc_curve,
)


def _drawn(seed: int, n: int = 200, n_classes: int = 4) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    draws = np.random.default_rng(seed)
    labels = draws.integers(n_classes, size=n)
    # Rounded, so that there are ties.
    probabilities = draws.dirichlet(np.ones(n_classes), size=n).round(2)
    return labels, probabilities / probabilities.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(5))
def test_figures_agree_with_scikit_learn(seed: int) -> None:
    labels, probabilities = _drawn(seed)
    predicted = probabilities.argmax(axis=1).astype(np.int64)

    assert accuracy(labels, predicted) == pytest.approx(reference.accuracy_score(labels, predicted))
    assert balanced_accuracy(labels, predicted, 4) == pytest.approx(
        reference.balanced_accuracy_score(labels, predicted)
    )
    assert macro_auc(labels, probabilities) == pytest.approx(
        reference.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    )
    np.testing.assert_array_equal(
        confusion_matrix(labels, predicted, 4), reference.confusion_matrix(labels, predicted)
    )
    np.testing.assert_allclose(
        recall_of_classes(labels, predicted, 4), reference.recall_score(labels, predicted, average=None)
    )


def test_the_area_under_the_roc_curves_corners_is_the_auc() -> None:
    labels, probabilities = _drawn(7)

    false_rate, true_rate = roc_curve(labels == 2, probabilities[:, 2])

    assert np.trapezoid(true_rate, false_rate) == pytest.approx(auc(labels == 2, probabilities[:, 2]))
    assert (false_rate[0], true_rate[0], false_rate[-1], true_rate[-1]) == (0.0, 0.0, 1.0, 1.0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=30))
def test_the_auc_is_the_chance_that_a_positive_outscores_a_negative(rows: list[tuple[bool, int]]) -> None:
    is_positive = np.array([row[0] for row in rows])
    scores = np.array([float(row[1]) for row in rows])
    pairs = [
        1.0 if p > n else 0.5 if p == n else 0.0 for p in scores[is_positive] for n in scores[~is_positive]
    ]

    area = auc(is_positive, scores)

    assert np.isnan(area) if not pairs else area == pytest.approx(np.mean(pairs))


def test_a_class_without_samples_has_no_figure_and_leaves_the_mean_alone() -> None:
    labels = np.array([0, 0, 1, 1])
    predicted = np.array([0, 2, 1, 1])

    assert np.isnan(recall_of_classes(labels, predicted, 3)[2])
    assert balanced_accuracy(labels, predicted, 3) == 0.75
    assert np.isnan(auc_of_classes(labels, np.eye(3)[predicted])[2])


def test_images_of_one_lesion_widen_the_interval_as_if_they_were_one() -> None:
    draws = np.random.default_rng(0)
    lesion_is_right = draws.random(60) < 0.7
    copies = 8
    is_right = np.repeat(lesion_is_right, copies)
    names = np.repeat([f"lesion {number}" for number in range(60)], copies)

    def part_right(rows: NDArray[np.intp]) -> float:
        return float(is_right[rows].mean())

    grouped = bootstrap_interval(part_right, names, n_resamples=400, seed=1)
    loose = bootstrap_interval(part_right, np.arange(is_right.size).astype(str), n_resamples=400, seed=1)

    part = float(lesion_is_right.mean())
    by_lesion = 2 * 1.96 * np.sqrt(part * (1 - part) / 60)
    assert grouped.value == part
    assert grouped.high - grouped.low == pytest.approx(by_lesion, rel=0.2)
    assert loose.high - loose.low < 0.6 * by_lesion


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(3).random(50)
    groups = np.repeat(np.arange(25), 2).astype(str)

    def mean(rows: NDArray[np.intp]) -> float:
        return float(values[rows].mean())

    first, second = (bootstrap_interval(mean, groups, n_resamples=50, seed=5) for _ in range(2))

    assert first == second
    assert first.low <= first.value <= first.high


def test_the_even_handed_decision_has_the_best_balanced_accuracy_where_probabilities_are_true() -> None:
    draws = np.random.default_rng(4)
    shares = np.array([0.7, 0.25, 0.05])
    labels = draws.choice(3, size=6000, p=shares)
    evidence = 1.5 * np.eye(3)[labels] + draws.normal(0.0, 1.0, (6000, 3))
    likelihood = np.exp(1.5 * evidence)  # of each class, but for a factor of the sample
    probabilities = shares * likelihood / (shares * likelihood).sum(axis=1, keepdims=True)

    even = even_handed_classes(probabilities, shares.tolist())

    np.testing.assert_array_equal(even, likelihood.argmax(axis=1))
    likeliest = probabilities.argmax(axis=1)
    assert balanced_accuracy(labels, even, 3) > balanced_accuracy(labels, likeliest, 3) + 0.05
    assert accuracy(labels, even) < accuracy(labels, likeliest)
    for place in range(3):  # nor does leaning to any class help
        leaning = even_handed_classes(probabilities * (1.0 + np.eye(3)[place]), shares.tolist())
        assert balanced_accuracy(labels, leaning, 3) < balanced_accuracy(labels, even, 3)


def test_a_class_without_a_share_is_never_called() -> None:
    assert even_handed_classes(np.array([[0.1, 0.2, 0.7]]), (0.5, 0.5, 0.0)).tolist() == [1]
