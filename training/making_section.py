"""Tells in CARD.md how the model was made: network, schedule, changes to its images, time, versions."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from models.card import ModelCard
from training.errors import RunError
from training.pool import finished_folds
from training.recipe import Recipe, Stage
from training.run import Run, read_json


@dataclass(frozen=True, slots=True)
class WallTime:
    """How long networks were trained, one after the other, and with what.

    `seconds` is the sum over their epochs: what a run that was cut off had to do again is not counted.
    """

    seconds: float
    n_networks: int
    n_epochs: int
    n_threads: int
    device: str

    def __str__(self) -> str:
        """Say it in a clause.

        Examples
        --------
        >>> str(WallTime(2160.0, 1, 7, 2, "cpu"))
        'trained in 36 min on 2 threads (cpu)'
        >>> str(WallTime(5400.0, 6, 36, 2, "cpu"))
        '6 networks, trained in 90 min on 2 threads (cpu)'
        """
        of_all = f"{self.n_networks} networks, " if self.n_networks > 1 else ""
        return f"{of_all}trained in {self.seconds / 60:.0f} min on {self.n_threads} threads ({self.device})"


def wall_time(runs: Sequence[Run]) -> WallTime:
    """Add up the epochs of runs.

    Raises
    ------
    RunError
        If one has no ``metrics.jsonl`` or ``run.json``, or they hold something else.
    """
    seconds, n_epochs = 0.0, 0
    facts = [read_json(run.facts) for run in runs]
    for run in runs:
        try:
            lines = run.metrics.read_text(encoding="utf-8").splitlines()
            of_epochs = [float(json.loads(line)["seconds"]) for line in lines]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{run.metrics} does not tell how long each epoch took ({error!r})") from error
        seconds += sum(of_epochs)
        n_epochs += len(of_epochs)
    first = facts[0]
    return WallTime(
        seconds, len(runs), n_epochs, int(first.get("n_threads", 0)), str(first.get("device", "unknown"))
    )


def runs_of(recipe: Recipe, run: Run) -> tuple[Run, ...]:
    """Give the runs of all networks that a recipe trained: of the folds and what ships, or the one."""
    if not recipe.folds.cross:
        return (run,)
    folds = [run.of_fold(fold) for fold in finished_folds(recipe, run)]
    return (*folds, run.refit) if run.refit.facts.is_file() else tuple(folds)


def section(card: ModelCard, recipe: Recipe, run: Run) -> str:
    """Give the card's part on making as Markdown."""
    runs = runs_of(recipe, run)
    facts = read_json(runs[-1].facts)
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    shipped = "last epoch" if recipe.folds.cross or recipe.stopping.choose == "last" else "best epoch"
    lines = [
        f"- Network: {_network(recipe)}",
        (
            f"- Training: {'; '.join(_stage(stage) for stage in recipe.stages)}; what ships are the weights "
            f"of the {shipped}, averaged over steps (decay {recipe.optimiser.ema_decay:g})."
        ),
        (
            f"- Optimiser: AdamW, learning rate {recipe.optimiser.learning_rate:g} falling by cosine, weight "
            f"decay {recipe.optimiser.weight_decay:g}."
        ),
        (
            f"- Loss: cross entropy, label smoothing {recipe.loss.label_smoothing:g}, classes balanced by "
            f"{recipe.loss.balance_by} with exponent {recipe.loss.balance:g}."
        ),
        f"- Changes to the images of training: {_changes(recipe)}.",
        (
            f"- Seeds: {recipe.seed} for weights and draws, {recipe.folds.seed} for the folds. One seed: how "
            "much another would change is not known."
        ),
        f"- Cost: {wall_time(runs)}, {sum(stage.epochs for stage in recipe.stages)} epochs wanted for each.",
        f"- Versions: python {facts.get('python', 'unknown')}, {versions}.",
        (
            f"- Recipe `{card.recipe_sha256[:12]}`, network `{card.onnx_sha256[:12]}`, exported "
            f"{card.created:%Y-%m-%d}. The recipe lies in `training/recipes/`; the same recipe, data and "
            "machine give the same weights, bit for bit."
        ),
    ]
    return "## How it was made\n\n" + "\n".join(lines)


def _network(recipe: Recipe) -> str:
    network = recipe.network
    start = "started from ImageNet weights" if network.pretrained else "started from chance"
    more = ", normalisation folded in" if network.folded else ""
    more += f", the first {network.frozen_blocks} blocks kept as they were" if network.frozen_blocks else ""
    return f"{network.name}, {start}, dropout {network.dropout:g}, drop path {network.drop_path:g}{more}."


def _stage(stage: Stage) -> str:
    return f"{stage.epochs} epochs at {stage.px} px, {stage.batch_size} images a step"


def _changes(recipe: Recipe) -> str:
    """Name the augmentations that are used, with their largest change."""
    told = []
    for name, value in recipe.augment.model_dump().items():
        words = name.replace("_", " ")
        if value is True:
            told.append(words)
        elif value and value is not False:
            told.append(f"{words} {value:g}")
    if recipe.loss.mixup_alpha:
        told.append(f"mixup {recipe.loss.mixup_alpha:g}")
    return ", ".join(told) or "none"
