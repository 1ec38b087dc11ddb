"""Makes one score for a study of those of its frames: training measures with it, serving scores with it."""

import numpy as np
from numpy.typing import NDArray

from models.calibration import softmax
from models.card import Pooling

Floats = NDArray[np.float64] | NDArray[np.float32]


def study_probabilities(
    frame_logits: Floats, *, pooling: Pooling, temperature: float, is_finding: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Pool the frames of a study.

    Parameters
    ----------
    frame_logits : (n_frames, n_classes) float
        What the network says of each frame.
    pooling : Pooling
        From the model's card, as is `temperature`.
    temperature : float
        The logits are divided by it.
    is_finding : (n_classes,) bool
        False for a class that says "nothing found".

    Returns
    -------
    (n_classes,) float64
        Calibrated probabilities; they sum to 1. With one frame every way of pooling gives that frame's.

    Raises
    ------
    ValueError
        If there is no frame or the shapes disagree.

    Notes
    -----
    `NOISY_OR` takes the frames for independent witnesses: the study shows nothing with the product of the
    frames' probabilities of nothing; the rest goes to the findings in proportion to ``1 - prod(1 - p)``.

    Examples
    --------
    >>> logits = np.log([[0.5, 0.5], [0.5, 0.5]])
    >>> finding = np.array([False, True])
    >>> study_probabilities(logits, pooling=Pooling.NOISY_OR, temperature=1.0, is_finding=finding)
    array([0.25, 0.75])
    """
    if frame_logits.ndim != 2 or not len(frame_logits) or is_finding.shape != frame_logits.shape[1:]:
        raise ValueError(f"frame_logits are {frame_logits.shape}, is_finding is {is_finding.shape}")
    if pooling is Pooling.MEAN_LOGITS:
        return softmax(np.asarray(frame_logits, np.float64).mean(axis=0), temperature)
    probabilities = softmax(frame_logits, temperature)
    if pooling is Pooling.WORST_FRAME:
        return np.asarray(probabilities[frame_evidence(probabilities, is_finding).argmax()], np.float64)
    return _noisy_or(probabilities, is_finding)


def frame_evidence(probabilities: NDArray[np.float64], is_finding: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Say how much each frame shows, (n_frames,): what its key images are chosen by.

    It is the probability of any finding; where every class is one, that of the class which the frames
    together favour.

    Examples
    --------
    >>> frame_evidence(np.array([[0.75, 0.25], [0.5, 0.5]]), np.array([False, True]))
    array([0.25, 0.5 ])
    """
    if is_finding.all():
        return np.asarray(probabilities[:, probabilities.sum(axis=0).argmax()], np.float64)
    return np.asarray(probabilities[:, is_finding].sum(axis=1), np.float64)


def _noisy_or(probabilities: NDArray[np.float64], is_finding: NDArray[np.bool_]) -> NDArray[np.float64]:
    pooled = probabilities.mean(axis=0)
    nothing = float(np.prod(probabilities[:, ~is_finding].sum(axis=1))) if not is_finding.all() else 0.0
    witnessed = 1.0 - np.prod(1.0 - probabilities[:, is_finding], axis=0)
    shares = np.zeros_like(pooled)
    shares[is_finding] = (1.0 - nothing) * witnessed / max(float(witnessed.sum()), np.finfo(float).tiny)
    shares[~is_finding] = nothing * pooled[~is_finding] / max(float(pooled[~is_finding].sum()), 1e-300)
    return np.asarray(shares / shares.sum(), np.float64)
