"""What ships with the product is what its recipe says, and small enough to ship."""

from pathlib import Path

import numpy as np
import pytest

from models.artifact import read_artifact
from models.runtime import Session
from training.dataset import read_labelled_set
from training.recipe import read_recipe
from training.report import PICTURES, PURPOSE
from training.sources import read_input

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / "training" / "recipes"
MODELS = sorted(path.parent for path in (ROOT / "models" / "shipped").glob("*/*/card.json"))
RECIPE = RECIPES / "derm-lesion.toml"
(MODEL,) = (path for path in MODELS if path.parent.name == "derm-lesion")
MAX_BYTES = 20_000_000

of_each_model = pytest.mark.parametrize("model", MODELS, ids=lambda path: f"{path.parent.name}-{path.name}")


def test_three_models_ship() -> None:
    assert {path.parent.name for path in MODELS} == {"cxr-pneumonia", "derm-lesion", "head-ct-haemorrhage"}


@of_each_model
def test_a_shipped_model_is_its_recipes_and_every_file_is_small(model: Path) -> None:
    card = read_artifact(model).card

    assert card.recipe_sha256 == read_recipe(RECIPES / f"{card.name}.toml").sha256
    int8 = {"model-int8.onnx"} if card.variants is not None and card.variants.int8_sha256 else set()
    assert {"model.onnx", "card.json", "CARD.md", "novelty.npz", *PICTURES} | int8 == {
        path.name for path in model.iterdir()
    }
    assert all(path.stat().st_size <= MAX_BYTES for path in model.iterdir())


@of_each_model
def test_no_file_tells_where_it_was_made(model: Path) -> None:
    for path in model.iterdir():
        content = path.read_bytes()
        assert b"training/export.py" not in content, path  # as a stack trace of the exporter has it
        assert b"/site-packages/" not in content, path


@of_each_model
def test_its_card_says_what_it_is_for(model: Path) -> None:
    assert PURPOSE in (model / "CARD.md").read_text(encoding="utf-8")


def test_the_card_of_weights_that_may_not_be_sold_says_so() -> None:
    text = (MODEL / "CARD.md").read_text(encoding="utf-8")

    assert "CC-BY-NC-4.0" in text
    assert "may not be used commercially" in text


@pytest.mark.datasets
def test_it_reaches_on_its_test_fold_what_its_card_says(datasets: Path) -> None:
    artifact = read_artifact(MODEL)
    recipe = read_recipe(RECIPE)
    labelled = read_labelled_set(recipe, datasets)
    rows = labelled.rows_in(recipe.folds.test)[::8]

    batch = np.stack([read_input([labelled.images[row].path], 0, recipe.input) for row in rows])
    predicted = Session(artifact).run(batch).logits.argmax(axis=1)

    assert {part.split_sha256 for part in artifact.card.training_data} == {labelled.split_sha256}
    accuracy = float(np.mean(predicted == labelled.labels[rows]))
    (claimed,) = (
        metric.figure.value
        for metric in artifact.card.metrics
        if (metric.name, metric.group) == ("accuracy", "all")
    )
    # A sample of 250 images has a standard error of about .024.
    assert abs(accuracy - claimed) < 0.08
