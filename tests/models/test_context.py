import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from data.body_sites import BodySite
from data.study import PatientContext, Sex
from models.calibration import softmax
from models.card import ContextTerm, ModelCard, PatientFactors
from models.context import KnownContext, context_use, fuse, known_context, log_ratios
from tests.tiny_model import tiny_card

FACTORS = PatientFactors(
    terms=(
        ContextTerm(field="age", levels=("30", "60"), log_ratios=((1.0, -1.0), (-1.0, 3.0))),
        ContextTerm(field="site", levels=("head_neck", "face"), log_ratios=((0.1, -0.1), (0.5, -0.5))),
    ),
    left_out=("sex",),
    ridge=10.0,
    fitted_on="nothing: it is made up",
    n=100,
)


def test_nothing_known_changes_nothing_at_all() -> None:
    probabilities = np.array([0.1, 0.9])

    ratios = log_ratios(KnownContext(sex=Sex.FEMALE), FACTORS, 2)

    assert ratios.tolist() == [0.0, 0.0]
    assert fuse(probabilities, ratios).tolist() == [0.1, 0.9]


@pytest.mark.parametrize(
    ("age", "expected"), [(0, [1, -1]), (30, [1, -1]), (45, [0, 1]), (60, [-1, 3]), (110, [-1, 3])]
)
def test_between_ages_factors_run_along_a_line_and_beyond_them_they_stay(
    age: float, expected: list[float]
) -> None:
    assert log_ratios(KnownContext(age_years=age), FACTORS, 2).tolist() == expected


@pytest.mark.parametrize(
    ("site", "expected"),
    [(BodySite.FACE, [0.5, -0.5]), (BodySite.EAR, [0.1, -0.1]), (BodySite.BACK, [0.0, 0.0])],
)
def test_a_site_without_a_row_takes_its_regions(site: BodySite, expected: list[float]) -> None:
    assert log_ratios(KnownContext(site=site), FACTORS, 2).tolist() == expected


def test_fields_add_up() -> None:
    age, site = KnownContext(age_years=30.0), KnownContext(site=BodySite.FACE)
    both = KnownContext(30.0, Sex.MALE, BodySite.FACE)

    sums = log_ratios(age, FACTORS, 2) + log_ratios(site, FACTORS, 2)

    np.testing.assert_allclose(log_ratios(both, FACTORS, 2), sums)


@given(
    st.lists(st.floats(-600, 600), min_size=3, max_size=3),
    st.lists(st.floats(-20, 20), min_size=3, max_size=3),
    st.floats(0.5, 3),
)
def test_it_is_the_softmax_of_the_sum(logits: list[float], ratios: list[float], temperature: float) -> None:
    fused = fuse(softmax(np.array(logits), temperature), np.array(ratios))

    np.testing.assert_allclose(fused, softmax(np.array(logits) / temperature + ratios), atol=1e-9)
    assert fused.sum() == pytest.approx(1.0)


def test_what_counted_and_what_was_ignored_is_told() -> None:
    known = known_context(PatientContext(age_years=63, sex=Sex.FEMALE, body_site="左耳", ignored=("odd",)))

    use = context_use(known, FACTORS)

    assert use.as_object() == {"used": {"age": 63.0, "site": "ear"}, "ignored": ["odd"]}


def test_a_place_that_is_not_known_is_ignored_and_told() -> None:
    known = known_context(PatientContext(body_site="knee joint, medial meniscus, MRI" * 9))

    assert known.site is None
    assert known.ignored[0].startswith("body site 'knee joint")
    assert len(known.ignored[0]) < 150


def test_a_card_without_factors_still_loads_and_one_with_them_comes_back_whole() -> None:
    hashes = {"onnx_sha256": "0" * 64}
    old = ModelCard.model_validate_json(json.dumps(tiny_card() | hashes))
    new = old.model_copy(update={"context": FACTORS})

    assert old.context is None
    assert ModelCard.model_validate_json(new.model_dump_json()).context == FACTORS


@pytest.mark.parametrize(
    ("term", "said"),
    [
        ({"field": "age", "levels": ["60", "30"], "log_ratios": [[0, 0], [0, 0]]}, "ages must rise"),
        ({"field": "sex", "levels": ["F", "M"], "log_ratios": [[0, 0]]}, "a row for each of its 2 levels"),
        ({"field": "sex", "levels": ["F"], "log_ratios": [[0, 0, 0]]}, "context sex has 3 numbers a level"),
        ({"field": "height", "levels": ["1"], "log_ratios": [[0, 0]]}, "'age', 'sex' or 'site'"),
    ],
)
def test_factors_that_do_not_fit_the_card_are_refused(term: dict[str, object], said: str) -> None:
    factors = {"terms": [term], "ridge": 1.0, "fitted_on": "nothing", "n": 1}

    with pytest.raises(ValidationError, match=said):
        ModelCard.model_validate_json(json.dumps(tiny_card() | {"onnx_sha256": "0" * 64, "context": factors}))
