"""The learning rate over a run: linear warm-up, then half a cosine."""

import math


def learning_rate_part(
    epochs_done: float, *, n_epochs: float, warmup_epochs: float, final_part: float
) -> float:
    """Give the part of the full learning rate that a step uses.

    Parameters
    ----------
    epochs_done : float
        Epochs behind the step, with fractions.
    n_epochs, warmup_epochs : float
        Length of the run and of its warm-up.
    final_part : float
        What is left at the end.

    Examples
    --------
    >>> [round(learning_rate_part(e, n_epochs=5, warmup_epochs=1, final_part=0.1), 3) for e in (0.5, 1, 3, 5)]
    [0.5, 1.0, 0.55, 0.1]
    """
    if epochs_done < warmup_epochs:
        return epochs_done / warmup_epochs
    way = min((epochs_done - warmup_epochs) / max(n_epochs - warmup_epochs, 1e-9), 1.0)
    return final_part + (1.0 - final_part) * 0.5 * (1.0 + math.cos(math.pi * way))
