"""What is wrong with a recipe, its table or the disk: each stops the program in one sentence, status 1."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.program import Program, Said
from training import saving
from training.checkpoint import read_progress

CLASSES = ("mel", "nv", "vasc")


def stops(said: Said) -> str:
    """Give the one sentence that a program stopped with."""
    assert said.status == 1
    lines = [line for line in said.err.splitlines() if line.startswith("firstread-train: ")]
    assert len(lines) == 1
    assert "Traceback" not in said.err
    assert said.err.splitlines()[-1] == lines[0]
    return lines[0].removeprefix("firstread-train: ")


@pytest.fixture
def own_set(tmp_path: Path) -> Path:
    """Give a folder with a table of 30 noisy pictures in ten groups of each of three classes."""
    draws = np.random.default_rng(0)
    lines = ["path,label,group"]
    for number in range(30):
        name, label = f"{number:02}.png", CLASSES[number % 3]
        Image.fromarray(draws.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(tmp_path / name)
        lines.append(f"{name},{label},P{number:02}")
    (tmp_path / "own.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def own_recipe(own_set: Path, tiny_recipe: Path) -> Path:
    path = own_set / "own.toml"
    old = 'kind = "ham10000"\nfolder = "tiny"'
    text = tiny_recipe.read_text(encoding="utf-8")
    assert old in text
    path.write_text(
        text.replace(old, f'kind = "manifest"\nfolder = "{own_set}"\ntable = "own.csv"'), encoding="utf-8"
    )
    return path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def fit(program: Program, recipe: Path) -> Said:
    return program("fit", recipe, "--run", recipe.parent / "run", "--threads", 1)


def test_an_unknown_key_is_told_with_its_line_and_the_one_meant(program: Program, own_recipe: Path) -> None:
    edit(own_recipe, "ema_decay", "ema_dekay")

    sentence = stops(fit(program, own_recipe))

    assert (
        sentence == f"{own_recipe}, line 50: optimiser.ema_dekay is no key of a recipe; is ema_decay meant?"
    )


def test_a_label_that_is_no_class_is_told_with_its_row(program: Program, own_recipe: Path) -> None:
    table = own_recipe.with_name("own.csv")
    edit(table, "04.png,nv", "04.png,naevus")

    sentence = stops(fit(program, own_recipe))

    picture = own_recipe.with_name("04.png")
    said = f"{picture} is labelled 'naevus', no class of the recipe; it has mel, nv, vasc"
    assert sentence == f"{table}, line 6: {said}"


def test_a_group_that_spans_folds_is_told_with_both_rows(program: Program, own_recipe: Path) -> None:
    table = own_recipe.with_name("own.csv")
    rows = table.read_text(encoding="utf-8").splitlines()
    folds = [f"{row},{number // 3 % 5}" for number, row in enumerate(rows[1:])]
    table.write_text("\n".join([f"{rows[0]},fold", *folds]) + "\n", encoding="utf-8")
    edit(table, "P09,3", "P00,3")

    sentence = stops(fit(program, own_recipe))

    assert sentence == f"{table}, line 11: group 'P00' stands in fold 3, but in fold 0 in line 2"


def test_a_fold_that_the_recipe_does_not_have_is_told_with_its_row(
    program: Program, own_recipe: Path
) -> None:
    table = own_recipe.with_name("own.csv")
    rows = table.read_text(encoding="utf-8").splitlines()
    stated = [f"{row},{5 if number == 7 else number // 3 % 5}" for number, row in enumerate(rows[1:])]
    table.write_text("\n".join([f"{rows[0]},fold", *stated]) + "\n", encoding="utf-8")

    sentence = stops(fit(program, own_recipe))

    assert sentence == f"{table}, line 9: {own_recipe.with_name('07.png')} has fold 5, expected 0 to 4"


def test_a_missing_image_is_told_with_its_row_and_the_others_rows(program: Program, own_recipe: Path) -> None:
    for name in ("03.png", "11.png"):
        own_recipe.with_name(name).unlink()

    sentence = stops(fit(program, own_recipe))

    missing = own_recipe.with_name("03.png")
    said = f"{missing} does not exist, nor does the image of line 13"
    assert sentence == f"{own_recipe.with_name('own.csv')}, line 5: {said}"


def test_an_image_that_cannot_be_read_is_told_with_its_row_and_code(
    program: Program, own_recipe: Path
) -> None:
    own_recipe.with_name("05.png").write_bytes(b"")

    sentence = stops(fit(program, own_recipe))

    where = f"{own_recipe.with_name('own.csv')}, line 7: empty-file: {own_recipe.with_name('05.png')}"
    assert sentence.startswith(where)


def test_a_class_in_fewer_groups_than_folds_is_told(program: Program, own_recipe: Path) -> None:
    table = own_recipe.with_name("own.csv")
    rows = table.read_text(encoding="utf-8").splitlines()
    few = [row for number, row in enumerate(rows) if "vasc" not in row or number <= 12]
    table.write_text("\n".join(few) + "\n", encoding="utf-8")

    sentence = stops(fit(program, own_recipe))

    said = "class 'vasc' lies in 4 groups, too few for 5 folds; ask for fewer folds, or leave the class out"
    assert sentence == f"{own_recipe.parent}: {said}"


def test_a_class_without_an_image_is_told(program: Program, own_recipe: Path) -> None:
    table = own_recipe.with_name("own.csv")
    rows = table.read_text(encoding="utf-8").splitlines()
    table.write_text("\n".join(row for row in rows if "vasc" not in row) + "\n", encoding="utf-8")

    sentence = stops(fit(program, own_recipe))

    assert sentence == f"{own_recipe.parent} has no image of class vasc, which the recipe names"


@pytest.fixture
def foreign(tmp_path: Path, tiny_recipe: Path, finished_run: Path) -> tuple[Path, Path]:
    """Give a recipe with another seed, and a copy of the finished run."""
    other = tmp_path / "other.toml"
    text = tiny_recipe.read_text(encoding="utf-8")
    other.write_text(text.replace("seed = 3", "seed = 4"), encoding="utf-8")
    run = tmp_path / "copy"
    shutil.copytree(finished_run, run)
    return other, run


def test_a_run_of_another_recipe_is_told_by_its_folder(
    program: Program, foreign: tuple[Path, Path], tiny_datasets: Path
) -> None:
    recipe, run = foreign

    sentence = stops(program("fit", recipe, "--run", run, "--data", tiny_datasets))

    assert sentence == f"{run} holds a run of another recipe; choose another folder with --run"


@pytest.mark.parametrize(
    ("verb", "file"), [("fit", "checkpoint.safetensors"), ("evaluate", "best.safetensors")]
)
def test_weights_of_another_recipe_are_told_by_their_file(
    program: Program, foreign: tuple[Path, Path], tiny_datasets: Path, verb: str, file: str
) -> None:
    recipe, run = foreign
    facts = (run / "run.json").read_text(encoding="utf-8")
    ours = read_progress(run / "checkpoint.safetensors").fit_sha256
    from training.recipe import read_recipe

    (run / "run.json").write_text(facts.replace(ours, read_recipe(recipe).fit_sha256), encoding="utf-8")

    sentence = stops(program(verb, recipe, "--run", run, "--data", tiny_datasets))

    said = "is of another recipe; move it away, or choose another folder with --run"
    assert sentence == f"{run / file} {said}"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize(
    ("verb", "file"),
    [
        ("fit", "checkpoint.safetensors"),
        ("fit", "best.safetensors"),
        ("fit", "metrics.jsonl"),
        ("fit", "run.json"),
        ("evaluate", "predictions-test.npz"),
        ("evaluate", "evaluation.json"),
    ],
)
def test_a_full_disk_is_told_by_the_file_that_could_not_be_saved(
    program: Program,
    finished_run: Path,
    tiny_recipe: Path,
    tiny_datasets: Path,
    tmp_path: Path,
    *,
    verb: str,
    file: str,
) -> None:
    run = tmp_path / "run"
    if verb == "fit":
        run.mkdir()
        (tmp_path / "cache").symlink_to(finished_run.parent / "cache")
    else:
        shutil.copytree(finished_run, run)
    (run / file).with_suffix(".partial").symlink_to("/dev/full")

    sentence = stops(program(verb, tiny_recipe, "--run", run, "--data", tiny_datasets, "--threads", 1))

    told = "no space left on device; free space and give the command again, it goes on from what was saved"
    assert sentence == f"{run / file} cannot be saved: {told} before"
    assert not (run / file).exists()
    assert not (run / file).with_suffix(".partial").is_symlink()


def test_a_disk_that_fills_up_in_mid_run_leaves_the_checkpoint_whole_and_the_run_goes_on_from_it(
    *,
    program: Program,
    finished_run: Path,
    tiny_recipe: Path,
    tiny_datasets: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = tmp_path / "run"
    checkpoint = run / "checkpoint.safetensors"
    command = ("fit", tiny_recipe, "--run", run, "--data", tiny_datasets, "--threads", 1)
    (tmp_path / "cache").symlink_to(finished_run.parent / "cache")

    def sync_until_full(descriptor: int) -> None:
        if checkpoint.exists() and read_progress(checkpoint).step == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        os.fsync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(saving, "sync", sync_until_full)
        sentence = stops(program(*command, "--checkpoint-minutes", 0))

    assert sentence.startswith(f"{checkpoint} cannot be saved: no space left on device")
    assert read_progress(checkpoint).step == 2
    assert not list(run.glob("*.partial"))
    assert program(*command).status == 0
    assert (run / "best.safetensors").read_bytes() == (finished_run / "best.safetensors").read_bytes()
    log = (run / "log.txt").read_text(encoding="utf-8")
    assert "at epoch 1, step 3" in log
    assert log.count("epoch 1  px 24") == 1
    assert log.count("epoch 2  px 32") == 1


def test_a_cache_that_finds_no_room_stops_before_the_first_image_and_leaves_nothing(
    program: Program, tiny_recipe: Path, tiny_datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("training.saving.os.posix_fallocate", refuse)

    sentence = stops(program("fit", tiny_recipe, "--run", tmp_path / "run", "--data", tiny_datasets))

    assert sentence.startswith(f"{tmp_path / 'cache'}/")
    assert "px.partial cannot be saved: no space left on device" in sentence
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]  # by which others wait
