import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from data.body_sites import BodySite
from data.study import Sex
from models.card import ContextField, PatientFactors
from models.context import KnownContext, log_ratios
from training.factors import encode, fit_factors, fit_offset_regression

Floats = NDArray[np.float64]


def _drawn(n: int, seed: int) -> tuple[Floats, NDArray[np.int64]]:
    draws = np.random.default_rng(seed)
    inputs = draws.normal(size=(n, 3))
    logits = inputs @ np.array([[1.0, -1.0, 0.0], [0.0, 0.5, -0.5], [0.0, 0.0, 0.0]]) + [0.5, 0.0, -0.5]
    powers = np.exp(logits)
    labels = np.array([draws.choice(3, p=row / row.sum()) for row in powers])
    return inputs, labels


def test_without_offsets_it_is_scikit_learns_regression() -> None:
    inputs, labels = _drawn(400, seed=1)
    reference = LogisticRegression(C=1 / 2.0, tol=1e-10, max_iter=1000).fit(inputs, labels)

    found, constants = fit_offset_regression(inputs, labels, np.zeros((400, 3)), np.ones(400), ridge=2.0)

    np.testing.assert_allclose(found, reference.coef_.T, atol=1e-4)
    np.testing.assert_allclose(constants, reference.intercept_, atol=1e-4)


def test_what_the_offsets_say_already_is_not_learnt_again() -> None:
    inputs, labels = _drawn(4000, seed=2)
    alone, _ = fit_offset_regression(inputs, labels, np.zeros((4000, 3)), np.ones(4000), ridge=1e-3)

    beside, constants = fit_offset_regression(inputs, labels, inputs @ alone, np.ones(4000), ridge=1e-3)

    np.testing.assert_allclose(beside, 0.0, atol=1e-3)
    assert constants[0] > constants[2]


def test_weights_count_as_copies_do() -> None:
    inputs, labels = _drawn(200, seed=3)
    weights = np.where(np.arange(200) < 50, 2.0, 1.0)
    doubled = np.concatenate([np.arange(200), np.arange(50)])

    weighted, _ = fit_offset_regression(inputs, labels, np.zeros((200, 3)), weights, ridge=1.0)
    copied, _ = fit_offset_regression(
        inputs[doubled], labels[doubled], np.zeros((250, 3)), np.ones(250), ridge=1.0
    )

    np.testing.assert_allclose(weighted, copied, atol=1e-6)


def test_a_class_that_offsets_rule_out_altogether_breaks_nothing() -> None:
    inputs, labels = _drawn(100, seed=4)
    offsets = np.zeros((100, 3))
    offsets[:, 0] = -500.0

    found, constants = fit_offset_regression(inputs, labels, offsets, np.ones(100), ridge=1.0)

    assert np.isfinite(found).all()
    assert np.isfinite(constants).all()


def test_a_site_borrows_from_its_region_and_a_region_alone_is_understood() -> None:
    contexts = [KnownContext(site=site) for site in (BodySite.EAR, BodySite.FACE, BodySite.BACK)]

    encoding = encode(contexts, "site")

    assert encoding.levels == ("head_neck", "face", "ear", "trunk", "back")
    ear, head = encoding.rows[2], encoding.rows[0]
    assert (ear - head).tolist() == [0.0, 0.0, 1.0, 0.0, 0.0]
    np.testing.assert_allclose(encoding.inputs.mean(axis=0), 0.0, atol=1e-12)


def test_an_unknown_field_is_all_zeros_and_one_that_nobody_tells_has_no_levels() -> None:
    contexts = [KnownContext(sex=Sex.FEMALE), KnownContext(), KnownContext(sex=Sex.MALE)]

    assert encode(contexts, "sex").inputs.tolist() == [[0.5, -0.5], [0.0, 0.0], [-0.5, 0.5]]
    assert encode(contexts, "age").levels == ()
    assert not fit_factors(np.zeros((3, 2)), np.array([0, 1, 0]), contexts, ["age"], ridge=1.0).terms


def _patients(n: int, seed: int) -> tuple[Floats, NDArray[np.int64], list[KnownContext]]:
    """Draw three classes of which the last is that of the old, all as the picture cannot tell."""
    draws = np.random.default_rng(seed)
    ages = draws.uniform(10, 80, n)
    odds = np.stack([np.ones(n), np.ones(n), np.exp((ages - 45) / 15)], axis=1)
    labels = np.array([draws.choice(3, p=row / row.sum()) for row in odds])
    sexes = draws.choice([Sex.FEMALE, Sex.MALE], n)
    contexts = [KnownContext(float(age), Sex(sex)) for age, sex in zip(ages, sexes, strict=True)]
    return np.log(np.full((n, 3), 1 / 3)), labels, contexts


def test_it_finds_what_age_says_and_that_sex_says_nothing() -> None:
    offsets, labels, contexts = _patients(4000, seed=5)

    fitted = fit_factors(offsets, labels, contexts, ["age", "sex"], ridge=1.0)

    factors = PatientFactors(terms=fitted.terms, ridge=1.0, fitted_on="drawn", n=4000)
    old = log_ratios(KnownContext(age_years=75), factors, 3)
    young = log_ratios(KnownContext(age_years=15), factors, 3)
    of_sex = log_ratios(KnownContext(sex=Sex.FEMALE), factors, 3)
    # by the law drawn from: (75 - 15) / 15 = 4 nats between them
    assert (old[2] - old[0]) - (young[2] - young[0]) == pytest.approx(4.0, abs=0.5)
    assert np.abs(of_sex).max() < 0.1


@pytest.mark.parametrize("fields", [["age"], ["sex"], ["age", "sex"]])
def test_the_mean_patient_of_the_set_is_moved_nowhere(fields: list[ContextField]) -> None:
    offsets, labels, contexts = _patients(1000, seed=6)

    fitted = fit_factors(offsets, labels, contexts, fields, ridge=3.0)

    factors = PatientFactors(terms=fitted.terms, ridge=3.0, fitted_on="drawn", n=1000)
    moved = np.stack([log_ratios(one, factors, 3) for one in contexts])
    np.testing.assert_allclose(moved.mean(axis=0), 0.0, atol=1e-3)
