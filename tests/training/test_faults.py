from pathlib import Path

import pytest

from training.errors import RecipeError
from training.faults import find_lines
from training.recipe import read_recipe


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("[network]", "[netwrk]", "[netwrk]", "netwrk is no key of a recipe; is network meant?"),
        ("epochs = 1\npx = 32", "epochs = 1\npixels = 9\npx = 32", "pixels = 9", "stages.1.pixels is no key"),
        (
            "severity = ",
            "severty = ",
            "severty = ",
            "classes.0.severty is no key of a recipe; is severity meant?",
        ),
        (
            '"93655004", meaning',
            '"93655004", colour = 1, meaning',
            "code = { value",
            "classes.0.code.colour is no key of a recipe; known here are scheme, value, meaning",
        ),
        (
            "mixup_alpha = 0.2",
            "mixup_alpha = -0.2",
            "mixup_alpha",
            "loss.mixup_alpha: input should be greater",
        ),
    ],
)
def test_a_fault_is_told_with_its_line_and_what_was_meant(
    *, tiny_recipe: Path, tmp_path: Path, old: str, new: str, line: str, said: str
) -> None:
    text = tiny_recipe.read_text(encoding="utf-8").replace(old, new, 1)
    path = tmp_path / "broken.toml"
    path.write_text(text, encoding="utf-8")
    number = next(place for place, one in enumerate(text.splitlines(), start=1) if one.startswith(line))

    with pytest.raises(RecipeError) as refused:
        read_recipe(path)

    assert f"{path}, " in str(refused.value)
    assert f"line {number}: {said}" in str(refused.value)


def test_every_fault_is_told_at_once(tiny_recipe: Path, tmp_path: Path) -> None:
    text = tiny_recipe.read_text(encoding="utf-8")
    path = tmp_path / "broken.toml"
    path.write_text(text.replace("drop_path", "drop_pth").replace("shift", "schift"), encoding="utf-8")

    with pytest.raises(RecipeError, match=r"drop_pth .*; line \d+: augment\.schift"):
        read_recipe(path)


def test_what_a_long_text_or_a_comment_says_is_no_key() -> None:
    assert find_lines('a = """\nb = 1\n"""\n# c = 1\n"d" = 2') == {("a",): 1, ("d",): 5}


def test_a_table_below_an_array_belongs_to_its_last_table() -> None:
    assert find_lines("[[a]]\n[a.b]\nc = 1\n[[a]]\n[a.b]\nc = 2")["a", 1, "b", "c"] == 6
