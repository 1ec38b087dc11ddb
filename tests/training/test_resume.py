import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from training.checkpoint import Progress, read_checkpoint, read_progress, write_checkpoint
from training.ema import MovingAverage
from training.errors import RunError


def _kill_in_mid_epoch(command: list[str], checkpoint: Path) -> None:
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        patience = time.monotonic() + 200.0
        while process.poll() is None and time.monotonic() < patience:
            if checkpoint.exists():
                progress = read_progress(checkpoint)
                if progress.epoch == 1 and progress.step >= 2:
                    os.kill(process.pid, signal.SIGKILL)
                    break
            time.sleep(0.01)
    assert process.returncode == -signal.SIGKILL


def test_a_run_killed_in_mid_epoch_and_continued_gives_the_same_bytes_as_an_unbroken_one(
    tiny_recipe: Path,
    tiny_datasets: Path,
    finished_run: Path,
    start_fit: Callable[..., list[str]],
    tmp_path: Path,
) -> None:
    broken = tmp_path / "broken"
    command = start_fit(tiny_recipe, tiny_datasets, broken, "--checkpoint-minutes", "0")
    _kill_in_mid_epoch(command, broken / "checkpoint.safetensors")
    killed_at = read_progress(broken / "checkpoint.safetensors")

    continued = subprocess.run(command, capture_output=True, text=True, check=False, timeout=250)

    said = "".join(continued.stderr.split())
    assert continued.returncode == 0, said
    assert f"continuing{broken}atepoch2,step{killed_at.step + 1}" in said
    assert (broken / "best.safetensors").read_bytes() == (finished_run / "best.safetensors").read_bytes()
    first, second = (read_progress(run / "checkpoint.safetensors") for run in (finished_run, broken))
    assert [_lasting(line) for line in first.history] == [_lasting(line) for line in second.history]


def _lasting(line: dict[str, float]) -> dict[str, float]:
    return {key: value for key, value in line.items() if key != "seconds"}


def test_a_file_that_is_no_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(b"not tensors")

    with pytest.raises(RunError, match=r"checkpoint\.safetensors is no checkpoint"):
        read_progress(path)


def test_moments_are_read_back_in_their_weights_order_in_memory(tmp_path: Path) -> None:
    # A fused step walks weights and moments as they lie in memory: another order mixes them up.
    network = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = MovingAverage(network, 0.9)
    optimiser = torch.optim.AdamW(network.parameters(), fused=True)
    network(torch.ones(1, 3, 5, 5)).sum().backward()
    optimiser.step()
    path = tmp_path / "checkpoint.safetensors"
    write_checkpoint(path, Progress("0" * 64), network, average, optimiser)

    read_checkpoint(path, network, average, optimiser)

    moments = optimiser.state[network.weight]["exp_avg"]
    assert moments.stride() == network.weight.stride() == (27, 1, 9, 3)
