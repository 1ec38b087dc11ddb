"""Puts recipe, data, device and the run's folder together; every verb of the program starts here."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from models.artifact import Artifact
from models.card import ModelCard
from models.networks.outputs import ImageClassifier
from models.runtime import Session
from training import calibrate as calibration
from training import evaluate as evaluation
from training import export as exporting
from training import loop
from training.abstention import material_of
from training.appraisal import measure_evidence, measure_groups_of
from training.context import choose_context
from training.dataset import LabelledSet, Pixels, cached_pixels, read_labelled_set
from training.errors import TrainingError
from training.log import LoggedConsole
from training.pool import finished_folds, read_out_of_fold
from training.predictions import ScoredSet
from training.processes import ALONE, Processes, device_of_rank, joined
from training.quantise import pictures_of
from training.recipe import Recipe, SplitPart, read_recipe
from training.refit import check_folds, known_rows, shipped_parts, soft_targets, stretch
from training.report import report
from training.run import Run
from training.shipping import Shipped, note_shipped, shipped_network

RUNS = Path("runs")
N_PROOF_IMAGES = 128


@dataclass(frozen=True)
class Work:
    """A recipe with all that it needs to be worked on.

    `fold` is that of a crossed recipe whose run this is, if it is one.
    """

    recipe: Recipe
    datasets: Path | None
    run: Run
    caches: Path
    device: torch.device
    fold: int | None = None

    def of_fold(self, fold: int) -> "Work":
        """Give the work on one fold of a crossed recipe."""
        return replace(self, recipe=self.recipe.of_fold(fold), run=self.run.of_fold(fold), fold=fold)

    @cached_property
    def labelled(self) -> LabelledSet:
        """The recipe's rows and their folds."""
        return read_labelled_set(self.recipe, self.datasets)

    def pixels_at(self, px: int) -> Pixels:
        """Give the set's pictures at a size, from the cache."""
        return cached_pixels(self.labelled, self.recipe.input_at(px), self.caches)

    def fit(self, checkpoint_minutes: float, together: Processes = ALONE) -> Path:
        """Train, or continue, a crossed recipe fold by fold; give the folder that holds the weights."""
        if self.recipe.folds.cross:
            for fold in range(self.recipe.folds.n):
                self.of_fold(fold).fit(checkpoint_minutes, together)
            return self.run.folder
        loop.fit(
            self.recipe,
            self.labelled,
            self.pixels_at,
            self.run,
            device=self.device,
            checkpoint_minutes=checkpoint_minutes,
            console=LoggedConsole(self.run, self.device),
            together=together,
        )
        return self.run.folder

    def refit(self, checkpoint_minutes: float, together: Processes = ALONE) -> Path:
        """Train the network of a crossed recipe that ships, on all folds; give the folder that holds it."""
        if not self.recipe.folds.cross:
            raise TrainingError(f"{self.recipe.name} is not crossed: what fit trained is what ships")
        loop.fit(
            self.recipe.whole,
            self.labelled,
            self.pixels_at,
            self.run.refit,
            device=self.device,
            checkpoint_minutes=checkpoint_minutes,
            soft_targets=soft_targets(self.recipe, self.labelled, self.run),
            console=LoggedConsole(self.run.refit, self.device),
            together=together,
        )
        return self.run.refit.folder

    def evaluate(self) -> Path:
        """Score the folds and measure the test folds; of a crossed recipe, all that are finished together."""
        if self.recipe.folds.cross:
            for fold in finished_folds(self.recipe, self.run):
                of_fold = self.of_fold(fold)
                if not of_fold.run.is_evaluated:
                    of_fold.evaluate()
            evaluation.evaluate_pooled(self.recipe, self.labelled, self.run)
            return self.run.evaluation
        self.run.check_is_of(self.recipe, self.labelled)
        pixels = self.pixels_at(self.recipe.input.height)
        parts: tuple[SplitPart, ...] = ("train", "validation", "test") if self.fold is None else ("test",)
        evaluation.evaluate(self.recipe, self.labelled, pixels, self.run, device=self.device, parts=parts)
        return self.run.evaluation

    def calibrate(self) -> Path:
        """Fit calibration, thresholds and what a patient's context says; measure them on other rows."""
        calibration.calibrate(self.recipe, self.run)
        if self.recipe.context is not None:
            choose_context(self.recipe, self.run, self.labelled)
        return self.run.calibration

    def export(
        self, destination: Path | None, *, with_int8: bool = True, fold: int | None = None
    ) -> tuple[Artifact, float]:
        """Write the model's folder; give what was written and the largest difference from torch.

        Of a crossed recipe the refit ships, or with `fold` the network of that fold. Its figures by group go
        into the card; whether its maps are evidence is measured on what was written.
        """
        shipped = shipped_network(self.recipe, self.run, fold)
        if fold is not None and fold not in finished_folds(self.recipe, self.run):
            raise TrainingError(
                f"fold {fold} is not finished; train it with: firstread-train fit --fold {fold}"
            )
        shipped.run.check_is_of(shipped.trained, self.labelled)
        network = evaluation.best_network(shipped.trained, shipped.run, torch.device("cpu"))
        pixels = self.pixels_at(self.recipe.input.height)
        spread = np.linspace(0, len(pixels) - 1, min(N_PROOF_IMAGES, len(pixels))).astype(np.intp)
        measure_groups_of(self.recipe, self.labelled, self.run)
        artifact, difference = exporting.export(
            self.recipe,
            network,
            pixels[spread],
            self.run,
            destination or self.run.models,
            shipped=shipped,
            scored=self._parts(shipped, network, pixels),
            pictures=pictures_of(shipped.view, self.labelled, pixels) if with_int8 else None,
            material=material_of(shipped.view, self.labelled, pixels, self.datasets),
        )
        measure_evidence(shipped.view, Session(artifact), self.labelled, pixels, self.run)
        note_shipped(self.run, shipped)
        return artifact, difference

    def _parts(
        self, shipped: Shipped, network: ImageClassifier, pixels: Pixels
    ) -> Mapping[SplitPart, ScoredSet] | None:
        """Score what the network of a crossed recipe knows its own kind of picture by; None as evaluated."""
        if shipped.is_refit:
            return self._refit_parts(network, pixels)
        if shipped.fold is None:
            return None
        rows = self.labelled.rows_in(shipped.trained.folds.train)
        known = evaluation.score(
            self.recipe, network, self.labelled, pixels, rows=rows, device=torch.device("cpu")
        )
        unknown = read_out_of_fold(self.recipe, self.run)[shipped.fold]
        return {"train": known, "validation": unknown, "test": unknown}

    def _refit_parts(self, network: ImageClassifier, pixels: Pixels) -> Mapping[SplitPart, ScoredSet]:
        """Score the rows with the network that ships, and some with those of the folds that they trained."""
        recipe, labelled, run = self.recipe, self.labelled, self.run
        check_folds(recipe, run)
        known = []
        for fold in range(recipe.folds.n):
            of_fold = evaluation.best_network(recipe.of_fold(fold), run.of_fold(fold), self.device)
            rows = known_rows(recipe, labelled, fold)
            known.append(evaluation.score(recipe, of_fold, labelled, pixels, rows=rows, device=self.device))
        unknown = [*read_out_of_fold(recipe, run).values()]
        times = stretch(known, unknown, acceptance=recipe.novelty_acceptance)
        every = np.arange(len(labelled.images))
        scored = evaluation.score(recipe, network, labelled, pixels, rows=every, device=torch.device("cpu"))
        return shipped_parts(recipe, labelled, scored, times)

    def report(self, destination: Path | None) -> Path:
        """Write CARD.md and its pictures beside the exported model."""
        folder = (destination or self.run.models) / self.recipe.name / self.recipe.version
        if not (folder / "card.json").is_file():
            raise TrainingError(f"{folder} holds no model yet; write it with: firstread-train export")
        card: ModelCard = exporting.read_card(folder)
        return report(card, self.recipe, self.run, folder)


def open_work(
    recipe_path: Path,
    *,
    run: Path | None,
    datasets: Path | None,
    device: str,
    threads: int | None,
    fold: int | None = None,
) -> Work:
    """Read the recipe and choose the device; with `fold`, take that run of a crossed recipe.

    Raises
    ------
    TrainingError
        If the recipe cannot be read, or there is no such device or fold.
    """
    recipe = read_recipe(recipe_path)
    if device != "cpu" and torch.device(device_of_rank(device)).index >= torch.cuda.device_count():
        raise TrainingError(f"there is no device {device} here; use --device cpu, or fewer processes")
    if threads is not None:
        torch.set_num_threads(threads)
    folder = run if run is not None else RUNS / recipe.name
    work = Work(
        recipe=recipe,
        datasets=datasets,
        run=Run(folder),
        caches=folder.parent / "cache",
        device=torch.device(device_of_rank(device)),
    )
    return work if fold is None else work.of_fold(fold)


@dataclass(frozen=True)
class Training:
    """What each of several processes that train together must be told."""

    verb: Literal["fit", "refit"]
    recipe: Path
    run: Path | None
    datasets: Path | None
    device: str
    threads: int | None
    fold: int | None
    checkpoint_minutes: float


def train_together(training: Training, rendezvous: str) -> None:
    """Train in one of several processes; its rank stands in the environment."""
    work = open_work(
        training.recipe,
        run=training.run,
        datasets=training.datasets,
        device=training.device,
        threads=training.threads,
        fold=training.fold,
    )
    with joined(work.device, rendezvous) as together:
        (work.fit if training.verb == "fit" else work.refit)(training.checkpoint_minutes, together)
