from pathlib import Path

import numpy as np
import pytest
import torch

from models.networks.build import build_network
from training.checkpoint import Progress
from training.inference import predict
from training.loop import _is_over, _step_seed
from training.recipe import Recipe, StoppingSpec, read_recipe
from training.schedule import learning_rate_part


@pytest.fixture
def recipe(tiny_recipe: Path) -> Recipe:
    recipe = read_recipe(tiny_recipe)
    longer = recipe.stages[-1].model_copy(update={"epochs": 9})
    return recipe.model_copy(
        update={"stages": (recipe.stages[0], longer), "stopping": StoppingSpec(patience_epochs=2)}
    )


@pytest.mark.parametrize(
    ("next_epoch", "best_epoch", "is_over"),
    [(1, None, False), (3, 2, False), (5, 2, True), (4, 2, False), (10, 9, True)],
)
def test_a_run_ends_with_its_epochs_or_when_none_was_better_for_a_while(
    recipe: Recipe, next_epoch: int, best_epoch: int | None, is_over: bool
) -> None:
    progress = Progress(recipe.fit_sha256, epoch=next_epoch, best_epoch=best_epoch)

    assert _is_over(recipe, progress) is is_over


def test_no_two_steps_share_a_seed() -> None:
    seeds = {_step_seed(seed, epoch, step) for seed in range(3) for epoch in range(12) for step in range(50)}

    assert len(seeds) == 3 * 12 * 50
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_learning_rate_rises_once_and_falls_to_its_end() -> None:
    parts = [
        learning_rate_part(epoch / 10, n_epochs=8, warmup_epochs=0.5, final_part=0.01) for epoch in range(81)
    ]

    top = parts.index(max(parts))
    assert top == 5
    assert parts[0] == 0.0
    assert parts[:top] == sorted(parts[:top])
    assert parts[top:] == sorted(parts[top:], reverse=True)
    assert parts[-1] == pytest.approx(0.01)


def test_a_mirrored_image_scores_as_the_image_does_when_both_are_asked_for() -> None:
    network = build_network("efficientnet-lite0", n_classes=3)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    pixels[1] = pixels[0, :, ::-1]

    predictions = predict(network, pixels, np.arange(2), torch.device("cpu"), with_mirror=True)

    np.testing.assert_allclose(predictions.logits[0], predictions.logits[1], atol=1e-5)
    assert predictions.features.shape == (2, 1280)
