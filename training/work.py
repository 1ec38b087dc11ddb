"""Puts recipe, data, device and the run's folder together; every verb of the program starts here."""

from dataclasses import dataclass
from pathlib import Path

import torch

from training import loop
from training.dataset import LabelledSet, Pixels, cached_pixels, read_labelled_set
from training.errors import TrainingError
from training.recipe import Recipe, read_recipe
from training.run import Run

RUNS = Path("runs")


@dataclass(frozen=True)
class Work:
    """A recipe with all that it needs to be worked on."""

    recipe: Recipe
    labelled: LabelledSet
    run: Run
    caches: Path
    device: torch.device

    def pixels_at(self, px: int) -> Pixels:
        """Give the set's pictures at a size, from the cache."""
        return cached_pixels(self.labelled, self.recipe.input_at(px), self.caches)

    def fit(self) -> None:
        """Train, or continue."""
        loop.fit(self.recipe, self.labelled, self.pixels_at, self.run, device=self.device)


def open_work(
    recipe_path: Path, *, run: Path | None, datasets: Path | None, device: str, threads: int | None
) -> Work:
    """Read the recipe and its source, and choose the device.

    Raises
    ------
    TrainingError
        If the recipe or its data cannot be read, or there is no such device.
    """
    recipe = read_recipe(recipe_path)
    if device == "cuda" and not torch.cuda.is_available():
        raise TrainingError("there is no CUDA device here; use --device cpu")
    if threads is not None:
        torch.set_num_threads(threads)
    folder = run if run is not None else RUNS / recipe.name
    return Work(
        recipe=recipe,
        labelled=read_labelled_set(recipe, datasets),
        run=Run(folder),
        caches=folder.parent / "cache",
        device=torch.device(device),
    )
