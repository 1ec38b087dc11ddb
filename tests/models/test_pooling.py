import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from models.calibration import softmax
from models.card import Pooling
from models.pooling import frame_evidence, study_probabilities

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
    pooled = study_probabilities(logits, pooling=pooling, temperature=1.5, is_finding=is_finding)

    assert pooled.sum() == pytest.approx(1.0)
    assert (pooled >= 0).all()


@pytest.mark.parametrize("pooling", list(Pooling))
def test_one_frame_is_the_study(pooling: Pooling) -> None:
    logits = np.array([[0.5, 1.0, -1.0, 0.25]])

    pooled = study_probabilities(logits, pooling=pooling, temperature=2.0, is_finding=SOME)

    np.testing.assert_allclose(pooled, softmax(logits[0], 2.0), atol=1e-12)


@given(logits=LOGITS)
def test_another_witness_never_makes_a_study_less_suspicious(logits: NDArray[np.float64]) -> None:
    def suspicion(frames: NDArray[np.float64]) -> float:
        pooled = study_probabilities(frames, pooling=Pooling.NOISY_OR, temperature=1.0, is_finding=SOME)
        return float(pooled[SOME].sum())

    assert suspicion(logits) >= suspicion(logits[:-1] if len(logits) > 1 else logits) - 1e-9


def test_the_worst_frame_is_the_one_with_the_most_evidence() -> None:
    logits = np.array([[4.0, 0.0, 0.0, 0.0], [0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])

    pooled = study_probabilities(logits, pooling=Pooling.WORST_FRAME, temperature=1.0, is_finding=SOME)

    np.testing.assert_allclose(pooled, softmax(logits[1]))
    assert frame_evidence(softmax(logits), SOME).argmax() == 1


def test_a_study_without_frames_has_no_score() -> None:
    with pytest.raises(ValueError, match="frame_logits"):
        study_probabilities(np.empty((0, 4)), pooling=Pooling.MEAN_LOGITS, temperature=1.0, is_finding=SOME)
