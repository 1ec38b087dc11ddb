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
    network: ImageClassifier, pixels: Pixels, rows: NDArray[np.intp], device: torch.device
) -> Predictions:
    """Score rows (n_rows,) of `pixels` (n, height, width, 3) uint8 with the network in evaluation."""
    network.eval()
    logits, features = [], []
    for batch in batches(rows, BATCH_SIZE):
        outputs = network(as_images(pixels[batch], device))
        logits.append(outputs.logits.float().cpu().numpy())
        features.append(outputs.features.float().cpu().numpy())
    return Predictions(np.concatenate(logits), np.concatenate(features))


def as_images(pixels: Pixels, device: torch.device) -> torch.Tensor:
    """Give uint8 (batch, height, width, 3) as float32 (batch, 3, height, width), channels last."""
    moved = torch.from_numpy(np.ascontiguousarray(pixels)).to(device, non_blocking=True)
    # A transposed view of rows of pixels is what torch calls channels last.
    return moved.permute(0, 3, 1, 2).float()
