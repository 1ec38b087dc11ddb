"""The README says of the shipped models what their cards say, and nothing else."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.card import ModelCard
from models.registry import Registry, shipped_folder
from tests.tiny_model import tiny_card, write_tiny_artifact
from training.cli import app
from training.errors import RunError, TrainingError
from training.kept import KeptFigures, read_kept
from training.published import BEGIN, CLAIMS, END, NOT_MEASURED, Claim, figures_table, table_in, write_table
from training.recipe import read_recipe

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / "training" / "recipes"


def rows_of(table: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]


def test_the_readmes_table_is_that_of_the_shipped_cards() -> None:
    stated = table_in((ROOT / "README.md").read_text(encoding="utf-8"))

    assert stated == figures_table(Registry([shipped_folder()]), RECIPES), "run: firstread-train table"


def test_a_figure_is_the_cards_and_missed_where_it_lies_below_what_was_to_be_reached(tmp_path: Path) -> None:
    write_tiny_artifact(tmp_path)
    card = ModelCard.model_validate_json(json.dumps(tiny_card() | {"onnx_sha256": "0" * 64}))
    name, figure = card.metrics[0].name, card.metrics[0].figure
    claims = [
        Claim("tiny", name, "met", "-", figure.value - 0.01),
        Claim("tiny", name, "missed", "-", figure.value + 0.01),
        Claim("tiny", "no such figure", "absent", "-", 0.5),
        Claim("tiny", "balanced.sensitivity", "point", ".5, others"),
        Claim("not shipped", name, "nothing", "-"),
    ]

    met, missed, absent, point = rows_of(figures_table(Registry([tmp_path]), RECIPES, claims))

    assert f"{figure.value:.3f}".removeprefix("0") in met[2]
    assert (met[4], missed[4]) == ("met", "**missed**")
    assert absent[2] == NOT_MEASURED
    assert point[1] == ".5, others"
    assert "RECIPE` with the hash" in met[6]


def test_every_claim_of_a_shipped_model_stands_in_its_card() -> None:
    table = figures_table(Registry([shipped_folder()]), RECIPES)

    assert NOT_MEASURED not in table
    assert {claim.model for claim in CLAIMS} <= {path.stem for path in RECIPES.glob("*.toml")}


def kept_beside(recipes: Path, tiny_recipe: Path) -> KeptFigures:
    """Put the tiny recipe into a folder of recipes, with made-up figures beside it."""
    (recipes / "drawn.toml").write_text(tiny_recipe.read_text(encoding="utf-8"), encoding="utf-8")
    card = tiny_card()
    kept = KeptFigures.model_validate(
        {
            "recipe": "tiny",
            "recipe_sha256": read_recipe(tiny_recipe).sha256,
            "split_sha256": "0" * 64,
            "measured_on": "out of fold",
            "cost": "trained in 1 min",
            **{name: card[name] for name in ("metrics", "calibration", "operating_points")},
        }
    )
    (recipes / "drawn.json").write_text(kept.model_dump_json(), encoding="utf-8")
    return kept


def test_figures_that_are_kept_beside_a_recipe_stand_in_the_table(tiny_recipe: Path, tmp_path: Path) -> None:
    kept = kept_beside(tmp_path, tiny_recipe)
    claims = [
        Claim("drawn", kept.metrics[0].name, "kept", "-"),
        Claim("drawn", "balanced.specificity", "p", "-"),
    ]

    figure, point = rows_of(figures_table(Registry([tmp_path]), tmp_path, claims))

    assert figure[0] == "kept (`recipe drawn`)"
    assert f"{kept.metrics[0].figure.value:.3f}".removeprefix("0") in figure[2]
    assert figure[6] == "`firstread-train fit training/recipes/drawn.toml`"
    assert point[5] == "out of fold"


def test_kept_figures_of_another_recipe_are_told(tiny_recipe: Path, tmp_path: Path) -> None:
    kept = kept_beside(tmp_path, tiny_recipe)
    recipe = tmp_path / "drawn.toml"
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("seed = 3", "seed = 4"), encoding="utf-8")

    with pytest.raises(TrainingError, match=r"drawn\.json is of another recipe than drawn\.toml"):
        figures_table(Registry([tmp_path]), tmp_path, [Claim("drawn", kept.metrics[0].name, "kept", "-")])


def test_a_file_that_holds_no_kept_figures_is_told(tmp_path: Path) -> None:
    (tmp_path / "drawn.json").write_text("{}", encoding="utf-8")

    with pytest.raises(RunError, match="holds no figures; make it again with: firstread-train keep"):
        read_kept(tmp_path / "drawn.json")


def test_the_table_is_written_between_the_markers_and_nothing_else_changes(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"# before\n\n{BEGIN}\nold\n{END}\n\nafter\n", encoding="utf-8")

    done = CliRunner().invoke(app, ["table", str(shipped_folder()), "--readme", str(readme)])

    assert done.exit_code == 0, done.output
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    assert before == "# before\n\n"
    assert rest.endswith(f"{END}\n\nafter\n")
    assert table_in(readme.read_text(encoding="utf-8")).startswith("| what | published |")


def test_a_file_without_markers_is_left_as_it_is(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("no markers", encoding="utf-8")

    with pytest.raises(TrainingError, match=r"README\.md: the text needs one"):
        write_table(readme, "table")

    assert readme.read_text(encoding="utf-8") == "no markers"
