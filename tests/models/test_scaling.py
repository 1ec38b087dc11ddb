import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.optimize import minimize

from models.calibration import (
    TEMPERATURE_RANGE,
    classwise_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    softmax,
)
from models.card import Calibration, ModelCard, Pooling, PoolingParameters
from models.pooling import study_probabilities
from models.scaling import Scaling, fit_scaling
from tests.tiny_model import tiny_card

SOME = np.array([False, True, True])
FRAMES = np.array([[2.0, 0.0, -1.0], [0.5, 1.5, 0.0], [-1.0, 0.25, 3.0]])
OFFSETS = (0.75, -0.5, -0.25)


def balanced_by_training(
    n: int = 4000, *, shares: tuple[float, ...] = (0.8, 0.15, 0.05)
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Draw labels as common as `shares`, and logits of a network that takes them for equally common.

    Given its class a sample's evidence is normal, so the true log-odds are the logits plus ``log(shares)``.
    """
    draws = np.random.default_rng(5)
    labels = draws.choice(3, size=n, p=shares)
    middles = 2.0 * np.eye(3)
    evidence = middles[labels] + draws.normal(0.0, 1.0, (n, 3))
    return evidence @ middles.T, labels


def test_offsets_give_rare_classes_back_the_frequency_that_training_took_from_them() -> None:
    logits, labels = balanced_by_training()

    scaling = fit_scaling(logits, labels)

    true = np.log([0.8, 0.15, 0.05])
    assert scaling.temperature == pytest.approx(1.0, rel=0.1)
    assert scaling.offsets == pytest.approx(true - true.mean(), abs=0.2)
    assert sum(scaling.offsets) == pytest.approx(0.0, abs=1e-12)


def test_offsets_mend_what_no_temperature_can() -> None:
    logits, labels = balanced_by_training()
    others, truth = logits[::2], labels[::2]

    scaling = fit_scaling(logits[1::2], labels[1::2])

    alone = softmax(others, fit_temperature(logits[1::2], labels[1::2]))
    assert classwise_calibration_error(alone, truth).max() > 0.08
    assert classwise_calibration_error(scaling.probabilities(others), truth).max() < 0.03


def test_the_numbers_are_those_that_scipy_finds() -> None:
    logits, labels = balanced_by_training(500)

    def loss(numbers: NDArray[np.float64]) -> float:
        likelihood = negative_log_likelihood(numbers[0] * logits + numbers[1:], labels)
        return 500 * likelihood + float(numbers[1:] @ numbers[1:]) / 2.0

    theirs = minimize(loss, np.array([1.0, 0.0, 0.0, 0.0]), tol=1e-10)
    ours = fit_scaling(logits, labels)

    assert 1.0 / ours.temperature == pytest.approx(theirs.x[0], rel=1e-4)
    assert ours.offsets == pytest.approx(theirs.x[1:], abs=1e-4)


@given(arrays(np.float64, (12, 3), elements=st.floats(-30, 30, allow_nan=False)))
@settings(max_examples=60, deadline=None)
def test_no_temperature_alone_is_likelier_than_temperature_and_offsets(logits: NDArray[np.float64]) -> None:
    labels = np.arange(12) % 3

    scaling = fit_scaling(logits, labels)
    alone = negative_log_likelihood(logits, labels, fit_temperature(logits, labels))

    coldest, hottest = TEMPERATURE_RANGE
    assert coldest * (1 - 1e-9) <= scaling.temperature <= hottest * (1 + 1e-9)
    assert negative_log_likelihood(scaling.logits(logits), labels) <= alone + 1e-6


def test_a_class_that_is_not_there_has_a_finite_offset_and_little_probability() -> None:
    logits, labels = balanced_by_training()
    rows = labels != 2

    scaling = fit_scaling(logits[rows], labels[rows])

    assert np.isfinite(scaling.offsets).all()
    assert scaling.probabilities(logits[rows])[:, 2].mean() < 0.01


def test_logits_that_separate_the_classes_give_finite_numbers() -> None:
    logits = np.array([[5.0, 0.0], [0.0, 5.0], [6.0, 0.0], [0.0, 6.0]])

    scaling = fit_scaling(logits, np.array([0, 1, 0, 1]))

    assert TEMPERATURE_RANGE[0] <= scaling.temperature < 4 * TEMPERATURE_RANGE[0]
    assert scaling.offsets == pytest.approx((0.0, 0.0), abs=1e-6)


@pytest.mark.parametrize("pooling", list(Pooling))
@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.5])
def test_a_card_without_offsets_scores_the_same_bits_as_a_temperature(
    pooling: Pooling, temperature: float
) -> None:
    scaling = Scaling.of(Calibration.model_validate(tiny_calibration(temperature=temperature)))

    np.testing.assert_array_equal(scaling.logits(FRAMES), FRAMES / temperature)
    np.testing.assert_array_equal(scaling.probabilities(FRAMES), softmax(FRAMES, temperature))
    if pooling is Pooling.MEAN_LOGITS:
        pooled = study_probabilities(FRAMES, pooling=pooling, scaling=scaling, is_finding=SOME)
        np.testing.assert_array_equal(pooled, softmax(FRAMES.mean(axis=0), temperature))


@pytest.mark.parametrize("pooling", list(Pooling))
def test_every_pooling_takes_calibrated_frames(pooling: Pooling) -> None:
    scaling = Scaling(1.5, OFFSETS)
    parameters = PoolingParameters(sharpness=1.0, scale=1.2, bias=0.3)

    def pooled(frames: NDArray[np.float64], by: Scaling) -> NDArray[np.float64]:
        return study_probabilities(
            frames, pooling=pooling, scaling=by, is_finding=SOME, parameters=parameters
        )

    np.testing.assert_allclose(pooled(FRAMES, scaling), pooled(scaling.logits(FRAMES), Scaling()))


def test_softening_divides_offsets_too() -> None:
    softer = Scaling(1.5, OFFSETS).softened(2.0)

    np.testing.assert_allclose(softer.logits(FRAMES), Scaling(1.5, OFFSETS).logits(FRAMES) / 2.0)


def tiny_calibration(**changes: object) -> dict[str, object]:
    fields = tiny_card()["calibration"]
    assert isinstance(fields, dict)
    return fields | changes


def test_a_card_is_written_as_before_where_it_has_no_offsets() -> None:
    plain = Calibration.model_validate(tiny_calibration())

    assert {"offsets", "shares"}.isdisjoint(plain.model_dump(mode="json"))
    assert plain.method == "temperature"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"offsets": [0.1, -0.1]}, "method 'temperature' does not go with 2 offsets"),
        ({"method": "bias-corrected temperature"}, "does not go with 0 offsets"),
        (
            {"method": "bias-corrected temperature", "offsets": [0.1, float("inf")]},
            "finite number",
        ),
        ({"method": "bias-corrected temperature", "offsets": [0.1] * 3}, "each of 2 classes"),
        ({"shares": [1.0]}, "each of 2 classes"),
    ],
)
def test_offsets_that_do_not_fit_the_card_are_refused(changes: dict[str, object], problem: str) -> None:
    fields = tiny_card() | {"onnx_sha256": "0" * 64, "calibration": tiny_calibration(**changes)}

    with pytest.raises(ValidationError, match=problem):
        ModelCard.model_validate(fields)
