"""Several processes train what one trains: really two, over gloo, on a network of nothing but weights."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from training.checkpoint import read_progress, read_tensors
from training.cli import app
from training.errors import RunError, TrainingError
from training.processes import Processes, joined, launch
from training.work import Training, open_work, train_together


@pytest.fixture(scope="module")
def plain_recipe(tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a recipe in which nothing is random within a step and no batch is normalised by itself."""
    text = tiny_recipe.read_text(encoding="utf-8")
    text = text[: text.index("[loss]")] + text[text.index("[[operating_points]]") :]
    text = text.replace("drop_path = 0.1", "dropout = 0.0\ndrop_path = 0.0\nfolded = true")
    text = text.replace(
        "[[operating_points]]",
        "[loss]\nbalance = 0.5\n\n[augment]\nflip_horizontal = false\n\n[[operating_points]]",
        1,
    )
    path = tmp_path_factory.mktemp("recipes") / "plain.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_two_processes_train_what_one_trains_with_the_same_batch(
    plain_recipe: Path, tiny_datasets: Path, tmp_path: Path
) -> None:
    told = Training("fit", plain_recipe, tmp_path / "two", tiny_datasets, "cpu", 1, None, 5.0)
    launch(2, train_together, told)
    one = open_work(plain_recipe, run=tmp_path / "one", datasets=tiny_datasets, device="cpu", threads=1)
    one.fit(5.0)

    alone, together = (read_progress(tmp_path / name / "checkpoint.safetensors") for name in ("one", "two"))
    assert together.fit_sha256 == alone.fit_sha256
    assert together.n_steps == alone.n_steps
    losses = [[line["loss"] for line in progress.history] for progress in (alone, together)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert losses[1][-1] < losses[1][0]
    first, second = (read_tensors(tmp_path / name / "best.safetensors") for name in ("one", "two"))
    for name, weights in first.items():
        torch.testing.assert_close(second[name], weights, rtol=0.02, atol=2e-3)


def _average_unlike(folder: Path, rendezvous: str) -> None:
    """Give each process gradients and statistics of its own; write what both have after averaging."""
    rank = int(os.environ["RANK"])
    network = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1))
    with joined(torch.device("cpu"), rendezvous) as together:
        for parameter in network.parameters():
            parameter.grad = torch.full_like(parameter, float(1 + 2 * rank))
        network.get_buffer("1.running_mean").fill_(float(rank))
        together.average(network)
        grads = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        said = together.of_first(rank == 0, torch.device("cpu"))
        mean = together.mean(float(rank), torch.device("cpu"))
    values = [*(float(grad.mean()) for grad in grads), float(network.get_buffer("1.running_mean")), mean]
    np.save(folder / f"{rank}.npy", np.array([*values, float(said)]))


def test_gradients_and_statistics_are_the_means_of_both_in_both(tmp_path: Path) -> None:
    launch(2, _average_unlike, tmp_path)

    for rank in range(2):
        assert np.load(tmp_path / f"{rank}.npy").tolist() == [2.0] * 4 + [0.5, 0.5, 1.0]


def _fail(sentence: str, rendezvous: str) -> None:
    raise RunError(f"{sentence} {rendezvous[:7]}")


def test_what_stops_one_process_stops_all_and_is_said_in_its_own_words() -> None:
    with pytest.raises(TrainingError, match=r"^the folder is full file://$"):
        launch(2, _fail, "the folder is full")


def test_every_row_of_a_batch_is_one_processs() -> None:
    batch = np.arange(8)

    shares = [Processes(rank, 4).share(batch) for rank in range(4)]

    assert sorted(np.concatenate(shares).tolist()) == batch.tolist()
    assert {len(share) for share in shares} == {2}


def test_a_batch_that_cannot_be_shared_evenly_is_refused() -> None:
    with pytest.raises(TrainingError, match="a batch of 8 cannot be shared by 3 processes"):
        Processes(0, 3).check_batch(8)


def test_one_gpu_is_not_for_several_processes(tiny_recipe: Path) -> None:
    done = CliRunner().invoke(app, ["fit", str(tiny_recipe), "--processes", "2", "--device", "cuda:0"])

    assert done.exit_code == 2


def test_a_device_that_is_not_here_is_named(tiny_recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="there is no device cuda:97 here"):
        open_work(tiny_recipe, run=tmp_path, datasets=None, device="cuda:97", threads=None)


@pytest.mark.cuda
def test_a_gpu_trains_in_bfloat16(tiny_recipe: Path, tiny_datasets: Path, tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device here")
    work = open_work(tiny_recipe, run=tmp_path, datasets=tiny_datasets, device="cuda:0", threads=None)

    work.fit(5.0)

    history = read_progress(work.run.checkpoint).history
    assert history[-1]["loss"] < history[0]["loss"]


@pytest.mark.cuda
def test_torchrun_gives_each_process_its_gpu(tiny_recipe: Path, tiny_datasets: Path, tmp_path: Path) -> None:
    n = torch.cuda.device_count()
    if n < 2:
        pytest.skip("there are no two CUDA devices here")
    fit = ["fit", str(tiny_recipe), "--run", str(tmp_path), "--data", str(tiny_datasets), "--device", "cuda"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--no-python"]
    command = [*torchrun, sys.executable, "-c", "from training.cli import main; main()", *fit]

    subprocess.run(command, check=True, timeout=250)

    assert read_progress(tmp_path / "checkpoint.safetensors").is_finished
