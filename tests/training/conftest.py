"""A tiny labelled set in HAM10000's layout, drawn from a seed, and a recipe that fits it in seconds."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.program import Program, program_in

# What tells the three classes apart: the colour of a blob.
COLOURS = {"mel": (60, 30, 30), "nv": (150, 100, 60), "vasc": (190, 40, 60)}
N_LESIONS = 15
IMAGES_PER_LESION = 2
SIDE_PX = 48

RECIPE = """
name = "tiny"
version = "1"
title_en = "Drawn blobs"
title_zh = "绘制的斑点"
task = "derm-lesion"
licence = "CC-BY-NC-4.0"
intended_use = "Tests the way from a recipe to a model."
seed = 3
positive = ["mel"]

[source]
kind = "ham10000"
folder = "tiny"
title = "Drawn blobs"
licence = "CC0-1.0"

[folds]
n = 5
seed = 1

[applies_to]
modalities = ["DMS"]

[input]
height = 32
width = 32
colour = "rgb"
resize = "centre-crop"

[network]
name = "efficientnet-lite0"
pretrained = true
drop_path = 0.1

[[stages]]
epochs = 1
px = 24
batch_size = 8

[[stages]]
epochs = 1
px = 32
batch_size = 8

[optimiser]
learning_rate = 0.001
warmup_epochs = 0.5
ema_decay = 0.9

[loss]
mixup_alpha = 0.2

[augment]
flip_vertical = true
rotation_degrees = 180.0
scale = 0.1
shift = 0.05
brightness = 0.1
erase_probability = 0.2

[[operating_points]]
name = "rule-out"
sensitivity = 0.9

[[operating_points]]
name = "balanced"

[[classes]]
key = "mel"
name_en = "Dark blob"
name_zh = "深色斑点"
code = { value = "93655004", meaning = "Malignant melanoma of skin (disorder)" }
severity = "critical"
is_finding = true

[[classes]]
key = "nv"
name_en = "Brown blob"
name_zh = "棕色斑点"
code = { value = "400010006", meaning = "Melanocytic nevus of skin (disorder)" }
severity = "low"
is_finding = true

[[classes]]
key = "vasc"
name_en = "Red blob"
name_zh = "红色斑点"
code = { value = "400210000", meaning = "Hemangioma (disorder)" }
severity = "low"
is_finding = true
"""


@pytest.fixture(scope="session")
def tiny_datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("datasets")
    images = folder / "tiny" / "HAM10000_images_part_1"
    images.mkdir(parents=True)
    draws = np.random.default_rng(0)
    lines = ["lesion_id,image_id,dx,dx_type,age,sex,localization"]
    for label, colour in COLOURS.items():
        for lesion in range(N_LESIONS):
            for view in range(IMAGES_PER_LESION):
                name = f"{label}_{lesion:02d}_{view}"
                Image.fromarray(_blob(colour, draws)).save(images / f"{name}.jpg", quality=95)
                lines.append(f"{label}_{lesion:02d},{name},{label},histo,{30 + lesion},female,back")
    (folder / "tiny" / "HAM10000_metadata.csv").write_text("\n".join(lines) + "\n")
    return folder


def _blob(
    colour: tuple[int, int, int], draws: np.random.Generator
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    picture = np.full((SIDE_PX, SIDE_PX, 3), (215, 180, 160), dtype=np.float64)
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX]
    centre = SIDE_PX / 2 + draws.uniform(-5, 5, size=2)
    radius = draws.uniform(9, 15)
    picture[(rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2] = colour
    picture += draws.normal(0, 6, size=picture.shape)
    return picture.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def finished_run(tiny_recipe: Path, tiny_datasets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of an unbroken run of the tiny recipe, by the program itself."""
    run = tmp_path_factory.mktemp("runs") / "unbroken"
    done = subprocess.run(
        fit_command(tiny_recipe, tiny_datasets, run), capture_output=True, text=True, check=False, timeout=250
    )
    assert done.returncode == 0, done.stderr
    return run


def fit_command(recipe: Path, datasets: Path, run: Path, *options: str) -> list[str]:
    program = "from training.cli import main; main()"
    arguments = ["fit", str(recipe), "--run", str(run), "--data", str(datasets), "--threads", "1", *options]
    return [sys.executable, "-c", program, *arguments]


@pytest.fixture(scope="session")
def start_fit() -> Callable[..., list[str]]:
    """Give the command that fits a recipe: recipe, datasets, run, options."""
    return fit_command


@pytest.fixture(scope="session")
def tiny_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipes") / "tiny.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Program:
    """Run `firstread-train` with some arguments."""
    return program_in(monkeypatch, capfd)
