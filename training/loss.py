"""What a step minimises, and how rare classes come to count."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Beta
from torch.nn import functional

from training.recipe import LossSpec


def class_weights(labels: NDArray[np.int64], n_classes: int, balance: float) -> NDArray[np.float64]:
    """Give how much more each class should count than its frequency says.

    Parameters
    ----------
    labels : (n_rows,) int64
        Of the training folds.
    n_classes : int
        Number of classes; each must have a row.
    balance : float
        0 leaves the classes as they are, 1 makes them equal, 0.5 is the square-root rule.

    Returns
    -------
    (n_classes,) float64
        Proportional to ``n_c ** -balance``; the mean over the rows is 1.

    Raises
    ------
    ValueError
        If a class has no row.

    Examples
    --------
    >>> class_weights(np.array([0, 0, 0, 0, 1]), 2, balance=1.0)
    array([0.625, 2.5  ])
    """
    counts = np.bincount(labels, minlength=n_classes).astype(np.float64)
    if not counts.all():
        raise ValueError(f"class {int(np.argmin(counts))} has no row to train on")
    weights = counts**-balance
    mean_of_rows = float((weights * counts).sum()) / labels.size
    return np.asarray(weights / mean_of_rows)


def draw_rows(
    rows: NDArray[np.intp],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64] | None,
    seed: tuple[int, ...],
) -> NDArray[np.intp]:
    """Give the rows of one epoch in the order in which they are trained on.

    With class weights (n_classes,) they are drawn with replacement, else shuffled; the order is a
    function of `seed` alone, so that a run that was cut off finds its place again.
    """
    draws = np.random.default_rng(seed)
    if weights is None:
        return draws.permutation(rows)
    probabilities = weights[labels[rows]]
    return draws.choice(rows, size=rows.size, p=probabilities / probabilities.sum())


def mix(images: Tensor, targets: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Blend each image and its target with another of the batch (mixup [1]_); nothing at `alpha` 0.

    References
    ----------
    .. [1] H. Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018.
    """
    if alpha == 0.0:
        return images, targets
    part = float(Beta(alpha, alpha).sample())
    other = torch.randperm(len(images)).to(images.device)
    return images.lerp(images[other], 1.0 - part), targets.lerp(targets[other], 1.0 - part)


def one_hot(labels: Tensor, n_classes: int) -> Tensor:
    """Give labels (batch,) int64 as targets (batch, n_classes) float32."""
    return functional.one_hot(labels, n_classes).float()


def distillation(logits: Tensor, soft_targets: Tensor, temperature: float) -> Tensor:
    """Give the mean cross entropy with soft targets (batch, n_classes) that were made at `temperature`.

    It is multiplied by the temperature's square: the gradient then hardly depends on it.
    """
    return functional.cross_entropy(logits.float() / temperature, soft_targets) * temperature**2


def soft_cross_entropy(logits: Tensor, targets: Tensor, spec: LossSpec, weights: Tensor | None) -> Tensor:
    """Give the mean cross entropy, smoothed, classes weighed by `weights` (n_classes,) if given."""
    return functional.cross_entropy(
        logits.float(), targets, weight=weights, label_smoothing=spec.label_smoothing
    )
