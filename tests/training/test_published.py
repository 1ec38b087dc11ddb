"""The README says of the shipped models what their cards say, and nothing else."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.card import ModelCard
from models.registry import Registry, shipped_folder
from tests.tiny_model import tiny_card, write_tiny_artifact
from training.cli import app
from training.errors import TrainingError
from training.published import BEGIN, CLAIMS, END, NOT_MEASURED, Claim, figures_table, table_in, write_table

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
