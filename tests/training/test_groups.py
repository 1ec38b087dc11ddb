from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as reference

from data.skin_tone import SkinTone
from data.study import LabelledImage, PatientContext, Sex
from training.attributes import Attribute, attributes_of
from training.groups import JudgedSet, group_metrics, measure_groups, section

KEYS = ("mel", "bkl", "nv")


def _judged(labels: NDArray[np.int64], probabilities: NDArray[np.float64], copies: int = 1) -> JudgedSet:
    """Give a set with `copies` images of each lesion."""
    return JudgedSet(
        probabilities=np.repeat(probabilities, copies, axis=0),
        labels=np.repeat(labels, copies),
        lesions=np.repeat([f"lesion {place}" for place in range(len(labels))], copies),
        class_keys=KEYS,
        positive_keys=("mel",),
        threshold=0.5,
        watched_key="mel",
    )


def _drawn(n: int, seed: int = 0, copies: int = 1) -> JudgedSet:
    draws = np.random.default_rng(seed)
    labels = draws.integers(3, size=n)
    probabilities = draws.dirichlet(np.ones(3), size=n) + 0.6 * np.eye(3)[labels]
    return _judged(labels, probabilities / probabilities.sum(axis=1, keepdims=True), copies)


def _attribute(values: NDArray[np.str_], *order: str) -> Attribute:
    return Attribute("eye colour", values, order or tuple(sorted(set(values.tolist()) - {""})))


def test_every_figure_of_a_group_agrees_with_scikit_learn() -> None:
    judged = _drawn(600)
    values = np.where(np.arange(600) % 3 == 0, "green", "blue")

    (measured,) = measure_groups(judged, [_attribute(values)], seed=0, n_resamples=20)

    rows = values == "blue"
    labels, probabilities = judged.labels[rows], judged.probabilities[rows]
    is_called, is_mel = probabilities[:, 0] >= 0.5, labels == 0
    blue = next(group for group in measured.groups if group.name == "blue")
    found = {name: interval.value for name, interval in blue.figures.items() if interval}
    assert found.pop("expected_calibration_error") >= 0
    assert found == pytest.approx(
        {
            "sensitivity": reference.recall_score(is_mel, is_called),
            "specificity": reference.recall_score(~is_mel, ~is_called),
            "auc_mel": reference.roc_auc_score(is_mel, probabilities[:, 0]),
            "balanced_accuracy": reference.balanced_accuracy_score(labels, probabilities.argmax(axis=1)),
            "macro_auc": reference.roc_auc_score(labels, probabilities, multi_class="ovr"),
            "overconfidence": probabilities.max(axis=1).mean()
            - reference.accuracy_score(labels, probabilities.argmax(axis=1)),
        }
    )
    assert (blue.n_images, blue.n_lesions) == (400, 400)


@pytest.mark.parametrize(("n_positive", "is_told"), [(29, False), (30, True)])
def test_sensitivity_is_told_from_thirty_positive_lesions_on(n_positive: int, is_told: bool) -> None:
    labels = np.array([0] * n_positive + [2] * 200)
    judged = _judged(labels, np.eye(3)[labels])

    (measured,) = measure_groups(judged, [_attribute(np.full(len(labels), "blue"))], seed=0, n_resamples=20)

    figures = measured.groups[0].figures
    assert (figures["sensitivity"] is not None) == is_told
    assert (figures["auc_mel"] is not None) == is_told
    assert figures["specificity"] is not None


def test_many_images_of_few_lesions_are_too_few() -> None:
    judged = _drawn(60, copies=10)

    (measured,) = measure_groups(judged, [_attribute(np.full(600, "blue"))], seed=0, n_resamples=20)

    assert (measured.groups[0].n_images, measured.groups[0].n_lesions) == (600, 60)
    assert measured.groups[0].figures["sensitivity"] is None
    assert measured.groups[0].figures["expected_calibration_error"] is None


def test_a_class_too_rare_in_the_whole_set_is_left_out_of_every_groups_mean() -> None:
    labels = np.array([0] * 60 + [1] * 4 + [2] * 60)
    predicted = np.where(labels == 1, 2, labels)  # every bkl is missed
    judged = _judged(labels, np.eye(3)[predicted])
    values = np.where(np.arange(124) % 2 == 0, "blue", "green")

    (measured,) = measure_groups(judged, [_attribute(values)], seed=0, n_resamples=20)

    for group in measured.groups:
        accuracy = group.figures["balanced_accuracy"]
        assert accuracy is not None
        assert accuracy.value == 1.0
    gap = next(gap for gap in measured.gaps if gap.figure == "balanced_accuracy")
    assert (gap.difference.value, {gap.highest, gap.lowest}) == (0.0, {"blue", "green"})


def test_a_group_without_one_of_the_counted_classes_has_no_mean_over_classes() -> None:
    judged = _drawn(300)
    values = np.where((judged.labels == 1) | (np.arange(300) % 2 == 0), "blue", "green")

    (measured,) = measure_groups(judged, [_attribute(values)], seed=0, n_resamples=20)

    blue, green = measured.groups
    assert blue.figures["macro_auc"] is not None
    assert green.figures["macro_auc"] is None
    assert "macro_auc" not in {gap.figure for gap in measured.gaps}


def test_the_gap_names_the_best_and_the_worst_group_and_its_interval_excludes_chance() -> None:
    labels = np.zeros(300, np.int64)
    is_found = np.concatenate([np.arange(100) < 95, np.arange(100) < 80, np.arange(100) < 40])
    judged = _judged(labels, np.where(is_found[:, None], [0.9, 0.05, 0.05], [0.1, 0.1, 0.8]))
    values = np.repeat(["blue", "green", "brown"], 100)

    (measured,) = measure_groups(judged, [_attribute(values)], seed=0, n_resamples=500)

    gap = next(gap for gap in measured.gaps if gap.figure == "sensitivity")
    assert (gap.highest, gap.lowest) == ("blue", "brown")
    assert gap.difference.value == pytest.approx(0.55)
    by_formula = 1.96 * np.sqrt(0.95 * 0.05 / 100 + 0.4 * 0.6 / 100)
    assert gap.difference.high - gap.difference.low == pytest.approx(2 * by_formula, rel=0.2)


def test_two_groups_differ_by_chance_as_far_as_their_common_deviation_says() -> None:
    labels = np.zeros(400, np.int64)
    is_found = np.arange(400) % 5 > 0
    judged = _judged(labels, np.where(is_found[:, None], [0.9, 0.05, 0.05], [0.1, 0.1, 0.8]))
    values = np.repeat(["blue", "green"], 200)

    (measured,) = measure_groups(judged, [_attribute(values)], seed=0, n_resamples=500)

    gap = next(gap for gap in measured.gaps if gap.figure == "sensitivity")
    assert gap.difference.value == 0.0
    assert gap.by_chance == pytest.approx(1.96 * np.sqrt(2 * 0.8 * 0.2 / 200), rel=0.1)


def test_the_range_of_many_equal_groups_is_wider_by_chance_than_that_of_two() -> None:
    judged = _drawn(900)
    two, nine = (np.array([f"group {place % n}" for place in range(900)]) for n in (2, 9))

    few, many = measure_groups(judged, [_attribute(two), _attribute(nine)], seed=0, n_resamples=50)

    assert many.gaps[0].by_chance > 2 * few.gaps[0].by_chance


def test_a_group_without_a_miss_has_wilsons_interval_and_not_none() -> None:
    labels = np.array([0] * 40 + [2] * 40)
    judged = _judged(labels, np.eye(3)[labels], copies=3)

    (measured,) = measure_groups(judged, [_attribute(np.full(240, "blue"))], seed=0, n_resamples=20)

    sensitivity = measured.groups[0].figures["sensitivity"]
    assert sensitivity is not None
    assert (sensitivity.value, sensitivity.high, sensitivity.n) == (1.0, 1.0, 120)
    assert sensitivity.low == pytest.approx(40 / (40 + 1.96**2), abs=1e-3)  # of 40 lesions, not 120 images


def test_a_single_group_has_no_gap_and_images_without_a_group_stand_apart() -> None:
    judged = _drawn(200)
    values = np.where(np.arange(200) < 150, "blue", "")

    (measured,) = measure_groups(judged, [_attribute(values)], seed=0, n_resamples=20)

    assert measured.gaps == ()
    assert measured.unknown is not None
    assert (measured.unknown.name, measured.unknown.n_images) == ("not known", 50)
    assert "| not known | 50 | 50 |" in section([measured])
    assert [group.n_images for group in measured.groups] == [150]


def test_the_same_seed_gives_the_same_figures_and_nothing_is_written_to() -> None:
    judged = _drawn(200)
    values = np.where(np.arange(200) % 2 == 0, "blue", "green")
    for array in (judged.probabilities, judged.labels, judged.lesions, values):
        array.flags.writeable = False

    first, second = (measure_groups(judged, [_attribute(values)], seed=4, n_resamples=20) for _ in range(2))

    assert first == second


def test_only_figures_with_enough_lesions_reach_the_machines_card() -> None:
    judged = _drawn(60)
    measured = measure_groups(judged, [_attribute(np.full(60, "blue"))], seed=0, n_resamples=20)

    metrics = group_metrics(measured, "test")

    assert {metric.name for metric in metrics} == {
        name for name, interval in measured[0].groups[0].figures.items() if interval is not None
    }
    assert {metric.group for metric in metrics} == {"eye colour: blue"}


def test_the_section_says_too_few_where_there_are_and_states_the_gaps() -> None:
    judged = _drawn(300)
    values = np.where(np.arange(300) < 140, "blue", np.where(np.arange(300) < 280, "green", "brown"))

    text = section(measure_groups(judged, [_attribute(values)], seed=0, n_resamples=20))

    brown = next(line for line in text.splitlines() if line.startswith("| brown"))
    assert brown.count("too few") == 7
    assert "| sensitivity | " in text
    assert "### By eye colour" in text


def test_images_fall_into_groups_by_what_their_set_tells() -> None:
    contexts = (
        PatientContext(age_years=75, sex=Sex.FEMALE, body_site="back", skin_type=4),
        PatientContext(age_years=44.5, sex=Sex.MALE, body_site="face"),
        PatientContext(body_site="back"),
    )
    images = [LabelledImage(Path("a.jpg"), "nv", "lesion", context=context) for context in contexts]

    attributes = attributes_of(images, [SkinTone.TAN, None, SkinTone.DARK])

    assert {one.name: one.values.tolist() for one in attributes} == {
        "sex": ["female", "male", ""],
        "age in years": ["75 and above", "30 to 44", ""],
        "body site": ["back", "face", "back"],
        "Fitzpatrick skin type": ["IV", "", ""],
        "skin tone (estimate)": ["tan", "", "dark"],
    }
    assert attributes[2].order == ("back", "face")
    assert all(set(one.values.tolist()) - {""} <= set(one.order) for one in attributes)


def test_what_no_image_tells_is_no_attribute() -> None:
    assert attributes_of([LabelledImage(Path("a.jpg"), "nv", "lesion")]) == ()


def test_a_group_missing_in_the_order_and_a_row_too_many_are_refused() -> None:
    judged = _drawn(40)

    with pytest.raises(ValueError, match="without a place in its order: green"):
        measure_groups(judged, [_attribute(np.full(40, "green"), "blue")], seed=0)
    with pytest.raises(ValueError, match=r"has \(41,\) rows, expected \(40,\)"):
        measure_groups(judged, [_attribute(np.full(41, "blue"))], seed=0)


def test_a_set_whose_parts_disagree_is_refused() -> None:
    judged = _drawn(40)

    with pytest.raises(ValueError, match="shapes disagree"):
        replace(judged, labels=judged.labels[1:])
    with pytest.raises(ValueError, match="'scc'"):
        replace(judged, watched_key="scc")
    with pytest.raises(ValueError, match="3 probabilities a row, but 2 classes"):
        replace(judged, class_keys=("mel", "nv"))
