"""A training step of EfficientNet-Lite0 with the loader's work in it, against the same step without."""

from pathlib import Path

import numpy as np
import torch

from models.networks.build import build_network
from tests.benchmarks.measuring import Figure, in_turn
from training.augment import build_augmentation
from training.inference import as_images, move
from training.loss import one_hot, soft_cross_entropy
from training.recipe import read_recipe

RECIPE = Path(__file__).resolve().parents[2] / "training" / "recipes" / "derm-lesion.toml"
N_IMAGES = 2000


def measure() -> list[Figure]:
    """Time a step at the last stage's size: rows gathered, augmented, trained on; and trained on alone."""
    recipe = read_recipe(RECIPE)
    stage = recipe.stages[-1]
    draws = np.random.default_rng(1)
    pixels = draws.integers(0, 256, (N_IMAGES, stage.px, stage.px, 3), dtype=np.uint8)
    cpu = torch.device("cpu")
    network = build_network(recipe.network.name, n_classes=len(recipe.classes)).train()
    move(network, cpu)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4)
    augment = build_augmentation(recipe.augment)
    targets = one_hot(torch.zeros(stage.batch_size, dtype=torch.int64), len(recipe.classes))

    def load() -> torch.Tensor:
        batch = draws.integers(0, N_IMAGES, stage.batch_size)
        images: torch.Tensor = augment(as_images(pixels[batch], cpu))
        return images.contiguous(memory_format=torch.channels_last)

    def step(images: torch.Tensor) -> None:
        loss = soft_cross_entropy(network(images).logits, targets, recipe.loss, None)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    ready = load()
    pair = in_turn(lambda: step(load()), lambda: step(ready), rounds=10)
    rate = stage.batch_size / pair.ours_median_s
    return [
        Figure(
            f"training with its loader, Lite0 at {stage.px} px, {torch.get_num_threads()} threads",
            f"{pair.speed_up:.2f} ({rate:.0f} images/s)",
            "the same step on a batch that is there already",
            ">= .9",
            pair.speed_up >= 0.9,
        )
    ]
