"""Calibration against SciPy, scikit-learn and what can be counted by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import minimize_scalar
from scipy.special import softmax as scipy_softmax
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from models.calibration import (
    TEMPERATURE_RANGE,
    classwise_calibration_error,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    reliability_curve,
    score_of,
    sensitivity_specificity,
    softmax,
    threshold_for_sensitivity,
    threshold_for_specificity,
    wilson_interval,
)

LOGITS = hnp.arrays(np.float64, st.tuples(st.integers(1, 20), st.integers(2, 6)), elements=st.floats(-80, 80))
SCORES = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=60).filter(
    lambda rows: len({positive for _, positive in rows}) == 2
)


def overconfident(n: int = 2000, true_temperature: float = 2.5) -> tuple[np.ndarray, np.ndarray]:
    """Draw labels from softened logits, so that the right temperature is known."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 4, (n, 5))
    chances = scipy_softmax(logits / true_temperature, axis=1)
    labels = (random.random((n, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    return logits, labels


@given(LOGITS, st.floats(0.05, 20))
def test_softmax_is_scipys(logits: np.ndarray, temperature: float) -> None:
    np.testing.assert_allclose(
        softmax(logits, temperature), scipy_softmax(logits / temperature, axis=-1), atol=1e-12
    )


@given(LOGITS, st.floats(0.05, 20))
def test_a_temperature_never_changes_which_class_is_first(logits: np.ndarray, temperature: float) -> None:
    probabilities = softmax(logits, temperature)
    top = probabilities.max(axis=1)
    assert np.allclose(probabilities[np.arange(len(logits)), logits.argmax(axis=1)], top, atol=1e-12)


def test_huge_logits_neither_overflow_nor_vanish() -> None:
    assert softmax(np.array([[1e30, 0.0]])).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_that_is_not_above_zero_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature"):
        softmax(np.zeros((1, 2)), temperature)


def test_the_likelihood_is_scikit_learns_log_loss() -> None:
    logits, labels = overconfident(300)
    expected = log_loss(labels, softmax(logits, 1.7), labels=range(5))
    assert negative_log_likelihood(logits, labels, 1.7) == pytest.approx(expected, rel=1e-9)


def test_the_temperature_is_the_one_that_labels_were_drawn_with() -> None:
    logits, labels = overconfident(20_000)
    assert fit_temperature(logits, labels) == pytest.approx(2.5, rel=0.05)


def test_the_temperature_is_the_one_scipy_finds() -> None:
    logits, labels = overconfident()
    found = minimize_scalar(
        lambda log_t: log_loss(labels, scipy_softmax(logits / np.exp(log_t), axis=1), labels=range(5)),
        bounds=(-3, 3),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert fit_temperature(logits, labels) == pytest.approx(float(np.exp(found.x)), rel=1e-4)


def test_scaling_the_logits_scales_the_temperature() -> None:
    logits, labels = overconfident()
    assert fit_temperature(3 * logits, labels) == pytest.approx(3 * fit_temperature(logits, labels), rel=1e-6)


def test_calibration_brings_the_error_down() -> None:
    logits, labels = overconfident()
    before = expected_calibration_error(softmax(logits), labels)
    after = expected_calibration_error(softmax(logits, fit_temperature(logits, labels)), labels)
    assert before > 0.1
    assert after < 0.03


def test_logits_without_an_error_or_without_use_end_near_a_border() -> None:
    perfect = np.array([[5.0, 0.0], [0.0, 5.0]])
    assert fit_temperature(perfect, np.array([0, 1])) < 4 * TEMPERATURE_RANGE[0]
    assert fit_temperature(perfect, np.array([1, 0])) == pytest.approx(TEMPERATURE_RANGE[1])


@given(LOGITS)
@settings(max_examples=40, deadline=None)
def test_no_other_temperature_of_the_range_is_more_likely(logits: np.ndarray) -> None:
    labels = np.arange(len(logits)) % logits.shape[1]
    best = negative_log_likelihood(logits, labels, fit_temperature(logits, labels))
    for other in np.geomspace(*TEMPERATURE_RANGE, 25):
        assert best <= negative_log_likelihood(logits, labels, float(other)) + 1e-6 * (1 + best)


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (np.zeros((3, 2)), np.array([0, 1])),
        (np.zeros((2, 2)), np.array([0, 2])),
        (np.zeros((2, 2)), np.array([-1, 0])),
        (np.zeros((0, 2)), np.array([], np.int64)),
        (np.array([[np.nan, 0.0]]), np.array([0])),
    ],
)
def test_labels_and_logits_that_do_not_fit_are_refused(logits: np.ndarray, labels: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"shapes disagree|labels reach|not all finite"):
        fit_temperature(logits, labels)


def test_the_reliability_curve_is_scikit_learns() -> None:
    random = np.random.default_rng(1)
    predicted = random.random(3000)
    came_true = random.random(3000) < predicted**2
    curve = reliability_curve(predicted, came_true, n_bins=10)
    observed, mean_predicted = calibration_curve(came_true, predicted, n_bins=10)
    np.testing.assert_allclose(curve.observed, observed)
    np.testing.assert_allclose(curve.predicted, mean_predicted)
    assert curve.n.sum() == 3000


def test_bins_of_equal_mass_hold_equally_many() -> None:
    predicted = np.random.default_rng(2).random(100) ** 4
    curve = reliability_curve(predicted, predicted > 0.5, n_bins=10, equal_mass=True)
    assert curve.n.tolist() == [10] * 10


def test_the_calibration_error_can_be_counted_by_hand() -> None:
    # two at .95, one right: |.5 - .95|; two at .55, both right: |1 - .55|; weights one half each
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.55, 0.45], [0.55, 0.45]])
    labels = np.array([0, 1, 0, 0])
    assert expected_calibration_error(probabilities, labels) == pytest.approx(0.45)


def test_zero_and_one_fall_into_the_first_and_the_last_bin() -> None:
    curve = reliability_curve(np.array([0.0, 0.1, 1.0]), np.array([False, False, True]), n_bins=10)
    assert curve.n.tolist() == [2, 1]


def test_each_class_has_an_error_of_its_own() -> None:
    probabilities = np.array([[0.8, 0.1, 0.1]] * 10)
    labels = np.array([0] * 8 + [2] * 2)
    np.testing.assert_allclose(
        classwise_calibration_error(probabilities, labels), [0.0, 0.1, 0.1], atol=1e-12
    )


def test_a_score_is_the_sum_of_the_classes_that_count() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    np.testing.assert_allclose(score_of(probabilities, [0, 2]), [0.7, 0.9])
    assert float(score_of(probabilities[0], [1])) == pytest.approx(0.3)
    for indices in ([], [1, 1]):
        with pytest.raises(ValueError, match="empty or repeat"):
            score_of(probabilities, indices)


@given(SCORES, st.floats(0.01, 1.0))
@settings(deadline=None)
def test_the_threshold_gives_the_sensitivity_and_no_higher_one_does(
    rows: list[tuple[float, bool]], wanted: float
) -> None:
    scores = np.array([score for score, _ in rows])
    positive = np.array([is_positive for _, is_positive in rows])
    threshold = threshold_for_sensitivity(scores, positive, wanted)
    assert sensitivity_specificity(scores, positive, threshold).sensitivity.value >= wanted - 1e-9
    above = scores[scores > threshold]
    if above.size:  # one step past the next score above, too few positives are left
        passed = float(np.nextafter(above.min(), 2))
        assert sensitivity_specificity(scores, positive, passed).sensitivity.value < wanted - 1e-9


@given(SCORES, st.floats(0.01, 1.0))
@settings(deadline=None)
def test_the_threshold_gives_the_specificity_and_no_lower_one_does(
    rows: list[tuple[float, bool]], wanted: float
) -> None:
    scores = np.array([score for score, _ in rows])
    positive = np.array([is_positive for _, is_positive in rows])
    threshold = threshold_for_specificity(scores, positive, wanted)
    assert sensitivity_specificity(scores, positive, threshold).specificity.value >= wanted - 1e-9
    below = scores[scores < threshold]
    if below.size:
        assert sensitivity_specificity(scores, positive, float(below.max())).specificity.value < wanted - 1e-9


def test_a_threshold_lies_between_two_scores_and_not_on_one() -> None:
    scores = np.array([0.1, 0.3, 0.5, 0.9])
    positive = np.array([False, False, True, True])
    assert threshold_for_sensitivity(scores, positive, 1.0) == pytest.approx(0.4)
    assert threshold_for_sensitivity(scores, positive, 0.5) == pytest.approx(0.7)
    assert threshold_for_specificity(scores, positive, 0.5) == pytest.approx(0.2)


def test_nine_tenths_of_ten_are_nine() -> None:
    scores = np.linspace(0.0, 1.0, 20)
    positive = np.arange(20) % 2 == 1
    threshold = threshold_for_sensitivity(scores, positive, 0.9)
    assert sensitivity_specificity(scores, positive, threshold).sensitivity.value == pytest.approx(0.9)


def test_scores_of_one_kind_have_no_threshold() -> None:
    with pytest.raises(ValueError, match="some of each"):
        threshold_for_sensitivity(np.array([0.1, 0.2]), np.array([True, True]), 0.9)
    with pytest.raises(ValueError, match="sensitivity is 0"):
        threshold_for_sensitivity(np.array([0.1, 0.2]), np.array([True, False]), 0.0)


@pytest.mark.parametrize(("n_hits", "n"), [(0, 1), (1, 1), (3, 10), (10, 10), (0, 500), (499, 500)])
def test_the_interval_is_scipys_wilson_interval(n_hits: int, n: int) -> None:
    expected = binomtest(n_hits, n).proportion_ci(method="wilson")
    interval = wilson_interval(n_hits, n)
    assert interval.low == pytest.approx(expected.low, abs=1e-12)
    assert interval.high == pytest.approx(expected.high, abs=1e-12)


def test_a_proportion_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="not a proportion"):
        wilson_interval(0, 0)
