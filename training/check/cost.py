"""Tells how long a recipe will train and how much disk it will need, by training a few steps of it.

The steps are those of the loop itself, on a sample of the set in a folder that is thrown away, so that the
estimate holds whatever a step comes to do. The clock is read whenever the loop takes a batch.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from models.card import InputSpec
from training import loop
from training.dataset import LabelledSet, Pixels, cache_path
from training.errors import DatasetError
from training.inference import BATCH_SIZE
from training.recipe import Recipe, Stage
from training.run import Run
from training.sources import read_input, surroundings

# The first step also sets memory aside and chooses algorithms: it is not counted.
N_STEPS = 4
# What a card, its pictures and the figures take, and the features of an image that are kept: Lite0 has 1280.
SMALL_FILES_BYTES = 5_000_000
BYTES_PER_PREDICTION = 4 * 2048


@dataclass(frozen=True, slots=True)
class StageCost:
    """What a stage takes: seconds for a step, for an image of validation, for all its epochs."""

    px: int
    epochs: int
    n_steps: int
    step_seconds: float
    validation_seconds: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What a recipe takes.

    Attributes
    ----------
    stages : tuple of StageCost
    decoding_seconds : float, s
        Of all images at all sizes that are not in the cache yet, one after the other as training does it.
    n_runs : int
        How often the stages are trained: once, or once for each fold.
    cache_bytes, run_bytes, free_bytes : int
        What will be written to the cache and to the run's folder, and what is free there now.
    """

    stages: tuple[StageCost, ...]
    decoding_seconds: float
    n_runs: int
    cache_bytes: int
    run_bytes: int
    free_bytes: int

    @property
    def seconds(self) -> float:
        """Of everything together, if no run stops early."""
        return self.decoding_seconds + self.n_runs * sum(stage.seconds for stage in self.stages)


@dataclass(eq=False)
class _ClockedPixels:
    """Pictures that note when rows of them are taken."""

    pixels: Pixels
    taken: list[tuple[float, NDArray[np.intp]]] = field(default_factory=list)

    def __getitem__(self, rows: NDArray[np.intp]) -> Pixels:
        self.taken.append((time.perf_counter(), rows))
        return self.pixels[rows]

    def __len__(self) -> int:
        return len(self.pixels)

    def gaps(self, is_asked: Callable[[NDArray[np.intp]], bool]) -> list[float]:
        """Give the seconds between batches that follow each other, both of the kind that is asked for."""
        pairs = zip(self.taken, self.taken[1:], strict=False)
        return [later - earlier for (earlier, one), (later, two) in pairs if is_asked(one) and is_asked(two)]


def measure_cost(
    recipe: Recipe,
    labelled: LabelledSet,
    *,
    readable: NDArray[np.intp],
    run: Run,
    caches: Path,
    device: torch.device,
) -> Cost:
    """Train a few steps of each stage and reckon from them.

    Parameters
    ----------
    recipe : Recipe
    labelled : LabelledSet
    readable : (n,) intp
        The rows whose images can be read.
    run : Run
        Where training would write.
    caches : Path
        Where the pictures would be kept.
    device : torch.device
        Where training would compute.
    """
    of_run = recipe.of_fold(0) if recipe.folds.cross else recipe
    rows = _sample(of_run, labelled, readable)
    sample = labelled.take(rows)
    n_rows = lambda folds: len(labelled.rows_in(folds))  # noqa: E731 (said where it is used)
    sizes = {stage.px: of_run.input_at(stage.px) for stage in of_run.stages}
    pixels, image_seconds = {}, {}
    for px, spec in sizes.items():
        started = time.perf_counter()
        pixels[px] = _decode(labelled, rows, spec)
        image_seconds[px] = (time.perf_counter() - started) / len(rows)
    missing = [px for px, spec in sizes.items() if not cache_path(labelled, spec, caches).exists()]
    n_images = len(labelled.images)

    with tempfile.TemporaryDirectory() as scratch:
        probe = Run(Path(scratch) / "probe")
        stages = tuple(
            _measure_stage(of_run, stage, sample, pixels[stage.px], n_rows=n_rows, probe=probe, device=device)
            for stage in of_run.stages
        )
        # old and new stand side by side while one replaces the other
        weights_bytes = probe.best.stat().st_size
        written = 2 * (probe.checkpoint.stat().st_size + weights_bytes) + 2 * weights_bytes
    n_runs = recipe.folds.n if recipe.folds.cross else 1
    return Cost(
        stages=stages,
        decoding_seconds=n_images * sum(image_seconds[px] for px in missing),
        n_runs=n_runs,
        cache_bytes=n_images * 3 * sum(px * px for px in missing),
        run_bytes=n_runs * written + n_images * BYTES_PER_PREDICTION + SMALL_FILES_BYTES,
        free_bytes=shutil.disk_usage(_nearest_folder(run.folder)).free,
    )


def _measure_stage(
    recipe: Recipe,
    stage: Stage,
    sample: LabelledSet,
    pixels: Pixels,
    *,
    n_rows: Callable[[Sequence[int]], int],
    probe: Run,
    device: torch.device,
) -> StageCost:
    """Train one epoch of a stage on the sample."""
    shutil.rmtree(probe.folder, ignore_errors=True)
    only_this = recipe.model_copy(update={"stages": (stage.model_copy(update={"epochs": 1}),)})
    clocked = _ClockedPixels(pixels)
    is_trained = np.isin(sample.folds, recipe.folds.train)
    # the loop takes rows of its pictures and nothing else
    as_pixels = cast("Pixels", clocked)
    loop.fit(only_this, sample, lambda _: as_pixels, probe, device=device, console=Console(quiet=True))
    steps = clocked.gaps(lambda batch: bool(is_trained[batch].all()))
    views = clocked.gaps(lambda batch: not is_trained[batch].any() and len(batch) == BATCH_SIZE)
    step_seconds = float(np.median(steps[1:] or steps)) if steps else 0.0
    # Without two batches of validation in the sample: forwards alone is a third of a step.
    image_seconds = min(views) / BATCH_SIZE if views else step_seconds / 3.0 / stage.batch_size
    n_steps = max(n_rows(recipe.folds.train) // stage.batch_size, 1)
    validation_seconds = image_seconds * n_rows(recipe.folds.validation)
    return StageCost(
        px=stage.px,
        epochs=stage.epochs,
        n_steps=n_steps,
        step_seconds=step_seconds,
        validation_seconds=validation_seconds,
        seconds=stage.epochs * (n_steps * step_seconds + validation_seconds),
    )


def _sample(recipe: Recipe, labelled: LabelledSet, readable: NDArray[np.intp]) -> NDArray[np.intp]:
    """Choose rows for a few steps and two batches of validation, some of every class.

    A row counts as readable only if its neighbours are, where the network sees them too.

    Raises
    ------
    DatasetError
        If no image of a class can be read.
    """
    fit_rows = set(readable.tolist())
    around = surroundings(labelled.images, recipe.input.colour)
    readable = np.array([row for row in readable if fit_rows.issuperset(around[row][0])], np.intp)
    n_train = (N_STEPS + 1) * max(stage.batch_size for stage in recipe.stages)
    chosen = [
        _spread(np.intersect1d(labelled.rows_in(folds), readable), labelled.labels, n_rows)
        for folds, n_rows in ((recipe.folds.train, n_train), (recipe.folds.validation, 2 * BATCH_SIZE))
    ]
    if len(np.unique(labelled.labels[chosen[0]])) < len(recipe.classes):
        raise DatasetError("no image of some class can be read in the folds that train")
    return np.concatenate(chosen)


def _spread(rows: NDArray[np.intp], labels: NDArray[np.int64], n_rows: int) -> NDArray[np.intp]:
    """Choose `n_rows` of the rows, class by class in turn."""
    turn_of_row = np.zeros(len(rows), np.intp)
    for label in np.unique(labels[rows]):
        of_label = labels[rows] == label
        turn_of_row[of_label] = np.arange(of_label.sum())
    return rows[np.argsort(turn_of_row, kind="stable")[:n_rows]]


def _decode(labelled: LabelledSet, rows: NDArray[np.intp], spec: InputSpec) -> Pixels:
    around = surroundings(labelled.images, spec.colour)
    decoded = []
    for row in rows:
        neighbours, place = around[row]
        decoded.append(read_input([labelled.images[one].path for one in neighbours], place, spec))
    return np.stack(decoded)


def _nearest_folder(path: Path) -> Path:
    """Give the folder itself, or the nearest above it that exists."""
    return next(folder for folder in (path.resolve(), *path.resolve().parents) if folder.is_dir())
