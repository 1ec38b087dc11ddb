"""Puts recipe, data, device and the run's folder together; every verb of the program starts here."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from models.card import ModelCard
from models.runtime import Session
from training import calibrate as calibration
from training import evaluate as evaluation
from training import export as exporting
from training import loop
from training.appraisal import measure_evidence, measure_groups_of
from training.dataset import LabelledSet, Pixels, cached_pixels, read_labelled_set
from training.errors import TrainingError
from training.recipe import Recipe, read_recipe
from training.report import report
from training.run import Run

RUNS = Path("runs")
N_PROOF_IMAGES = 128


@dataclass(frozen=True)
class Work:
    """A recipe with all that it needs to be worked on."""

    recipe: Recipe
    datasets: Path | None
    run: Run
    caches: Path
    device: torch.device

    @cached_property
    def labelled(self) -> LabelledSet:
        """The recipe's rows and their folds."""
        return read_labelled_set(self.recipe, self.datasets)

    def pixels_at(self, px: int) -> Pixels:
        """Give the set's pictures at a size, from the cache."""
        return cached_pixels(self.labelled, self.recipe.input_at(px), self.caches)

    def fit(self, checkpoint_minutes: float) -> Path:
        """Train, or continue; give the file of the best weights."""
        loop.fit(
            self.recipe,
            self.labelled,
            self.pixels_at,
            self.run,
            device=self.device,
            checkpoint_minutes=checkpoint_minutes,
        )
        return self.run.best

    def evaluate(self) -> Path:
        """Score the folds and measure the test folds."""
        self.run.check_is_of(self.recipe, self.labelled)
        pixels = self.pixels_at(self.recipe.input.height)
        evaluation.evaluate(self.recipe, self.labelled, pixels, self.run, device=self.device)
        return self.run.evaluation

    def calibrate(self) -> Path:
        """Fit temperature and thresholds on validation, measure them on the test folds."""
        calibration.calibrate(self.recipe, self.run)
        return self.run.calibration

    def export(self, destination: Path | None) -> tuple[Path, float]:
        """Write the model's folder; give it and the largest difference from torch.

        Its figures by group go into the card; whether its maps are evidence is measured on what was written.
        """
        self.run.check_is_of(self.recipe, self.labelled)
        network = evaluation.best_network(self.recipe, self.run, torch.device("cpu"))
        pixels = self.pixels_at(self.recipe.input.height)
        spread = np.linspace(0, len(pixels) - 1, min(N_PROOF_IMAGES, len(pixels))).astype(np.intp)
        measure_groups_of(self.recipe, self.labelled, self.run)
        artifact, difference = exporting.export(
            self.recipe, network, pixels[spread], self.run, destination or self.run.models
        )
        measure_evidence(self.recipe, Session(artifact), self.labelled, pixels, self.run)
        return artifact.folder, difference

    def report(self, destination: Path | None) -> Path:
        """Write CARD.md and its pictures beside the exported model."""
        folder = (destination or self.run.models) / self.recipe.name / self.recipe.version
        if not (folder / "card.json").is_file():
            raise TrainingError(f"{folder} holds no model yet; write it with: firstread-train export")
        card: ModelCard = exporting.read_card(folder)
        return report(card, self.run, folder)


def open_work(
    recipe_path: Path, *, run: Path | None, datasets: Path | None, device: str, threads: int | None
) -> Work:
    """Read the recipe and choose the device.

    Raises
    ------
    TrainingError
        If the recipe cannot be read, or there is no such device.
    """
    recipe = read_recipe(recipe_path)
    if device == "cuda" and not torch.cuda.is_available():
        raise TrainingError("there is no CUDA device here; use --device cpu")
    if threads is not None:
        torch.set_num_threads(threads)
    folder = run if run is not None else RUNS / recipe.name
    return Work(
        recipe=recipe,
        datasets=datasets,
        run=Run(folder),
        caches=folder.parent / "cache",
        device=torch.device(device),
    )
