"""What `fit --check` finds in a set of one's own, photographs and DICOM mixed, and what becomes of one."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from data.dicom.writing import ObjectInfo, write_photograph
from models.artifact import read_artifact
from tests.training.program import Program

COLOURS = {"mel": (60, 30, 30), "nv": (150, 100, 60), "vasc": (190, 40, 60)}
N_GROUPS = 15


def picture(colour: tuple[int, int, int], draws: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a blob of a colour on a background of its own."""
    coarse = draws.integers(120, 255, (8, 8, 3), dtype=np.uint8)
    drawn = np.array(Image.fromarray(coarse).resize((48, 48), Image.Resampling.BICUBIC))
    rows, columns = np.mgrid[:48, :48]
    centre = 24 + draws.uniform(-8, 8, size=2)
    drawn[(rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < draws.uniform(8, 14) ** 2] = colour
    return drawn


@pytest.fixture
def mixed(tmp_path: Path, tiny_recipe: Path) -> Path:
    """Give a recipe on a table of 90 images, every other one a DICOM object."""
    draws = np.random.default_rng(0)
    rows = ["path,label,group,age,sex"]
    number = 0
    for label, colour in COLOURS.items():
        for group in range(N_GROUPS):
            for view in range(2):
                name = f"{label}_{group:02}_{view}.{'dcm' if number % 2 else 'png'}"
                write(tmp_path / name, picture(colour, draws))
                rows.append(f"{name},{label},{label}{group:02},{30 + group},{'FM'[group % 2]}")
                number += 1
    (tmp_path / "own.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    old = 'kind = "ham10000"\nfolder = "tiny"'
    text = tiny_recipe.read_text(encoding="utf-8")
    assert old in text
    recipe = tmp_path / "own.toml"
    recipe.write_text(
        text.replace(old, f'kind = "manifest"\nfolder = "{tmp_path}"\ntable = "own.csv"'), encoding="utf-8"
    )
    return recipe


def write(path: Path, drawn: NDArray[np.uint8]) -> None:
    if path.suffix == ".png":
        Image.fromarray(drawn).save(path)
    else:
        info = ObjectInfo(seed=path.stem, label="SYNTHETIC", patient_id=path.stem)
        write_photograph(path, drawn, info=info)


def check(program: Program, recipe: Path) -> tuple[int, str, str, dict[str, Any]]:
    """Run `fit --check`; give its answer, and what it wrote as JSON."""
    found = recipe.with_name("found.json")
    said = program("fit", recipe, "--run", recipe.parent / "run", "--threads", 1, "--check", "--json", found)
    return (*said, json.loads(found.read_text(encoding="utf-8")))


def test_a_sound_set_is_counted_timed_and_left_as_it_was(program: Program, mixed: Path) -> None:
    before = sorted(mixed.parent.iterdir())

    status, out, err, found = check(program, mixed)

    assert (status, err.strip()) == (0, "")
    assert out.splitlines()[-1] == "ready to train"
    assert (found["n_images"], found["n_groups"]) == (90, 45)
    assert found["classes"][0] == {
        "name": "mel",
        "images": {"train": 18, "validation": 6, "test": 6},
        "groups": {"train": 9, "validation": 3, "test": 3},
    }
    ages = {row["name"]: sum(row["images"].values()) for row in found["attributes"]["age in years"]}
    assert ages == {"30 to 44": 90}
    assert set(found["attributes"]) == {"sex", "age in years"}
    assert found["unreadable"] == found["leaks"] == found["errors"] == found["warnings"] == []
    assert [stage["px"] for stage in found["cost"]["stages"]] == [24, 32]
    assert all(stage["step_seconds"] > 0 for stage in found["cost"]["stages"])
    assert found["cost"]["cache_bytes"] == 90 * 3 * (24 * 24 + 32 * 32)
    assert found["cost"]["run_bytes"] < found["cost"]["free_bytes"]
    assert [path for path in sorted(mixed.parent.iterdir()) if path.name != "found.json"] == before


def test_everything_that_is_wrong_is_told_at_once_and_stops_with_one_sentence(
    program: Program, mixed: Path
) -> None:
    draws = np.random.default_rng(1)
    stolen = Image.open(mixed.with_name("nv_00_0.png"))
    for name in ("mel_03_0.png", "vasc_01_0.png", "vasc_04_0.png"):
        stolen.transpose(Image.Transpose.ROTATE_90).save(mixed.with_name(name))
    mixed.with_name("mel_02_0.png").write_bytes(b"")
    whole = mixed.with_name("mel_02_1.dcm").read_bytes()
    mixed.with_name("mel_02_1.dcm").write_bytes(whole[: len(whole) // 2])
    write(mixed.with_name("nv_07_0.png"), draws.integers(0, 256, (40, 90, 3), dtype=np.uint8))

    status, out, err, found = check(program, mixed)

    table = mixed.with_name("own.csv")
    assert status == 1
    assert [(Path(one["path"]).name, one["code"]) for one in found["unreadable"]] == [
        ("mel_02_0.png", "empty-file"),
        ("mel_02_1.dcm", "truncated"),
    ]
    assert found["unreadable"][0]["problem"].startswith(f"{table}, line 6: empty-file: ")
    alike = {Path(path).name for leak in found["leaks"] for path in leak["paths"]}
    assert alike <= {"nv_00_0.png", "mel_03_0.png", "vasc_01_0.png", "vasc_04_0.png"}
    assert len(found["leaks"]) + found["n_alike_within_fold"] == 3
    assert found["leaks"]
    (sentence,) = err.strip().splitlines()
    assert sentence.startswith(f"firstread-train: {mixed} is not ready to train: 2 images cannot be read; ")
    assert "of one picture" in sentence
    assert "line 6: empty-file" in out


def test_missing_images_are_all_listed(program: Program, mixed: Path) -> None:
    for name in ("mel_00_0.png", "vasc_14_1.dcm"):
        mixed.with_name(name).unlink()

    status, _, err, found = check(program, mixed)

    table = mixed.with_name("own.csv")
    assert status == 1
    assert found["missing"] == [
        f"{table}, line 2: {mixed.with_name('mel_00_0.png')}",
        f"{table}, line 91: {mixed.with_name('vasc_14_1.dcm')}",
    ]
    assert err == f"firstread-train: {mixed} is not ready to train: 2 images of {table} are missing\n"


def test_a_disk_without_room_for_the_run_is_told(
    program: Program, mixed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.check.cost.shutil.disk_usage", lambda _: type("Usage", (), {"free": 10**6}))

    status, _, err, _ = check(program, mixed)

    assert status == 1
    assert "cache and run need 0." in err
    assert "but the disk has 0.0 GB free" in err


def test_json_goes_with_check_only(program: Program, mixed: Path) -> None:
    status, _, err = program("fit", mixed, "--json", mixed.with_name("found.json"))

    assert status == 2
    assert "goes with --check only" in err


def test_photographs_and_dicom_in_one_table_become_one_model(program: Program, mixed: Path) -> None:
    run = mixed.parent / "run"

    for verb in ("fit", "evaluate", "calibrate", "export"):
        options = ["--no-int8"] if verb == "export" else []
        status, _, err = program(verb, mixed, "--run", run, *options)
        assert status == 0, err

    artifact = read_artifact(run / "models" / "tiny" / "1")
    assert sum(part.n_images for part in artifact.card.training_data) == 90
    assert {part.n_groups for part in artifact.card.training_data} == {27, 9}
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert {"versions", "seed", "split_sha256", "fit_sha256", "device"} <= facts.keys()
    assert (run / "recipe.json").is_file()
    assert json.loads((run / "evaluation.json").read_text(encoding="utf-8"))["metrics"]
    log = (run / "log.txt").read_text(encoding="utf-8").splitlines()
    assert "torch" in log[0]
    assert "the weights are in" in " ".join(log)
    assert "the model is in" in " ".join(log)
