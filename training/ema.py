"""The moving average of a network's weights, which is what is measured and shipped."""

import torch
from torch import Tensor, nn


class MovingAverage:
    """Averages weights and batch statistics exponentially over the steps.

    Parameters
    ----------
    network : Module
        Its state is copied.
    decay : float
        What is kept a step, once the average is warm.

    Notes
    -----
    At step t the decay is ``min(decay, (1 + t) / (10 + t))``, so that the random start is forgotten soon.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state: dict[str, Tensor] = {
            name: tensor.detach().clone() for name, tensor in network.state_dict().items()
        }

    @torch.no_grad()
    def update(self, network: nn.Module, n_steps: int) -> None:
        """Take a step's weights in; `n_steps` steps were done before it."""
        decay = min(self.decay, (1.0 + n_steps) / (10.0 + n_steps))
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                self.state[name].lerp_(tensor, 1.0 - decay)
            else:
                self.state[name].copy_(tensor)
