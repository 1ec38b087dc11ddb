import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from models.aims import Aim, aims_of
from models.card import ModelCard, Pooling
from models.errors import RecalibrationError
from models.measures import auc
from models.recalibration import (
    ScoredStudies,
    fit_study_temperature,
    pooled_probabilities,
    recalibrate,
)
from models.scaling import Scaling
from tests.tiny_model import tiny_card


def card(pooling: Pooling = Pooling.MEAN_LOGITS, *, temperature: float = 1.0) -> ModelCard:
    fields = tiny_card(pooling=pooling, temperature=temperature) | {"onnx_sha256": "0" * 64}
    return ModelCard.model_validate(fields)


def studies(n: int, *, temperature: float, n_frames: int = 1, per_group: int = 2) -> ScoredStudies:
    """Draw studies whose labels come true as often as their logits say at this temperature."""
    draws = np.random.default_rng(11)
    evidence = draws.normal(0.0, 3.0, n)
    probability = 1.0 / (1.0 + np.exp(-2.0 * evidence / temperature))
    frames = evidence[:, None] + draws.normal(0.0, 0.5, (n, n_frames)) * (n_frames > 1)
    return ScoredStudies(
        tuple(np.stack([-row, row], axis=1).astype(np.float32) for row in frames),
        (draws.random(n) < probability).astype(np.int64),
        np.array([f"patient {row // per_group}" for row in range(n)]),
    )


def test_the_temperature_that_made_the_labels_is_found_again() -> None:
    found = recalibrate(card(), studies(4000, temperature=3.0), aims_of(card()), seed=1)

    assert found.scaling.temperature == pytest.approx(3.0, rel=0.1)
    assert found.after.calibration_error.value < 0.03 < found.before.calibration_error.value
    assert found.after.loss.high < found.before.loss.low
    assert not found.keeps_scaling


def test_a_temperature_that_is_right_stays() -> None:
    right = card(temperature=2.0)
    scored = studies(200, temperature=2.0)

    found = recalibrate(right, scored, aims_of(right), seed=1)

    if found.keeps_scaling:
        assert found.scaling.temperature == 2.0
        assert found.after.loss == found.before.loss
    assert found.after.loss.value <= found.before.loss.value


def rare(n: int) -> ScoredStudies:
    """Draw studies of which one in five is malignant, and logits that take both for equally common."""
    draws = np.random.default_rng(3)
    labels = (draws.random(n) < 0.2).astype(np.int64)
    evidence = np.where(labels == 1, 1.0, -1.0) + draws.normal(0.0, 1.5, n)
    log_odds = 2.0 * evidence / 1.5**2
    return ScoredStudies(
        tuple(np.array([[-value / 2, value / 2]], np.float32) for value in log_odds),
        labels,
        np.array([str(row) for row in range(n)]),
    )


def test_classes_that_come_more_rarely_than_in_training_get_offsets() -> None:
    found = recalibrate(card(), rare(1500), aims_of(card()), seed=1)

    assert found.scaling.offsets[0] - found.scaling.offsets[1] == pytest.approx(np.log(4.0), rel=0.2)
    assert found.after.loss.high < found.before.loss.low
    assert found.shares == pytest.approx((0.8, 0.2), abs=0.03)
    before, after = (
        {one.name: one.figure.value for one in part.metrics} for part in (found.before, found.after)
    )
    assert after["accuracy"] > before["accuracy"]
    assert after["auc_positive"] == before["auc_positive"]


def test_a_card_with_offsets_is_softened_whole_where_no_others_pay() -> None:
    scored = rare(1500)
    once = recalibrate(card(), scored, aims_of(card()), seed=1)
    sure = {"temperature": once.scaling.temperature / 3, "offsets": [3 * one for one in once.scaling.offsets]}
    fields = card().model_dump(mode="json")
    fields["calibration"] |= sure | {"method": "bias-corrected temperature"}

    again = recalibrate(ModelCard.model_validate(fields), scored, aims_of(card()), seed=1)

    assert not again.keeps_scaling
    assert again.scaling.temperature == pytest.approx(once.scaling.temperature, rel=0.02)
    assert again.scaling.offsets == pytest.approx(once.scaling.offsets, abs=0.02)


def test_a_sensitivity_that_is_asked_for_is_reached_out_of_fold() -> None:
    aims = aims_of(card(), sensitivity=0.9, specificity=0.8)

    found = recalibrate(card(), studies(2000, temperature=3.0), aims, seed=1)

    assert [aim.name for aim in aims] == ["rule-out", "balanced", "rule-in"]
    sensitivity = found.after.points["rule-out"].sensitivity
    specificity = found.after.points["rule-in"].specificity
    assert sensitivity.low <= 0.9 <= sensitivity.high
    assert specificity.low <= 0.8 <= specificity.high
    assert found.before.points.keys() == {"balanced"}


def test_a_group_is_never_on_both_sides_of_a_fold() -> None:
    scored = studies(300, temperature=3.0, per_group=3)

    found = recalibrate(card(), scored, aims_of(card()), seed=1)

    folds_of_group = {group: set(found.folds[scored.groups == group].tolist()) for group in scored.groups}
    assert all(len(folds) == 1 for folds in folds_of_group.values())
    assert set(found.folds.tolist()) == {0, 1, 2, 3, 4}


def test_out_of_fold_is_less_flattering_than_the_studies_fitted_on() -> None:
    scored = studies(120, temperature=3.0, per_group=1)
    found = recalibrate(card(), scored, aims_of(card()), seed=1)

    fitted = pooled_probabilities(card(), scored, found.scaling)
    in_sample = float(-np.log(fitted[np.arange(120), scored.labels]).mean())

    assert found.after.loss.value > in_sample


@pytest.mark.parametrize("pooling", [Pooling.NOISY_OR, Pooling.WORST_FRAME, Pooling.MEAN_LOGITS])
def test_the_temperature_of_pooled_frames_is_that_of_an_independent_search(pooling: Pooling) -> None:
    scored = studies(150, temperature=3.0, n_frames=3)

    def loss(log_temperature: float) -> float:
        probabilities = pooled_probabilities(card(pooling), scored, Scaling(float(np.exp(log_temperature))))
        return float(-np.log(probabilities[np.arange(150), scored.labels]).mean())

    theirs = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded")
    ours = np.log(fit_study_temperature(card(pooling), scored).temperature)

    assert loss(float(ours)) <= loss(float(theirs.x)) + 1e-6


@given(
    evidence=st.lists(st.integers(-300, 300), min_size=2, max_size=30),
    temperature=st.floats(0.5, 19.0),
    pooling=st.sampled_from([Pooling.MEAN_LOGITS, Pooling.WORST_FRAME]),
)
def test_no_temperature_changes_the_order_of_studies_for_two_classes(
    evidence: list[int], temperature: float, pooling: Pooling
) -> None:
    values = np.array(evidence) / 100.0
    scored = ScoredStudies(
        tuple(np.array([[-value, value], [1.0 - value, value - 1.0]], np.float32) for value in values),
        np.zeros(len(values), np.int64),
        np.array([str(row) for row in range(len(values))]),
    )

    before = pooled_probabilities(card(pooling), scored, Scaling())[:, 1]
    after = pooled_probabilities(card(pooling), scored, Scaling(temperature))[:, 1]

    order = np.argsort(before, kind="stable")
    assert (np.diff(after[order]) >= -1e-12).all()


def test_how_well_studies_are_told_apart_stays_as_it_was() -> None:
    scored = studies(400, temperature=3.0)
    found = recalibrate(card(), scored, aims_of(card()), seed=1)

    raw = np.array([logits[0, 1] for logits in scored.frame_logits], np.float64)
    (area,) = [metric for metric in found.after.metrics if metric.name == "auc_positive"]
    assert area.figure.value == pytest.approx(auc(scored.labels == 1, raw), abs=1e-12)


@pytest.mark.parametrize(
    ("n", "per_group", "problem"),
    [
        (50, 1, r"studies in \d+ groups (of|without) malignant, expected at least 30 in 10"),
        (400, 100, r"studies in 4 groups of malignant, expected at least 30 in 10; label more"),
    ],
)
def test_too_few_studies_or_groups_are_refused(n: int, per_group: int, problem: str) -> None:
    with pytest.raises(RecalibrationError, match=problem):
        recalibrate(card(), studies(n, temperature=3.0, per_group=per_group), aims_of(card()), seed=1)


def relabelled(labels: NDArray[np.int64], scored: ScoredStudies) -> ScoredStudies:
    return ScoredStudies(scored.frame_logits, labels, scored.groups)


def test_studies_without_an_error_cannot_say_how_sure_the_model_may_be() -> None:
    scored = studies(200, temperature=3.0)
    right = np.array([int(logits[0, 1] > 0) for logits in scored.frame_logits], np.int64)

    with pytest.raises(RecalibrationError, match="makes no error on these studies"):
        recalibrate(card(), relabelled(right, scored), aims_of(card()), seed=1)


def test_labels_that_have_nothing_to_do_with_the_scores_are_refused() -> None:
    scored = studies(200, temperature=3.0)
    wrong = np.array([int(logits[0, 1] < 0) for logits in scored.frame_logits], np.int64)

    with pytest.raises(RecalibrationError, match="check that the labels are right"):
        recalibrate(card(), relabelled(wrong, scored), aims_of(card()), seed=1)


def test_a_point_keeps_the_aim_that_its_card_states() -> None:
    interval = {"value": 0.93, "low": 0.9, "high": 0.96, "n": 100}
    point = {
        "classes": ["malignant"],
        "threshold": 0.5,
        "sensitivity": interval,
        "specificity": interval,
        "chosen_on": "a set",
    }
    fields = card().model_dump(mode="json") | {
        "operating_points": [
            point | {"name": "rule-out", "wanted_sensitivity": 0.95},
            point | {"name": "balanced"},
            point | {"name": "rule-in"},
        ]
    }

    aims = aims_of(ModelCard.model_validate(fields))

    assert aims == (
        Aim("rule-out", ("malignant",), sensitivity=0.95),
        Aim("balanced", ("malignant",)),
        Aim("rule-in", ("malignant",), specificity=0.93),
    )
