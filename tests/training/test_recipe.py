from pathlib import Path

import pytest

from training.errors import RecipeError
from training.recipe import FoldSpec, PointSpec, Recipe, read_recipe

RECIPES = Path(__file__).resolve().parents[2] / "training" / "recipes"


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_of_the_house_can_be_read_and_tells_its_licence(path: Path) -> None:
    recipe = read_recipe(path)

    assert recipe.name == path.stem
    assert recipe.licence
    assert recipe.source.licence
    assert recipe.stages[-1].px == recipe.input.width


def test_derm_lesion_has_the_classes_of_ham10000_in_their_fixed_order() -> None:
    recipe = read_recipe(RECIPES / "derm-lesion.toml")

    assert recipe.class_keys == ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    assert recipe.positive == ("akiec", "bcc", "mel")
    assert recipe.licence == "CC-BY-NC-4.0"


def _broken(tiny_recipe: Path, tmp_path: Path, old: str, new: str) -> Path:
    text = tiny_recipe.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "broken.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "drop_path = 0.1",
            "drop_pth = 0.1",
            "line 34: network.drop_pth is no key of a recipe; is drop_path meant?",
        ),
        ("learning_rate = 0.001", "", "line 46: optimiser.learning_rate: field required"),
        ("learning_rate = 0.001", "learning_rate = -1", "optimiser.learning_rate: input should be greater"),
        ("px = 24", "px = 'small'", "line 38: stages.0.px: input should be a valid integer"),
        ('positive = ["mel"]', 'positive = ["scc"]', "positive names unknown classes: scc"),
        ("px = 32", "px = 48", "the last stage trains at 48 px, but the input is 32 x 32"),
        ('name = "balanced"', 'name = "rule-in"', "rule-in must state a sensitivity or a specificity"),
        ("n = 5", "n = 2", "no fold is left to train on"),
        ('key = "nv"', 'key = "mel"', "class keys repeat"),
        ("[folds]", "[folds", "is no TOML file"),
    ],
)
def test_a_fault_is_told_with_its_file_and_key(
    tiny_recipe: Path, tmp_path: Path, old: str, new: str, said: str
) -> None:
    path = _broken(tiny_recipe, tmp_path, old, new)

    with pytest.raises(RecipeError) as refused:
        read_recipe(path)

    assert str(path) in str(refused.value)
    assert said in str(refused.value)


def test_a_comment_leaves_the_hash_as_it_is_and_a_value_does_not(tiny_recipe: Path, tmp_path: Path) -> None:
    commented = _broken(tiny_recipe, tmp_path, "[folds]", "# five\n[folds]")
    first, second = read_recipe(tiny_recipe), read_recipe(commented)
    assert first.sha256 == second.sha256

    changed = read_recipe(_broken(tiny_recipe, tmp_path, "ema_decay = 0.9", "ema_decay = 0.8"))

    assert changed.sha256 != first.sha256
    assert changed.fit_sha256 != first.fit_sha256


def test_each_epoch_belongs_to_its_stage(tiny_recipe: Path) -> None:
    recipe: Recipe = read_recipe(tiny_recipe)

    assert [recipe.stage_of_epoch(epoch).px for epoch in range(recipe.n_epochs)] == [24, 32]
    with pytest.raises(ValueError, match="2 epochs only"):
        recipe.stage_of_epoch(2)


def test_the_folds_that_neither_test_nor_validate_train() -> None:
    assert FoldSpec(n=5, test=(4,), validation=(0, 2)).train == (1, 3)


def test_the_official_split_is_tested_and_the_other_rows_are_folded() -> None:
    folds = FoldSpec.model_validate({"n": 5, "official": True, "validation": (0,)})

    assert folds.parts == {"train": (1, 2, 3, 4), "validation": (0,), "test": (5,)}
    assert folds.text_of(folds.test) == "the official test split"


@pytest.mark.parametrize("more", [{"test": (1,)}, {"cross": True}])
def test_the_official_split_leaves_no_other_to_be_tested(more: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"leave (test|validation)"):
        FoldSpec.model_validate({"n": 5, "official": True, "validation": (0,), **more})


def test_a_point_has_one_aim() -> None:
    with pytest.raises(ValueError, match="not both"):
        PointSpec(name="balanced", sensitivity=0.9, specificity=0.9)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_snomed_code_ends_with_its_own_check_digit(path: Path) -> None:
    for spec in read_recipe(path).classes:
        assert spec.code.scheme == "SCT"
        assert spec.code.meaning.endswith("(disorder)" if spec.is_finding else "(qualifier value)")
        assert _verhoeff(spec.code.value) == 0


def _verhoeff(digits: str) -> int:
    """Give the sum of Verhoeff's scheme: 0 for a SNOMED CT identifier that is whole."""
    moved = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit)
        for _ in range(place % 8):
            value = moved[value]
        total = _times(total, value)
    return total


def _times(first: int, second: int) -> int:
    """Multiply in the symmetry group of the pentagon: 0 to 4 turn it, 5 to 9 turn and mirror it."""
    turns = first % 5 + second % 5 if first < 5 else first % 5 - second % 5
    return turns % 5 + 5 * ((first >= 5) != (second >= 5))
