"""Fits a network to a labelled set; read it from top to bottom.

Nothing here remembers a random state. The order of an epoch is drawn from (seed, epoch), and torch's
generator is seeded anew before each step from (seed, epoch, step): augmentation, dropout and drop-path of a
step are the same whether the run came there in one go or was killed and continued, and so are the weights:
bit for bit on a CPU with the same number of threads; CUDA may add in another order.
"""

import hashlib
import json
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from models.calibration import softmax
from models.measures import accuracy, balanced_accuracy, macro_auc
from models.networks.outputs import ImageClassifier
from training import checkpoint
from training.augment import build_augmentation
from training.compiling import forward_of
from training.dataset import LabelledSet, Pixels, batches
from training.ema import MovingAverage
from training.errors import TrainingError
from training.inference import as_images, move, predict
from training.loss import class_weights, distillation, draw_rows, mix, one_hot, soft_cross_entropy
from training.network import network_of
from training.processes import ALONE, Processes
from training.recipe import Recipe
from training.run import Run
from training.saving import replacing
from training.schedule import learning_rate_part


def fit(  # noqa: PLR0915 (prose: one step after the other)
    recipe: Recipe,
    labelled: LabelledSet,
    pixels_at: Callable[[int], Pixels],
    run: Run,
    *,
    device: torch.device,
    checkpoint_minutes: float = 5.0,
    soft_targets: NDArray[np.float32] | None = None,
    console: Console | None = None,
    together: Processes = ALONE,
) -> checkpoint.Progress:
    """Train until the recipe's epochs are done or none is better any more; continue a run that was cut off.

    Parameters
    ----------
    recipe : Recipe
        What to train and how.
    labelled : LabelledSet
        The rows and their folds.
    pixels_at : callable
        Gives the cache (n_rows, px, px, 3) uint8 at a size.
    run : Run
        The folder; `best.safetensors` in it is the result.
    device : torch.device
        Where to train.
    checkpoint_minutes : float, min
        How much work a kill may cost at most; at the end of each epoch the run is saved in any case.
    soft_targets : (n_rows, n_classes) float32 or None
        What networks that never saw a row say of it, for the recipe's `distil`.
    console : Console or None
        Where progress is shown.
    together : Processes
        Those that train this network, each of which has called this function.

    Returns
    -------
    Progress
        With the figures of each epoch.
    """
    console = (console or Console(stderr=True)) if together.is_first else Console(quiet=True)
    for stage in recipe.stages:
        together.check_batch(stage.batch_size)
    together.first_then_others(lambda: run.open_for(recipe, labelled, device))
    n_classes = len(recipe.classes)
    train_rows = labelled.rows_in(recipe.folds.train)
    validation_rows = labelled.rows_in(recipe.folds.validation)
    weights = class_weights(labelled.labels[train_rows], n_classes, recipe.loss.balance)
    draws_by_class = recipe.loss.balance > 0.0 and recipe.loss.balance_by == "sampling"
    loss_weights = None if draws_by_class else torch.tensor(weights, dtype=torch.float32, device=device)

    torch.manual_seed(recipe.seed)
    network = network_of(recipe, pretrained=recipe.network.pretrained and not run.checkpoint.exists())
    move(network, device)
    forward = forward_of(network, device, compiled=recipe.network.compiled)
    average = MovingAverage(network, recipe.optimiser.ema_decay)
    optimiser = _optimiser(network, recipe)
    augment = build_augmentation(recipe.augment)
    progress = checkpoint.Progress(recipe.fit_sha256)
    if run.checkpoint.exists():
        checkpoint.check_is_of(run.checkpoint, recipe.fit_sha256)
        progress = checkpoint.read_checkpoint(run.checkpoint, network, average, optimiser)
        console.print(f"continuing {run.folder} at epoch {progress.epoch + 1}, step {progress.step + 1}")
    saved_at = time.monotonic()

    while not progress.is_finished:
        epoch = progress.epoch
        stage = recipe.stage_of_epoch(epoch)
        pixels = together.first_then_others(partial(pixels_at, stage.px))
        order = draw_rows(
            train_rows, labelled.labels, weights if draws_by_class else None, (recipe.seed, epoch)
        )
        n_epoch_steps = max(len(order) // stage.batch_size, 1)
        started = time.monotonic()
        network.train()

        with _bar(console) as bar:
            task = bar.add_task(f"epoch {epoch + 1}/{recipe.n_epochs}, {stage.px} px", total=n_epoch_steps)
            bar.update(task, completed=progress.step)
            for whole_batch in batches(
                order[: n_epoch_steps * stage.batch_size], stage.batch_size, first=progress.step
            ):
                batch = together.share(whole_batch)
                torch.manual_seed(_step_seed(recipe.seed, epoch, progress.step) + together.rank)
                part_of_rate = learning_rate_part(
                    epoch + progress.step / n_epoch_steps,
                    n_epochs=recipe.n_epochs,
                    warmup_epochs=recipe.optimiser.warmup_epochs,
                    final_part=recipe.optimiser.final_part,
                )
                for group in optimiser.param_groups:
                    group["lr"] = recipe.optimiser.learning_rate * part_of_rate

                targets = one_hot(torch.from_numpy(labelled.labels[batch]).to(device), n_classes)
                if soft_targets is not None:  # side by side, for what blends images blends both
                    targets = torch.cat([targets, torch.from_numpy(soft_targets[batch]).to(device)], dim=1)
                images = augment(as_images(pixels[batch], device))
                images, targets = mix(images, targets, recipe.loss.mixup_alpha)
                images = images.contiguous(memory_format=torch.channels_last)
                # bfloat16 needs no loss scaling. On a CPU without matrix units for it, it was slower
                # than float32 (41 against 46 images/s at 128 px), so there it stays off.
                with torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda"):
                    logits = forward(images).logits
                loss = soft_cross_entropy(logits, targets[:, :n_classes], recipe.loss, loss_weights)
                if soft_targets is not None and recipe.distil is not None:
                    taught = distillation(logits, targets[:, n_classes:], recipe.distil.temperature)
                    loss = loss.lerp(taught, recipe.distil.weight)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call] # as torch has it
                together.average(network)
                torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.optimiser.clip_norm)
                optimiser.step()
                average.update(network, progress.n_steps)

                progress.loss_sum += loss.item()
                progress.step += 1
                progress.n_steps += 1
                bar.advance(task)
                if together.is_first and time.monotonic() - saved_at > checkpoint_minutes * 60.0:
                    checkpoint.write_checkpoint(run.checkpoint, progress, network, average, optimiser)
                    saved_at = time.monotonic()

        mean_loss = together.mean(progress.loss_sum / n_epoch_steps, device)
        if not np.isfinite(mean_loss):
            raise TrainingError(
                f"the loss is {mean_loss} in epoch {epoch + 1}; lower optimiser.learning_rate in the recipe"
            )
        if together.is_first:
            figures = _figures(
                average_network(recipe, average, device), labelled, pixels, validation_rows, device
            )
            progress.history.append(
                {
                    "epoch": epoch + 1,
                    "px": stage.px,
                    "loss": mean_loss,
                    **figures,
                    "learning_rate": optimiser.param_groups[0]["lr"],
                    "seconds": round(time.monotonic() - started, 1),
                }
            )
            _note_the_epoch(recipe, progress, average, run)
        progress.epoch, progress.step, progress.loss_sum = epoch + 1, 0, 0.0
        progress.is_finished = together.of_first(_is_over(recipe, progress), device)
        if not together.is_first:
            continue
        with replacing(run.metrics) as file:
            file.write("".join(json.dumps(line) + "\n" for line in progress.history).encode())
        checkpoint.write_checkpoint(run.checkpoint, progress, network, average, optimiser)
        saved_at = time.monotonic()
        console.print("  ".join(f"{key} {_short(value)}" for key, value in progress.history[-1].items()))
    return progress


def average_network(recipe: Recipe, average: MovingAverage, device: torch.device) -> ImageClassifier:
    """Make the network whose weights are the moving average."""
    network = network_of(recipe)
    network.load_state_dict(average.state)
    move(network, device)
    network.eval()
    return network


def _optimiser(network: torch.nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """Decay the weights of convolutions and the head, but no scale and no bias."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(
        [
            {
                "params": [parameter for parameter in parameters if parameter.ndim > 1],
                "weight_decay": recipe.optimiser.weight_decay,
            },
            {"params": [parameter for parameter in parameters if parameter.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=recipe.optimiser.learning_rate,
        fused=True,
    )


def _step_seed(seed: int, epoch: int, step: int) -> int:
    digest = hashlib.blake2b(f"{seed} {epoch} {step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _figures(
    network: ImageClassifier,
    labelled: LabelledSet,
    pixels: Pixels,
    rows: NDArray[np.intp],
    device: torch.device,
) -> dict[str, float]:
    """Measure the averaged weights on the validation folds, if there are any."""
    if not rows.size:
        return {}
    probabilities = softmax(predict(network, pixels, rows, device).logits)
    truth = labelled.labels[rows]
    predicted = probabilities.argmax(axis=1).astype(np.int64)
    n_classes = probabilities.shape[1]
    return {
        "accuracy": accuracy(truth, predicted),
        "balanced_accuracy": balanced_accuracy(truth, predicted, n_classes),
        "macro_auc": macro_auc(truth, probabilities),
    }


def _note_the_epoch(recipe: Recipe, progress: checkpoint.Progress, average: MovingAverage, run: Run) -> None:
    """Keep the weights if this epoch is the one to take: the best of the last stage, or the very last.

    The size of the last stage is the one that ships.
    """
    if recipe.stopping.choose == "last":
        is_chosen = progress.epoch + 1 == recipe.n_epochs
    elif not _is_in_last_stage(recipe, progress.epoch):
        is_chosen = False
    else:
        monitor, best = recipe.stopping.monitor, progress.best_epoch
        score = progress.history[-1][monitor]
        is_chosen = best is None or score > progress.history[best][monitor]
    if is_chosen:
        progress.best_epoch = progress.epoch
        origin = {"fit_sha256": recipe.fit_sha256, "epoch": progress.epoch + 1}
        # One key: safetensors writes several in an order that changes from run to run.
        checkpoint.write_tensors(run.best, average.state, {"origin": json.dumps(origin)})


def _is_in_last_stage(recipe: Recipe, epoch: int) -> bool:
    return epoch >= recipe.n_epochs - recipe.stages[-1].epochs


def _is_over(recipe: Recipe, progress: checkpoint.Progress) -> bool:
    if progress.epoch >= recipe.n_epochs or recipe.stopping.choose == "last":
        return progress.epoch >= recipe.n_epochs
    waited = 0 if progress.best_epoch is None else progress.epoch - 1 - progress.best_epoch
    return waited >= recipe.stopping.patience_epochs


def _bar(console: Console) -> ProgressBar:
    return ProgressBar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def _short(value: float) -> str:
    return f"{value:.4g}"
