"""Studies of several images: how they are pooled, what they are, what their first key images show."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from models.calibration import softmax
from models.card import Pooling
from models.scaling import Scaling
from training.calibrate import choose_point, fit_calibration
from training.figures import Reading, figures_of
from training.predictions import ScoredSet
from training.recipe import PointSpec, Recipe, read_recipe
from training.trials import cross_fit
from training.units import Fit, Studies, fit_units, judge_units

MEL, NV = 0, 1


@pytest.fixture
def recipe(tiny_recipe: Path) -> Recipe:
    """Give a recipe of studies in which mel is the finding and all else is none."""
    recipe = read_recipe(tiny_recipe)
    classes = tuple(spec.model_copy(update={"is_finding": spec.key == "mel"}) for spec in recipe.classes)
    spec = recipe.input.model_copy(update={"neighbour_mm": 5.0})
    return recipe.model_copy(
        update={"unit": "study", "classes": classes, "input": spec, "pooling": Pooling.NOISY_OR}
    )


def _studies(evidence: dict[str, list[float]], positive: dict[str, set[int]]) -> ScoredSet:
    """Put slices in the given order; their evidence is the log-odds of mel, at positions from 1."""
    rows = [
        (study, place, value) for study, values in evidence.items() for place, value in enumerate(values, 1)
    ]
    n = len(rows)
    labels = [MEL if place in positive.get(study, set()) else NV for study, place, _ in rows]
    return ScoredSet(
        logits=np.array([[value, 0.0, -9.0] for _, _, value in rows], np.float32),
        features=np.zeros((n, 2), np.float32),
        labels=np.array(labels, np.int64),
        groups=np.array([f"patient of {study}" for study, _, _ in rows]),
        names=np.array([f"{study}/{place}" for study, place, _ in rows]),
        studies=np.array([study for study, _, _ in rows]),
        positions=np.array([place for _, place, _ in rows], np.int64),
    )


def test_a_study_is_of_the_most_severe_class_among_its_images(recipe: Recipe) -> None:
    scored = _studies({"b": [0.0, 0.0, 0.0], "a": [0.0, 0.0]}, {"b": {2}})

    studies = Studies(recipe, scored)

    assert studies.labels.tolist() == [NV, MEL]
    assert judge_units(recipe, scored, Fit()).names.tolist() == ["a/1", "b/1"]


def test_the_order_of_the_rows_changes_nothing(recipe: Recipe) -> None:
    scored = _studies({"a": [0.5, -1.0, 2.0], "b": [0.0, 1.0]}, {"a": {3}})
    mixed = scored.at(np.array([4, 2, 0, 3, 1]))

    first, second = (judge_units(recipe, one, Fit(Scaling(2.0))) for one in (scored, mixed))

    np.testing.assert_allclose(first.probabilities, second.probabilities)
    assert first.names.tolist() == second.names.tolist()


def test_a_hit_among_the_first_key_images_counts_and_neighbours_of_a_key_image_are_passed_over(
    recipe: Recipe,
) -> None:
    scored = _studies(
        {
            # The highest is a miss; its neighbour, 5 mm away, is passed over; the third is a hit.
            "a": [9.0, 8.0, 0.0, 7.0, 0.0, 0.0, 0.0, 6.0],
            # The highest itself is a hit.
            "b": [0.0, 3.0, 0.0, 0.0, 2.0, 0.0, 0.0, 1.0],
            # Every key image is a miss.
            "c": [0.0, 3.0, 0.0, 0.0, 2.0, 0.0, 0.0, 1.0],
        },
        {"a": {2, 8}, "b": {2}, "c": {1}},
    )

    hits = Studies(recipe, scored).key_image_hits(Fit())

    assert hits.tolist() == [[False, False, True], [True, True, True], [False, False, False]]


def test_a_study_of_one_image_has_one_key_image(recipe: Recipe) -> None:
    hits = Studies(recipe, _studies({"a": [1.0], "b": [1.0]}, {"a": {1}})).key_image_hits(Fit())

    assert hits.tolist() == [[True] * 3, [False] * 3]


def _drawn(seed: int, n_studies: int = 60) -> ScoredSet:
    """Draw studies of which half show something on a few of their ten slices."""
    draws = np.random.default_rng(seed)
    evidence, positive = {}, {}
    for study in range(n_studies):
        shown = set(draws.choice(10, 3, replace=False).tolist()) if study % 2 else set()
        name = f"{seed}-{study:02d}"
        # twice as sure as it should be
        evidence[name] = [2.0 * draws.normal(-1.0 if place in shown else -4.0, 1.5) for place in range(10)]
        positive[name] = {place + 1 for place in shown}
    return _studies(evidence, positive)


@pytest.mark.parametrize("pooling", [Pooling.NOISY_OR, Pooling.MEAN_LOGITS, Pooling.ATTENTION])
def test_what_is_fitted_makes_the_studies_classes_likelier(recipe: Recipe, pooling: Pooling) -> None:
    of_studies = recipe.model_copy(update={"pooling": pooling})
    fitted, measured = _drawn(1), _drawn(2)

    fit = fit_units(of_studies, fitted)

    assert _loss(of_studies, measured, fit) < _loss(of_studies, measured, Fit())


def _loss(recipe: Recipe, scored: ScoredSet, fit: Fit) -> float:
    judged = judge_units(recipe, scored, fit)
    return float(-np.log(judged.probabilities[np.arange(len(judged.labels)), judged.labels]).mean())


def test_the_figures_are_of_studies_of_images_and_of_key_images(recipe: Recipe) -> None:
    first, second = _drawn(3), _drawn(4)
    readings = [Reading(first, Fit(Scaling(2.0))), Reading(second, Fit(Scaling(3.0)))]

    figures = {figure.name: figure for figure in figures_of(recipe, readings)}

    judged = [judge_units(recipe, reading.scored, reading.fit) for reading in readings]
    truth = np.concatenate([one.labels for one in judged]) == MEL
    scores = np.concatenate([one.probabilities[:, MEL] for one in judged])
    assert figures["study_auc_positive"].value() == pytest.approx(roc_auc_score(truth, scores))
    assert figures["study_auc_positive"].interval(0).n == 120
    images = np.concatenate([softmax(one.logits)[:, MEL] for one in (first, second)])
    labels = np.concatenate([first.labels, second.labels]) == MEL
    assert figures["image_auc_positive"].value() == pytest.approx(roc_auc_score(labels, images))
    assert figures["key_image_first_1"].interval(0).n == 60
    best = [one.logits[:, MEL].reshape(60, 10).argmax(axis=1) for one in (first, second)]
    is_hit = [
        one.labels.reshape(60, 10)[np.arange(60), at] == MEL
        for one, at in zip((first, second), best, strict=True)
    ]
    first_1, first_3 = (figures[f"key_image_first_{n}"].value() or 0.0 for n in (1, 3))
    assert first_1 == pytest.approx(np.concatenate(is_hit).sum() / 60)
    assert first_1 <= first_3


def test_points_and_calibration_are_those_of_studies(recipe: Recipe) -> None:
    attending = recipe.model_copy(update={"pooling": Pooling.ATTENTION})
    trials = cross_fit(attending, [_drawn(5), _drawn(6), _drawn(7)], "out of fold")

    calibration = fit_calibration(trials)
    point = choose_point(PointSpec(name="rule-out", sensitivity=0.9), trials)

    assert calibration.n == 1800  # slices give the temperature, studies the attention
    assert trials.kept.fit.pooling.n == 180
    assert calibration.ece_after < 0.5 * calibration.ece_before
    assert (point.sensitivity.n, point.specificity.n) == (90, 90)
    assert point.sensitivity.value == pytest.approx(0.9, abs=0.06)


def test_no_fold_is_judged_by_what_its_own_studies_gave(recipe: Recipe) -> None:
    folds = [_drawn(8), _drawn(9), _drawn(10)]
    before = cross_fit(recipe, folds, "").each[0].fit

    again = cross_fit(recipe, [_flipped(folds[0]), *folds[1:]], "")

    assert again.each[0].fit == before
    assert again.each[1].fit != cross_fit(recipe, folds, "").each[1].fit


def _flipped(scored: ScoredSet) -> ScoredSet:
    logits: NDArray[np.float32] = -scored.logits
    return ScoredSet(
        logits,
        scored.features,
        scored.labels,
        scored.groups,
        scored.names,
        scored.studies,
        scored.positions,
    )
