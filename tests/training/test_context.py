import json
from pathlib import Path

import numpy as np
import pytest

from data.study import LabelledImage, PatientContext, Sex
from models.calibration import softmax
from models.card import ModelCard, PatientFactors
from models.context import KnownContext, fuse, log_ratios
from tests.tiny_model import tiny_card
from training.context import choose_factors, context_file, contexts_of, read_context
from training.context_section import section
from training.errors import RunError
from training.predictions import ScoredSet
from training.recipe import ContextSpec, Recipe, read_recipe
from training.run import Run, write_json
from training.trials import held_out

N = 900


@pytest.fixture
def recipe(tiny_recipe: Path) -> Recipe:
    return read_recipe(tiny_recipe).model_copy(update={"context": ContextSpec(fields=("age", "sex"))})


def _drawn(seed: int) -> tuple[ScoredSet, dict[str, KnownContext]]:
    """Draw rows of which the picture tells a part, the age another and the sex nothing."""
    draws = np.random.default_rng(seed)
    seen = draws.normal(0.0, 1.0, size=(N, 3))
    ages = draws.uniform(15, 75, N)
    odds = seen + np.stack([(ages - 45) / 15, np.zeros(N), np.zeros(N)], axis=1)
    labels = np.array([draws.choice(3, p=row) for row in softmax(odds)])
    names = np.array([f"{seed} {row}" for row in range(N)])
    sexes = draws.choice([Sex.FEMALE, Sex.MALE], N)
    known = [KnownContext(None if row % 5 == 0 else float(ages[row]), Sex(sexes[row])) for row in range(N)]
    scored = ScoredSet(
        logits=(2.0 * seen).astype(np.float32),  # twice too sure of itself
        features=np.zeros((N, 4), np.float32),
        labels=labels,
        groups=np.array([f"lesion {seed} {row // 2}" for row in range(N)]),
        names=names,
        studies=names,
        positions=np.zeros(N, np.int64),
    )
    return scored, dict(zip(names.tolist(), known, strict=True))


@pytest.fixture(scope="module")
def drawn() -> tuple[ScoredSet, ScoredSet, dict[str, KnownContext]]:
    (validation, known), (test, more) = _drawn(1), _drawn(2)
    return validation, test, known | more


@pytest.fixture
def factors(recipe: Recipe, drawn: tuple[ScoredSet, ScoredSet, dict[str, KnownContext]]) -> PatientFactors:
    validation, test, contexts = drawn
    return choose_factors(recipe, held_out(recipe, validation, test), contexts, n_resamples=60)


def test_a_field_that_tells_something_is_kept_and_one_that_does_not_is_left_out(
    factors: PatientFactors,
) -> None:
    assert [term.field for term in factors.terms] == ["age"]
    assert factors.left_out == ("sex",)


def test_its_gain_is_measured_on_rows_that_it_was_not_fitted_on(factors: PatientFactors) -> None:
    figure = {metric.name: metric.figure for metric in factors.metrics}

    assert figure["macro_auc_gain"].low > 0.01
    assert figure["auc_mel_gain"].low > 0.01
    assert figure["macro_auc"].n == N


def test_what_it_does_to_the_dangerous_of_each_age_is_told(factors: PatientFactors) -> None:
    gain = {
        metric.group: metric.figure.value for metric in factors.metrics if metric.name == "sensitivity_gain"
    }

    # the class of the old is found more often in the old, and less often in the young
    assert gain["with context, 60 to 74"] > 0.02
    assert gain["with context, 60 to 74"] > gain["with context, 30 to 44"]


def test_it_is_calibrated_with_the_context_and_without(
    factors: PatientFactors, drawn: tuple[ScoredSet, ScoredSet, dict[str, KnownContext]]
) -> None:
    _, test, contexts = drawn
    alone = softmax(test.logits, 2.0)
    ratios = np.stack([log_ratios(contexts[name], factors, 3) for name in test.names.tolist()])

    for probabilities in (alone, fuse(alone, ratios)):
        for place in range(3):
            said, true = probabilities[:, place], test.labels == place
            likely = said > np.median(said)
            assert said[likely].mean() == pytest.approx(true[likely].mean(), abs=0.06)
            assert said[~likely].mean() == pytest.approx(true[~likely].mean(), abs=0.06)


def test_thresholds_of_the_picture_alone_are_measured_with_context(factors: PatientFactors) -> None:
    assert [point.name for point in factors.operating_points] == ["rule-out", "balanced"]
    assert factors.operating_points[0].sensitivity.value > 0.8


def test_where_no_field_pays_the_picture_counts_alone_and_the_card_says_so(
    recipe: Recipe, drawn: tuple[ScoredSet, ScoredSet, dict[str, KnownContext]]
) -> None:
    validation, test, contexts = drawn
    only_sex = recipe.model_copy(update={"context": ContextSpec(fields=("sex", "site"))})

    chosen = choose_factors(only_sex, held_out(only_sex, validation, test), contexts, n_resamples=40)

    assert (chosen.terms, chosen.left_out, chosen.metrics) == ((), ("sex", "site"), ())
    assert "Tried and left out, for it did not pay: sex, site." in section(_card(chosen))


def _card(factors: PatientFactors | None) -> ModelCard:
    fields = tiny_card(classes=("nv", "vasc", "mel")) | {"onnx_sha256": "0" * 64}
    card = ModelCard.model_validate_json(json.dumps(fields))
    return card.model_copy(update={"context": factors})


def test_the_card_shows_the_factors_and_what_they_give(factors: PatientFactors) -> None:
    text = section(_card(factors))

    assert "| field | level | nv | vasc | mel |" in text
    assert "| age | 75 |" in text
    assert "| macro auc |" in text
    assert "| 60 to 74 |" in text
    assert "looks at the picture alone" in section(_card(None))


def test_contexts_are_the_sets_own_by_image_name() -> None:
    image = LabelledImage(Path("a.jpg"), "nv", "g", context=PatientContext(age_years=40, body_site="back"))

    assert contexts_of(["a"], [image])["a"].age_years == 40


def test_what_was_chosen_is_read_back_and_a_recipe_without_context_has_none(
    recipe: Recipe, factors: PatientFactors, tmp_path: Path
) -> None:
    run = Run(tmp_path)
    with pytest.raises(RunError, match=r"context\.json"):
        read_context(recipe, run)
    write_json(context_file(run), factors.model_dump(mode="json"))

    assert read_context(recipe, run) == factors
    assert read_context(recipe.model_copy(update={"context": None}), run) is None
    write_json(context_file(run), {"terms": 3})
    with pytest.raises(RunError, match="firstread-train calibrate"):
        read_context(recipe, run)


def test_a_recipe_without_context_keeps_its_hash(tiny_recipe: Path, tmp_path: Path) -> None:
    plain = read_recipe(tiny_recipe)
    path = tmp_path / "with.toml"
    text = tiny_recipe.read_text(encoding="utf-8")
    path.write_text(
        text.replace("[folds]", '[context]\nfields = ["age", "site"]\n\n[folds]'), encoding="utf-8"
    )
    asking = read_recipe(path)

    assert "context" not in plain.model_dump(mode="json")
    assert asking.sha256 != plain.sha256
    assert asking.fit_sha256 == plain.fit_sha256
