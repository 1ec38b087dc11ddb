"""Features unlike training's are far from it; the threshold keeps its promise on new pictures of its kind."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import EmpiricalCovariance

from models.novelty import NoveltyModel, distance, fit
from models.novelty_archive import from_npz, load, save, to_npz

CENTRES = np.array([[0.0] * 12, [6.0] * 12, [-6.0, 6.0] * 6])


def draw(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Three classes in twelve features, correlated, with one covariance."""
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(12, 12))
    labels = random.integers(0, 3, n)
    return CENTRES[labels] + random.normal(size=(n, 12)) @ mixing, labels


@pytest.fixture(scope="module")
def model() -> NoveltyModel:
    features, labels = draw(4000, seed=0)
    return fit(features, labels, held_out=draw(4000, seed=1)[0])


def test_with_all_components_it_is_mahalanobis_distance_to_the_nearest_class(model: NoveltyModel) -> None:
    features, labels = draw(4000, seed=0)
    within = features - np.stack([features[labels == label].mean(axis=0) for label in range(3)])[labels]
    covariance = EmpiricalCovariance(assume_centered=True).fit(within).covariance_ * 4000 / (4000 - 3)
    new = draw(20, seed=2)[0]
    means = np.stack([features[labels == label].mean(axis=0) for label in range(3)])
    inverse = np.linalg.inv(covariance)
    expected = [min(mahalanobis(row, mean, inverse) for mean in means) for row in new]
    np.testing.assert_allclose(distance(new, model), expected, rtol=1e-3)


@pytest.mark.parametrize("acceptance", [0.9, 0.99, 1.0])
def test_the_threshold_accepts_its_part_of_the_held_out_pictures(acceptance: float) -> None:
    features, labels = draw(2000, seed=0)
    held_out = draw(1000, seed=1)[0]
    fitted = fit(features, labels, acceptance=acceptance, held_out=held_out)
    accepted = float((distance(held_out, fitted) <= fitted.threshold).mean())
    assert acceptance <= accepted <= acceptance + 2e-3


def test_the_promise_holds_on_pictures_never_seen(model: NoveltyModel) -> None:
    accepted = float((distance(draw(4000, seed=3)[0], model) <= model.threshold).mean())
    assert accepted == pytest.approx(0.99, abs=0.006)


def test_what_lies_between_the_classes_or_beyond_is_new(model: NoveltyModel) -> None:
    between = np.array([[3.0, -3.0] * 6])
    beyond = np.full((1, 12), 60.0)
    assert (distance(np.concatenate([between, beyond]), model) > model.threshold).all()


def test_what_the_components_leave_out_counts_too() -> None:
    random = np.random.default_rng(4)
    features = np.zeros((500, 30))
    features[:, :5] = random.normal(size=(500, 5)) * 10
    features += random.normal(size=features.shape) * 0.1
    fitted = fit(features, np.zeros(500, int), n_components=5)
    odd = features[:1].copy()
    odd[0, 20] += 5.0
    assert float(distance(odd, fitted)[0]) > fitted.threshold


def test_few_samples_of_many_features_still_give_a_model() -> None:
    random = np.random.default_rng(5)
    features, labels = random.normal(size=(40, 300)), np.arange(40) % 2
    fitted = fit(features, labels, held_out=random.normal(size=(40, 300)))
    assert fitted.basis.shape[1] < 40
    assert np.isfinite(distance(features, fitted)).all()


def test_features_that_never_vary_are_no_division_by_zero() -> None:
    random = np.random.default_rng(6)
    features = np.zeros((100, 20))
    features[:, :4] = random.normal(size=(100, 4))
    fitted = fit(features, np.arange(100) % 2)
    assert np.isfinite(distance(features, fitted)).all()
    assert float(distance(np.eye(20)[10:11], fitted)[0]) > fitted.threshold


def test_a_feature_that_is_not_finite_is_infinitely_new(model: NoveltyModel) -> None:
    features = draw(3, seed=7)[0]
    features[1, 4] = np.nan
    measured = distance(features, model)
    assert np.isinf(measured).tolist() == [False, True, False]


@given(st.integers(0, 1000), st.floats(0.1, 100))
@settings(max_examples=20, deadline=None)
def test_the_unit_of_the_features_does_not_matter(seed: int, unit: float) -> None:
    features, labels = draw(300, seed)
    new = draw(10, seed + 1)[0]
    plain = distance(new, fit(features, labels, n_components=6))
    scaled = distance(new * unit, fit(features * unit, labels, n_components=6))
    np.testing.assert_allclose(scaled, plain, rtol=1e-3)


def test_labels_may_be_any_numbers_and_in_any_order() -> None:
    features, labels = draw(500, seed=0)
    order = np.random.default_rng(0).permutation(500)
    one = fit(features, labels)
    other = fit(features[order], labels[order] * 7 + 3)
    np.testing.assert_allclose(distance(features, one), distance(features, other), rtol=1e-4)


def test_a_model_is_read_as_it_was_saved_and_always_the_same_bytes(
    model: NoveltyModel, tmp_path: Path
) -> None:
    save(model, tmp_path / "novelty.npz")
    again = load(tmp_path / "novelty.npz")
    features = draw(50, seed=8)[0]
    assert np.array_equal(distance(features, again), distance(features, model))
    assert again.threshold == model.threshold
    assert to_npz(model) == to_npz(again) == (tmp_path / "novelty.npz").read_bytes()


def test_a_file_with_a_pickle_is_not_opened(tmp_path: Path) -> None:
    with (tmp_path / "evil.npz").open("wb") as file:
        np.savez(file, means=np.array([object()], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load(tmp_path / "evil.npz")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 torn"])
def test_what_is_not_an_archive_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"novelty archive|pickled"):
        from_npz(content)


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 0.0},
        {"threshold": float("nan")},
        {"residual_scale": -1.0},
        {"scales": np.zeros(12, np.float32)},
        {"scales": np.ones(3, np.float32)},
        {"means": np.zeros((0, 12), np.float32)},
        {"means": np.full((1, 12), np.nan, np.float32)},
    ],
)
def test_a_model_that_makes_no_sense_cannot_be_made(model: NoveltyModel, change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"expected a number above 0|shapes disagree|must be finite"):
        replace(model, **change)  # type: ignore[arg-type]  # the wrong values are the test


def test_shapes_that_do_not_fit_are_refused(model: NoveltyModel) -> None:
    with pytest.raises(ValueError, match=r"expected \(n_samples, 12\)"):
        distance(np.zeros((2, 11)), model)
    with pytest.raises(ValueError, match="shapes disagree"):
        fit(np.zeros((5, 3)), np.zeros(4, int))
    with pytest.raises(ValueError, match="too few"):
        fit(np.zeros((4, 3)), np.array([0, 1, 0, 1]))
    with pytest.raises(ValueError, match="acceptance"):
        fit(np.zeros((9, 3)), np.zeros(9, int), acceptance=1.5)
