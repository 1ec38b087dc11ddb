import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from models.calibration import softmax
from models.card import Pooling, PoolingParameters
from models.pooling import SHARPNESSES, fit_pooling, frame_evidence, study_probabilities
from models.scaling import Scaling

LOGITS = arrays(
    np.float64, st.tuples(st.integers(1, 12), st.just(4)), elements=st.floats(-40, 40, allow_nan=False)
)
SOME = np.array([False, True, True, False])
ALL = np.ones(4, np.bool_)


@pytest.mark.parametrize("is_finding", [SOME, ALL])
@pytest.mark.parametrize("pooling", list(Pooling))
@given(logits=LOGITS)
def test_every_pooling_gives_a_distribution(
    pooling: Pooling, is_finding: NDArray[np.bool_], logits: NDArray[np.float64]
) -> None:
    pooled = study_probabilities(logits, pooling=pooling, scaling=Scaling(1.5), is_finding=is_finding)

    assert pooled.sum() == pytest.approx(1.0)
    assert (pooled >= 0).all()


@pytest.mark.parametrize("pooling", list(Pooling))
def test_one_frame_is_the_study(pooling: Pooling) -> None:
    logits = np.array([[0.5, 1.0, -1.0, 0.25]])

    pooled = study_probabilities(logits, pooling=pooling, scaling=Scaling(2.0), is_finding=SOME)

    np.testing.assert_allclose(pooled, softmax(logits[0], 2.0), atol=1e-12)


@given(logits=LOGITS)
def test_another_witness_never_makes_a_study_less_suspicious(logits: NDArray[np.float64]) -> None:
    def suspicion(frames: NDArray[np.float64]) -> float:
        pooled = study_probabilities(frames, pooling=Pooling.NOISY_OR, scaling=Scaling(), is_finding=SOME)
        return float(pooled[SOME].sum())

    assert suspicion(logits) >= suspicion(logits[:-1] if len(logits) > 1 else logits) - 1e-9


def test_the_worst_frame_is_the_one_with_the_most_evidence() -> None:
    logits = np.array([[4.0, 0.0, 0.0, 0.0], [0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])

    pooled = study_probabilities(logits, pooling=Pooling.WORST_FRAME, scaling=Scaling(), is_finding=SOME)

    np.testing.assert_allclose(pooled, softmax(logits[1]))
    assert frame_evidence(softmax(logits), SOME).argmax() == 1


def test_a_study_without_frames_has_no_score() -> None:
    with pytest.raises(ValueError, match="frame_logits"):
        study_probabilities(np.empty((0, 4)), pooling=Pooling.MEAN_LOGITS, scaling=Scaling(), is_finding=SOME)


NOTHING_OR_BLEED = np.array([False, True])


def binary(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([-log_odds / 2, log_odds / 2], axis=-1)


def attend(logits: NDArray[np.float64], parameters: PoolingParameters) -> NDArray[np.float64]:
    return study_probabilities(
        logits, pooling=Pooling.ATTENTION, scaling=Scaling(), is_finding=SOME, parameters=parameters
    )


@given(logits=LOGITS, sharpness=st.floats(0, 8), n_times=st.integers(2, 4))
def test_attention_is_the_same_when_every_slice_is_shown_several_times(
    logits: NDArray[np.float64], sharpness: float, n_times: int
) -> None:
    parameters = PoolingParameters(sharpness=sharpness)
    thin = np.repeat(logits, n_times, axis=0)

    np.testing.assert_allclose(attend(thin, parameters), attend(logits, parameters), atol=1e-9)


def test_many_slices_of_little_evidence_make_noisy_or_sure_and_attention_not() -> None:
    slices = np.log(np.array([[0.9, 0.1]] * 40))

    def bleed(pooling: Pooling) -> float:
        pooled = study_probabilities(slices, pooling=pooling, scaling=Scaling(), is_finding=NOTHING_OR_BLEED)
        return float(pooled[1])

    assert bleed(Pooling.NOISY_OR) == pytest.approx(1 - 0.9**40)  # .985
    assert bleed(Pooling.ATTENTION) == pytest.approx(0.1)


def test_attention_lies_between_the_mean_and_the_worst_frame() -> None:
    slices = binary(np.array([-3.0, -2.0, 0.5, 2.0]))
    mean, worst = (
        study_probabilities(slices, pooling=pooling, scaling=Scaling(), is_finding=NOTHING_OR_BLEED)
        for pooling in (Pooling.MEAN_LOGITS, Pooling.WORST_FRAME)
    )
    pooled = [
        study_probabilities(
            slices,
            pooling=Pooling.ATTENTION,
            scaling=Scaling(),
            is_finding=NOTHING_OR_BLEED,
            parameters=PoolingParameters(sharpness=sharpness),
        )[1]
        for sharpness in (*SHARPNESSES, 200.0)
    ]

    assert pooled[0] == pytest.approx(mean[1])
    assert pooled[-1] == pytest.approx(worst[1])
    assert pooled == sorted(pooled)


def test_scale_and_bias_act_on_the_log_odds_of_the_study() -> None:
    slices = np.log(np.array([[0.8, 0.1, 0.05, 0.05]]))

    pooled = attend(slices, PoolingParameters(scale=2.0, bias=0.5))

    odds = 2.0 * np.log(0.15 / 0.85) + 0.5
    assert pooled[SOME].sum() == pytest.approx(1 / (1 + np.exp(-odds)))
    assert pooled[1] / pooled[2] == pytest.approx(2.0)
    assert pooled[0] / pooled[3] == pytest.approx(16.0)


@given(seed=st.integers(0, 100))
@settings(max_examples=10, deadline=None)
def test_scale_and_bias_are_those_of_scikit_learns_logistic_regression(seed: int) -> None:
    draws = np.random.default_rng(seed)
    is_positive = np.arange(40) % 2 == 0
    one_slice = draws.normal(0, 1.5, 40) + 3 * is_positive

    fitted = fit_pooling(
        [binary(one_slice[row : row + 1]) for row in range(40)],
        is_positive,
        is_finding=NOTHING_OR_BLEED,
        scaling=Scaling(),
    )

    standard = (one_slice - one_slice.mean()) / one_slice.std()
    reference = LogisticRegression(C=2.5**2, tol=1e-10).fit(standard[:, None], is_positive)
    scale = reference.coef_[0, 0] / one_slice.std()
    assert fitted.scale == pytest.approx(scale, rel=1e-4)
    assert fitted.bias == pytest.approx(reference.intercept_[0] - scale * one_slice.mean(), abs=1e-4)
    assert fitted.n == 40


def test_a_small_bleed_in_many_slices_asks_for_a_sharp_look_and_a_diffuse_one_for_the_mean() -> None:
    draws = np.random.default_rng(1)
    is_positive = np.arange(64) % 2 == 0

    def fitted(n_slices_with: int, strength: float) -> float:
        studies = []
        for positive in is_positive:
            log_odds = draws.normal(-2, 1, 32)
            log_odds[: n_slices_with * positive] += strength
            studies.append(binary(log_odds))
        return fit_pooling(studies, is_positive, is_finding=NOTHING_OR_BLEED, scaling=Scaling()).sharpness

    assert fitted(1, 6.0) >= 1.0
    assert fitted(32, 0.6) <= 0.25


def test_studies_that_a_threshold_separates_give_a_finite_scale() -> None:
    is_positive = np.array([True, True, False, False])
    studies = [binary(np.full(3, level)) for level in (4.0, 3.0, -3.0, -4.0)]

    fitted = fit_pooling(
        studies, is_positive, is_finding=NOTHING_OR_BLEED, scaling=Scaling(), fitted_on="four"
    )

    assert 0 < fitted.scale < 10
    assert fitted.fitted_on == "four"


@pytest.mark.parametrize(
    ("levels", "labels", "problem"),
    [
        ((1.0, 2.0, 3.0), (True, True, False), "2 positive and 1 negative"),
        ((1.0, 2.0), (True, True, False, False), "2 studies"),
        ((-1.0, -2.0, 2.0, 1.0), (True, True, False, False), "the frames say nothing"),
    ],
)
def test_studies_that_teach_nothing_are_refused(
    levels: tuple[float, ...], labels: tuple[bool, ...], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        fit_pooling(
            [binary(np.full(2, level)) for level in levels],
            np.array(labels),
            is_finding=NOTHING_OR_BLEED,
            scaling=Scaling(),
        )
