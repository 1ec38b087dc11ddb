import shutil

import pytest
import torch
from torch import Tensor, nn

from models.networks.outputs import ImageClassifier
from training.compiling import forward_of
from training.errors import TrainingError

CPU = torch.device("cpu")


def tiny_network() -> ImageClassifier:
    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU6(inplace=True))
    return ImageClassifier(
        trunk, n_features=4, n_classes=2, mean_grey=(127.0,) * 3, std_grey=(128.0,) * 3, dropout=0.5
    )


def step(network: ImageClassifier, *, compiled: bool, seed: int) -> tuple[Tensor, Tensor]:
    images = torch.linspace(0.0, 255.0, 2 * 3 * 8 * 8).view(2, 3, 8, 8)
    network.train()
    network.zero_grad()
    forward = forward_of(network, CPU, compiled=compiled)
    torch.manual_seed(seed)
    logits = forward(images).logits
    logits.square().sum().backward()
    assert network.head.weight.grad is not None
    return logits.detach().clone(), network.head.weight.grad.clone()


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
@pytest.mark.timeout(600)  # generating and compiling takes a busy machine its time
@pytest.mark.filterwarnings("default")  # torch's compiler warns of its own modules
def test_a_compiled_step_is_the_step_and_draws_the_same_after_the_same_seed() -> None:
    network = tiny_network()
    network.dropout = 0.0

    torch.testing.assert_close(
        step(network, compiled=True, seed=1), step(network, compiled=False, seed=1), rtol=1e-4, atol=1e-5
    )

    network.dropout = 0.5
    first, again, other = (step(network, compiled=True, seed=seed)[0] for seed in (1, 1, 5))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_machine_without_a_compiler_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)

    with pytest.raises(TrainingError, match="install g"):
        forward_of(tiny_network(), CPU, compiled=True)

    network = tiny_network()
    assert forward_of(network, CPU, compiled=False) is network
