from pathlib import Path

import numpy as np
import pytest

from models.measures import class_shares
from models.scaling import fit_scaling
from training.calibrate import choose_point, fit_calibration
from training.errors import RunError
from training.figures import Reading, figures_of
from training.predictions import ScoredSet, read_scored, write_scored
from training.recipe import PointSpec, Recipe, read_recipe
from training.trials import Trials, cross_fit, held_out
from training.units import Fit


@pytest.fixture
def recipe(tiny_recipe: Path) -> Recipe:
    return read_recipe(tiny_recipe)


def _scored(seed: int, n: int = 600, sharpness: float = 1.0) -> ScoredSet:
    """Draw labels from known probabilities; logits are too sure of themselves by `sharpness`."""
    draws = np.random.default_rng(seed)
    true_logits = draws.normal(0.0, 1.5, size=(n, 3))
    probabilities = np.exp(true_logits) / np.exp(true_logits).sum(axis=1, keepdims=True)
    labels = np.array([draws.choice(3, p=row) for row in probabilities])
    return ScoredSet(
        logits=(true_logits * sharpness).astype(np.float32),
        features=np.zeros((n, 4), np.float32),
        labels=labels,
        groups=np.array([f"lesion {row // 2}" for row in range(n)]),
        names=np.array([f"image {row}" for row in range(n)]),
        studies=np.array([f"image {row}" for row in range(n)]),
        positions=np.zeros(n, np.int64),
    )


def test_the_temperature_undoes_overconfidence_and_its_errors_are_the_test_folds(recipe: Recipe) -> None:
    calibration = fit_calibration(held_out(recipe, _scored(1, sharpness=3.0), _scored(2, sharpness=3.0)))

    assert calibration.temperature == pytest.approx(3.0, rel=0.15)
    assert calibration.ece_after < 0.5 * calibration.ece_before
    assert calibration.n == 600


def test_what_training_balanced_is_put_back_and_measured_both_ways(recipe: Recipe) -> None:
    draws = np.random.default_rng(11)

    def of_rare_classes(seed: int) -> ScoredSet:
        """Keep nine in ten of the second class, one in ten of the others, with logits that know of none."""
        scored = _scored(seed, n=4000)
        is_kept = draws.random(4000) < np.array([0.1, 0.9, 0.1])[scored.labels]
        return scored.at(np.flatnonzero(is_kept))

    trials = held_out(recipe, of_rare_classes(1), of_rare_classes(2))

    calibration = fit_calibration(trials)
    figures = {figure.name: figure.value() for figure in figures_of(recipe, _readings(trials))}

    assert calibration.method == "bias-corrected temperature"
    assert calibration.offsets[1] - calibration.offsets[0] == pytest.approx(np.log(9.0), rel=0.15)
    assert calibration.shares == pytest.approx(class_shares(trials.fitted.labels, 3))
    assert calibration.ece_after < 0.03 < calibration.ece_before
    likeliest, even = figures["balanced_accuracy"], figures["balanced_accuracy_even"]
    assert likeliest is not None
    assert even is not None
    assert even > likeliest + 0.1


def _readings(trials: Trials) -> list[Reading]:
    return [Reading(trial.measured, trial.fit) for trial in trials.each]


def test_without_known_shares_there_is_no_even_handed_figure(recipe: Recipe) -> None:
    names = {figure.name for figure in figures_of(recipe, [Reading(_scored(1), Fit())])}

    assert "balanced_accuracy" in names
    assert "balanced_accuracy_even" not in names


@pytest.mark.parametrize("aim", [0.8, 0.95])
def test_a_point_keeps_its_sensitivity_where_it_was_chosen(recipe: Recipe, aim: float) -> None:
    validation = _scored(3)
    spec = PointSpec(name="rule-out", sensitivity=aim)

    point = choose_point(spec, held_out(recipe, validation, validation))

    assert aim <= point.sensitivity.value < aim + 0.02
    assert point.sensitivity.low < point.sensitivity.value < point.sensitivity.high
    assert point.chosen_on == "fold 1 of 5 by group, seed 1"


def test_a_point_keeps_its_specificity_where_it_was_chosen(recipe: Recipe) -> None:
    validation = _scored(4)

    spec = PointSpec(name="rule-in", specificity=0.9)
    point = choose_point(spec, held_out(recipe, validation, validation))

    assert 0.9 <= point.specificity.value < 0.92
    assert (point.wanted_sensitivity, point.wanted_specificity) == (None, 0.9)


def test_each_fold_is_judged_by_numbers_fitted_on_the_others(recipe: Recipe) -> None:
    # The third network is three times as sure of itself: only its own fold could tell.
    folds = [_scored(7), _scored(8), _scored(9, sharpness=3.0)]
    trials = cross_fit(recipe, folds, "out of fold")
    spec = PointSpec(name="rule-out", sensitivity=0.9)

    calibration = fit_calibration(trials)
    point = choose_point(spec, trials)

    assert [trial.fit.scaling for trial in trials.each] == [
        fit_scaling(
            np.concatenate([folds[a].logits, folds[b].logits]),
            np.concatenate([folds[a].labels, folds[b].labels]),
        )
        for a, b in ((1, 2), (0, 2), (0, 1))
    ]
    assert (calibration.n, calibration.fitted_on) == (1800, "out of fold")
    of_fold = [
        choose_point(spec, held_out(recipe, trial.fitted, trial.measured)).sensitivity
        for trial in trials.each
    ]
    n_called = sum(one.value * one.n for one in of_fold)
    assert point.sensitivity.n == sum(one.n for one in of_fold)
    assert point.sensitivity.value == pytest.approx(n_called / point.sensitivity.n)


def test_what_was_scored_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    scored = _scored(6, n=10)
    write_scored(tmp_path / "predictions-test.npz", scored)

    read = read_scored(tmp_path / "predictions-test.npz")

    np.testing.assert_array_equal(read.logits, scored.logits)
    assert read.names.tolist() == scored.names.tolist()
    assert read.n_groups == 5


def test_a_run_that_was_not_evaluated_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="firstread-train evaluate"):
        read_scored(tmp_path / "predictions-test.npz")
