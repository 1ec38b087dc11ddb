"""Compiles the network's steps where a recipe asks for it: generated C++ on a CPU, Triton on CUDA."""

import shutil
from collections.abc import Callable

import torch
from torch import Tensor

from models.networks.outputs import ImageClassifier, NetworkOutputs
from training.errors import TrainingError

_COMPILERS = ("c++", "g++", "clang++")


def forward_of(
    network: ImageClassifier, device: torch.device, *, compiled: bool
) -> Callable[[Tensor], NetworkOutputs]:
    """Give what a step of training calls: the network itself, or its compiled form, with the same weights.

    Each size of image is compiled once, in about a minute. What is random within is drawn from torch's
    generator then too, so that a run which was cut off goes on to the same weights.

    Raises
    ------
    TrainingError
        If it shall be compiled for a CPU and there is no C++ compiler.
    """
    if not compiled:
        return network
    if device.type == "cpu" and not any(map(shutil.which, _COMPILERS)):
        raise TrainingError(
            "network.compiled needs a C++ compiler and there is none: install g++, or leave the key out "
            "(the same training takes two to four times as long, and its last digits differ)"
        )
    step: Callable[[Tensor], NetworkOutputs] = torch.compile(network, dynamic=False)
    return step
