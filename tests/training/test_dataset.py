import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.study import LabelledImage
from models.card import Colour
from training import dataset
from training.dataset import cached_pixels, read_labelled_set
from training.errors import DatasetError
from training.recipe import FoldSpec, Recipe, read_recipe
from training.sources import read_input, surroundings


@pytest.fixture
def recipe(tiny_recipe: Path) -> Recipe:
    return read_recipe(tiny_recipe)


def test_folds_hold_whole_lesions_of_every_class(recipe: Recipe, tiny_datasets: Path) -> None:
    labelled = read_labelled_set(recipe, tiny_datasets)

    folds_of_group: dict[str, set[int]] = {}
    for group, fold in zip(labelled.groups, labelled.folds, strict=True):
        folds_of_group.setdefault(group, set()).add(int(fold))
    assert all(len(folds) == 1 for folds in folds_of_group.values())
    assert Counter(zip(labelled.folds.tolist(), labelled.labels.tolist(), strict=True)) == {
        (fold, label): 6 for fold in range(5) for label in range(3)
    }


def test_the_cache_holds_what_preprocessing_gives(
    recipe: Recipe, tiny_datasets: Path, tmp_path: Path
) -> None:
    labelled = read_labelled_set(recipe, tiny_datasets)

    pixels = cached_pixels(labelled, recipe.input, tmp_path)

    assert pixels.shape == (90, 32, 32, 3)
    np.testing.assert_array_equal(pixels[17], read_input([labelled.images[17].path], 0, recipe.input))
    assert not pixels.flags.writeable


def test_a_cache_cut_off_is_continued_where_it_stopped(
    recipe: Recipe, tiny_datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled = read_labelled_set(recipe, tiny_datasets)
    whole = np.array(cached_pixels(labelled, recipe.input, tmp_path / "whole"))
    monkeypatch.setattr(dataset, "PROGRESS_EVERY", 10)
    decoded: list[Path] = []
    patience = 35

    def read_until_killed(paths: list[Path], *rest: object) -> object:
        if len(decoded) == patience:
            raise KeyboardInterrupt
        decoded.extend(paths)
        return read_input(paths, *rest)  # type: ignore[arg-type] # passed through

    monkeypatch.setattr(dataset, "read_input", read_until_killed)
    with pytest.raises(KeyboardInterrupt):
        cached_pixels(labelled, recipe.input, tmp_path / "cut")
    decoded.clear()
    patience = 1000
    monkeypatch.setattr(dataset, "read_input", read_until_killed)

    pixels = cached_pixels(labelled, recipe.input, tmp_path / "cut")

    assert len(decoded) == 60
    np.testing.assert_array_equal(pixels, whole)


# Waits for a line, fills the cache, and says how many images it decoded itself and what it then sees.
FILLER = """
import hashlib, json, sys
from pathlib import Path

from training import dataset
from training.recipe import read_recipe

recipe, datasets, caches = (Path(argument) for argument in sys.argv[1:])
spec = read_recipe(recipe)
labelled = dataset.read_labelled_set(spec, datasets)
decoded, read = [], dataset.read_input
dataset.read_input = lambda *given: decoded.append(1) or read(*given)
print("ready", flush=True)
sys.stdin.readline()
pixels = dataset.cached_pixels(labelled, spec.input, caches)
print(json.dumps([len(decoded), hashlib.sha256(pixels.tobytes()).hexdigest()]))
"""


def test_of_two_processes_that_want_a_cache_one_makes_it(
    tiny_recipe: Path, tiny_datasets: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", FILLER, str(tiny_recipe), str(tiny_datasets), str(tmp_path)]
    both = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    for process in both:
        assert process.stdout is not None
        while process.stdout.readline() != "ready\n":
            assert process.poll() is None

    for process in both:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [json.loads(process.communicate(timeout=60)[0].splitlines()[-1]) for process in both]

    assert [process.returncode for process in both] == [0, 0]
    assert sorted(n_decoded for n_decoded, _ in answers) == [0, 90]
    assert len({sha256 for _, sha256 in answers}) == 1
    assert len(list(tmp_path.glob("*.npy"))) == 1


def test_another_size_is_another_cache(recipe: Recipe, tiny_datasets: Path, tmp_path: Path) -> None:
    labelled = read_labelled_set(recipe, tiny_datasets)

    cached_pixels(labelled, recipe.input, tmp_path)
    cached_pixels(labelled, recipe.input_at(24), tmp_path)
    cached_pixels(labelled, recipe.input_at(24), tmp_path)

    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_data_that_are_not_there_are_told_by_name(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="FIRSTREAD_DATASETS"):
        read_labelled_set(recipe, None)
    with pytest.raises(DatasetError, match="tiny is not a folder"):
        read_labelled_set(recipe, tmp_path)


def test_a_label_without_a_class_is_told_with_its_image(recipe: Recipe, tiny_datasets: Path) -> None:
    fewer = recipe.model_copy(update={"classes": recipe.classes[:2]})

    with pytest.raises(DatasetError, match=r"vasc_00_0\.jpg is labelled 'vasc'"):
        read_labelled_set(fewer, tiny_datasets)


def test_a_manifest_is_read_by_its_table(recipe: Recipe, tiny_datasets: Path, tmp_path: Path) -> None:
    of_ham = read_labelled_set(recipe, tiny_datasets)
    lines = [f"{image.path},{image.label},{image.group}" for image in of_ham.images]
    (tmp_path / "mine.csv").write_text("\n".join(["path,label,group", *lines]) + "\n", encoding="utf-8")
    source = recipe.source.model_copy(
        update={"kind": "manifest", "folder": str(tmp_path), "table": "mine.csv"}
    )

    labelled = read_labelled_set(recipe.model_copy(update={"source": source}), None)

    np.testing.assert_array_equal(labelled.labels, of_ham.labels)
    np.testing.assert_array_equal(labelled.folds, of_ham.folds)


def test_a_kind_of_source_that_is_not_there_is_refused(recipe: Recipe, tiny_datasets: Path) -> None:
    other = recipe.model_copy(update={"source": recipe.source.model_copy(update={"kind": "isic1999"})})

    with pytest.raises(DatasetError, match="isic1999"):
        read_labelled_set(other, tiny_datasets)


def test_the_official_test_split_is_never_in_a_fold(recipe: Recipe, tiny_datasets: Path) -> None:
    official = FoldSpec.model_validate({"n": 3, "official": True, "validation": (0,)})
    source = recipe.source.model_copy(update={"options": {"dermamnist_split": True}})
    recipe = recipe.model_copy(update={"folds": official, "source": source})
    root = tiny_datasets / recipe.source.folder
    names = [image.path.stem for image in read_labelled_set(_plain(recipe), tiny_datasets).images]
    rows = [f"{name},{'test' if place % 9 == 0 else 'train'}" for place, name in enumerate(names)]
    (root / "dermamnist_official_split.csv").write_text("image_id,split\n" + "\n".join(rows) + "\n")

    labelled = read_labelled_set(recipe, tiny_datasets)

    is_tested = np.array([image.split == "test" for image in labelled.images])
    assert (labelled.folds[is_tested] == 3).all()
    assert set(labelled.folds[~is_tested].tolist()) == {0, 1, 2}


def test_a_set_without_an_official_split_is_told(recipe: Recipe, tiny_datasets: Path) -> None:
    official = FoldSpec.model_validate({"n": 3, "official": True, "validation": (0,)})

    with pytest.raises(DatasetError, match="has no official test split"):
        read_labelled_set(recipe.model_copy(update={"folds": official}), tiny_datasets)


def _plain(recipe: Recipe) -> Recipe:
    source = recipe.source.model_copy(update={"options": {}})
    return recipe.model_copy(update={"source": source, "folds": FoldSpec(n=3)})


def test_a_slice_comes_with_its_neighbours_of_the_same_study_only() -> None:
    images = [
        LabelledImage(Path(f"{study}{position}"), "none", study, study=study, position=position)
        for study, position in (("a", 0), ("b", 0), ("a", 1), ("a", 2))
    ]

    around = surroundings(images, Colour.NEIGHBOURS)

    assert around == [((0, 2, 3), 0), ((1,), 0), ((0, 2, 3), 1), ((0, 2, 3), 2)]


def test_a_slice_is_read_with_the_slices_before_and_after_it(tmp_path: Path, recipe: Recipe) -> None:
    paths = [tmp_path / f"{level}.png" for level in (10, 20, 30, 40)]
    for path in paths:
        Image.new("L", (40, 40), int(path.stem)).save(path)
    spec = recipe.input.model_copy(update={"colour": Colour.NEIGHBOURS})

    middle = [read_input(paths, place, spec)[5, 5].tolist() for place in range(4)]

    assert middle == [[10, 10, 20], [10, 20, 30], [20, 30, 40], [30, 40, 40]]


@pytest.mark.datasets
def test_ham10000_has_the_same_split_as_when_the_model_was_made(datasets: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    recipe = read_recipe(root / "training" / "recipes" / "derm-lesion.toml")

    labelled = read_labelled_set(recipe, datasets)

    assert len(labelled.images) == 10015
    assert len(set(labelled.groups)) == 7470
    parts = [set(labelled.groups[labelled.rows_in(folds)]) for folds in ((0,), (1,), (2, 3, 4))]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]  # noqa: PT018 (one thought)
