"""Where a run stands, in one file that is either the old one or the new one, never half of one.

Random numbers need no place in it: every order and every step is seeded by the recipe's seed, the epoch and
the step (see :mod:`training.loop`), so that where a run stands is two numbers. Weights are safetensors; the
rest is JSON in that file's header.
"""

from dataclasses import asdict, dataclass, field
from json import dumps, loads
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from training.ema import MovingAverage
from training.errors import RunError
from training.saving import replacing

# A header names some hundred tensors; a longer one is no file of ours.
MAX_HEADER_BYTES = 10_000_000


@dataclass
class Progress:
    """How far a run is.

    `epoch` and `step` are the next to be done, counted from 0 (a step within its epoch); `loss_sum` is
    the sum of this epoch's losses so far. `history` holds a line of figures for each epoch done.
    """

    fit_sha256: str
    epoch: int = 0
    step: int = 0
    n_steps: int = 0
    loss_sum: float = 0.0
    best_epoch: int | None = None
    is_finished: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)


def write_checkpoint(
    path: Path,
    progress: Progress,
    network: nn.Module,
    average: MovingAverage,
    optimiser: torch.optim.Optimizer,
) -> None:
    """Write all that is needed to go on."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"average.{name}": tensor for name, tensor in average.state.items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    write_tensors(path, tensors, {"progress": dumps(asdict(progress))})


def read_progress(path: Path) -> Progress:
    """Read how far a run is, without its weights.

    Raises
    ------
    RunError
        If the file is no checkpoint.
    """
    try:
        return Progress(**loads(_read_metadata(path)["progress"]))
    except (OSError, TypeError, KeyError, ValueError) as error:
        raise _no_checkpoint(path, error) from error


def check_is_of(path: Path, fit_sha256: str) -> None:
    """Raise RunError unless a checkpoint, or the best weights, are of the recipe with this hash."""
    try:
        metadata = _read_metadata(path)
        made_by = loads(metadata.get("progress") or metadata["origin"])["fit_sha256"]
    except (OSError, TypeError, KeyError, ValueError) as error:
        raise _no_checkpoint(path, error) from error
    if made_by != fit_sha256:
        raise RunError(f"{path} is of another recipe; move it away, or choose another folder with --run")


def _read_metadata(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        # A safetensors file begins with the length of its header, which is JSON.
        n_bytes = int.from_bytes(file.read(8), "little")
        header = loads(file.read(min(n_bytes, MAX_HEADER_BYTES)))
    metadata: dict[str, str] = header["__metadata__"]
    return metadata


def _no_checkpoint(path: Path, error: Exception) -> RunError:
    return RunError(f"{path} is no checkpoint of this program ({error}); move it away to start anew")


def read_checkpoint(
    path: Path, network: nn.Module, average: MovingAverage, optimiser: torch.optim.Optimizer
) -> Progress:
    """Put network, average and optimiser where they were.

    Raises
    ------
    RunError
        If the file is no checkpoint.
    """
    progress = read_progress(path)
    tensors = read_tensors(path)
    network.load_state_dict(_under("network.", tensors))
    for name, tensor in _under("average.", tensors).items():
        average.state[name].copy_(tensor)
    states: dict[int, dict[str, Tensor]] = {}
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for name, tensor in _under("optimiser.", tensors).items():
        index, key = name.split(".", 1)
        states.setdefault(int(index), {})[key] = _laid_out_as(parameters[int(index)], tensor)
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": states, "param_groups": groups})
    return progress


def _laid_out_as(parameter: Tensor, moments: Tensor) -> Tensor:
    """Give moments in their parameter's order in memory: a fused step walks both as they lie there."""
    if moments.shape != parameter.shape:
        return moments  # the number of steps
    return torch.empty_like(parameter).copy_(moments)


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors so that `path` is whole at any moment, after a power cut too.

    Raises
    ------
    SavingError
        If the disk refuses; what was there before is whole.
    """
    content = save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata)
    with replacing(path) as file:
        file.write(content)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file.

    Raises
    ------
    RunError
        If the file is not one of :func:`write_tensors`.
    """
    try:
        return load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise _no_checkpoint(path, error) from error


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
