"""Several processes that train one network together, each on a share of every batch; one GPU a process.

The batch is the recipe's, whatever the number of processes, and so are its order, its learning rate and its
hash: two processes do with half a batch each what one does with a whole. What is random within a step
(augmentation, dropout) differs between them, and where the network normalises batches each does so on its
share. After each step's backward pass gradients and running statistics are averaged in one message, so that
the weights stay the same everywhere; the first process alone measures, saves and speaks.

torch's own DistributedDataParallel would send gradients while others are still computed. With the 3.4 million
parameters of an EfficientNet-Lite0, 14 MB a step, that gains nothing worth a wrapper around the network;
Accelerate would be one more dependency for the same message.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed, nn
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, spawn

from training.errors import TrainingError

# The others wait while the first decodes a cache or measures; a large set takes an hour to decode.
PATIENCE = timedelta(hours=6)

Made = TypeVar("Made")
Told = TypeVar("Told")


@dataclass(frozen=True)
class Processes:
    """The processes of a training, seen from one of them."""

    rank: int = 0
    n: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this one measures, saves and speaks."""
        return self.rank == 0

    def share(self, batch: NDArray[np.intp]) -> NDArray[np.intp]:
        """Give the rows of a batch that are this process's.

        Examples
        --------
        >>> Processes(rank=1, n=2).share(np.arange(6))
        array([1, 3, 5])
        """
        return batch[self.rank :: self.n]

    def check_batch(self, batch_size: int) -> None:
        """Raise TrainingError unless a batch has as many rows for each."""
        if batch_size % self.n:
            raise TrainingError(
                f"a batch of {batch_size} cannot be shared by {self.n} processes; take a divisor of it"
            )

    def first_then_others(self, make: Callable[[], Made]) -> Made:
        """Call in the first process and, when it is done, in the others: they find what it has written."""
        if self.is_first:
            made = make()
            self._wait()
            return made
        self._wait()
        return make()

    def average(self, network: nn.Module) -> None:
        """Replace gradients and running statistics by their means over the processes."""
        if self.n == 1:
            return
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        statistics = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
        tensors = [*gradients, *statistics]
        message = torch.cat([tensor.reshape(-1) for tensor in tensors])
        distributed.all_reduce(message)
        message /= self.n
        with torch.no_grad():
            means = torch.split(message, [tensor.numel() for tensor in tensors])
            for tensor, mean in zip(tensors, means, strict=True):
                tensor.copy_(mean.view(tensor.shape))

    def mean(self, value: float, device: torch.device) -> float:
        """Give the mean of a number over the processes."""
        if self.n == 1:
            return value
        number = torch.tensor(value, dtype=torch.float64, device=device)
        distributed.all_reduce(number)
        return float(number) / self.n

    def of_first(self, value: bool, device: torch.device) -> bool:
        """Give what the first process says."""
        if self.n == 1:
            return value
        said = torch.tensor(int(value), device=device)
        distributed.broadcast(said, src=0)
        return bool(said)

    def _wait(self) -> None:
        if self.n > 1:
            distributed.barrier()


ALONE = Processes()


def launched_processes() -> int:
    """Say how many processes torchrun has launched; 1 where this one was started by hand."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def device_of_rank(device: str) -> str:
    """Give the device of this process: of several on CUDA each takes its own."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if device == "cuda" else device


@contextmanager
def joined(device: torch.device, rendezvous: str) -> Iterator[Processes]:
    """Join the other processes; rank and number stand in the environment, as torchrun puts them there.

    `rendezvous` is where they meet: ``env://`` for torchrun's, or a file that is not there yet.
    """
    rank, n = int(os.environ["RANK"]), launched_processes()
    backend = "nccl" if device.type == "cuda" else "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group(backend, init_method=rendezvous, rank=rank, world_size=n, timeout=PATIENCE)
    try:
        yield Processes(rank, n)
    finally:
        distributed.destroy_process_group()


def launch(n: int, train: Callable[[Told, str], None], told: Told) -> None:
    """Start `n` processes on this machine that call ``train(told, rendezvous)``, and wait for their end.

    Raises
    ------
    TrainingError
        If one fails; the others are stopped.
    """
    with tempfile.TemporaryDirectory() as folder:
        rendezvous = (Path(folder) / "rendezvous").as_uri()
        try:
            spawn(_start, args=(n, train, told, rendezvous), nprocs=n)  # type: ignore[no-untyped-call] # as torch has it
        except ProcessRaisedException as error:
            raise TrainingError(_last_sentence(str(error))) from error
        except ProcessExitedException as error:
            raise TrainingError(f"process {error.error_index} ended early: {error}") from error


def _start(rank: int, n: int, train: Callable[[Told, str], None], told: Told, rendezvous: str) -> None:
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(n))
    train(told, rendezvous)


def _last_sentence(report: str) -> str:
    r"""Give what an error says of those that another process reports with its way there.

    Examples
    --------
    >>> _last_sentence("Traceback ...\ntraining.errors.RunError: the folder is full\n")
    'the folder is full'
    """
    last = [line for line in report.splitlines() if line.strip()][-1]
    name, _, said = last.partition(": ")
    return said if name.startswith("training.errors.") else last
