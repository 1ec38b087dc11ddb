"""Runs a network over rows of a cache, without training it."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.networks.outputs import ImageClassifier
from training.dataset import Pixels, batches

BATCH_SIZE = 64


@dataclass(frozen=True)
class Predictions:
    """What a network gives for some rows.

    Parameters
    ----------
    logits : (n_rows, n_classes) float32
    features : (n_rows, n_features) float32
    """

    logits: NDArray[np.float32]
    features: NDArray[np.float32]


@torch.inference_mode()
def predict(
    network: ImageClassifier,
    pixels: Pixels,
    rows: NDArray[np.intp],
    device: torch.device,
    *,
    with_mirror: bool = False,
) -> Predictions:
    """Score rows (n_rows,) of `pixels` (n, height, width, 3) uint8 with the network in evaluation.

    With `with_mirror` the outputs are means over the image and its mirror image.
    """
    network.eval()
    logits, features = [], []
    for batch in batches(rows, BATCH_SIZE):
        images = as_images(pixels[batch], device)
        views = [images, images.flip(3)] if with_mirror else [images]
        outputs = [network(view) for view in views]
        logits.append(torch.stack([output.logits for output in outputs]).mean(dim=0).cpu().numpy())
        features.append(torch.stack([output.features for output in outputs]).mean(dim=0).cpu().numpy())
    return Predictions(np.concatenate(logits), np.concatenate(features))


def move(network: ImageClassifier, device: torch.device) -> None:
    """Move a network to `device`, its weights channels last."""
    # torch's annotations lack this overload of Module.to
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def as_images(pixels: Pixels, device: torch.device) -> torch.Tensor:
    """Give uint8 (batch, height, width, 3) as float32 (batch, 3, height, width), channels last."""
    moved = torch.from_numpy(np.ascontiguousarray(pixels)).to(device, non_blocking=True)
    # A transposed view of rows of pixels is what torch calls channels last.
    return moved.permute(0, 3, 1, 2).float()
