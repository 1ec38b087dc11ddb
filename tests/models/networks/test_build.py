import subprocess
import sys

import pytest
import torch

from models.networks.build import UnknownNetworkError, build_network


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "convnext_tiny"])
def test_a_torchvision_network_gives_logits_features_and_a_map(name: str) -> None:
    network = build_network(f"torchvision:{name}", n_classes=4).eval()

    with torch.no_grad():
        outputs = network(torch.full((2, 3, 96, 96), 100.0))

    assert outputs.logits.shape == (2, 4)
    assert outputs.maps.shape == (2, 4, 3, 3)
    assert outputs.features.shape == (2, network.head.in_features)
    torch.testing.assert_close(outputs.maps.mean(dim=(2, 3)), outputs.logits, rtol=1e-4, atol=1e-5)


def test_a_resnets_features_are_those_torchvision_pools() -> None:
    network = build_network("torchvision:resnet18", n_classes=2)

    assert network.head.in_features == 512
    assert not [key for key in network.state_dict() if ".fc." in key]


@pytest.mark.parametrize("name", ["torchvision:resnet7", "torchvision:vit_b_16", "efficientnet-lite9"])
def test_a_name_without_a_network_or_without_a_map_is_refused(name: str) -> None:
    with pytest.raises(UnknownNetworkError):
        build_network(name, n_classes=2)


def test_torchvision_imports_beside_a_cpu_torch_without_a_warning() -> None:
    program = "from models.networks.torchvision_operators import v2, models; models.resnet18()"

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr


def test_folding_the_normalisation_changes_nothing_that_is_computed() -> None:
    plain = build_network("efficientnet-lite0", n_classes=3, pretrained=True).eval()
    folded = build_network("efficientnet-lite0", n_classes=3, pretrained=True, folded=True).eval()
    folded.head.load_state_dict(plain.head.state_dict())
    images = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(4)).float()

    with torch.no_grad():
        torch.testing.assert_close(folded(images).features, plain(images).features, rtol=1e-3, atol=1e-4)
    assert not [module for module in folded.modules() if isinstance(module, torch.nn.BatchNorm2d)]


def test_frozen_blocks_are_not_trained() -> None:
    network = build_network("efficientnet-lite0", n_classes=3, folded=True, frozen_blocks=2, drop_path=0.5)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimiser = torch.optim.SGD([part for part in network.parameters() if part.requires_grad], lr=1.0)

    network.train()(torch.full((2, 3, 32, 32), 90.0)).logits.sum().backward()
    optimiser.step()

    changed = {name for name, tensor in network.state_dict().items() if not tensor.equal(before[name])}
    assert not [
        name for name in changed if name.startswith(("trunk.stem", "trunk.blocks.0.", "trunk.blocks.1."))
    ]
    assert "head.bias" in changed


@pytest.mark.parametrize(
    ("name", "folded", "frozen"),
    [("torchvision:resnet18", True, 0), ("efficientnet-lite0", False, 2), ("efficientnet-lite0", True, 99)],
)
def test_what_cannot_be_folded_or_frozen_is_refused(name: str, folded: bool, frozen: int) -> None:
    with pytest.raises(UnknownNetworkError):
        build_network(name, n_classes=2, folded=folded, frozen_blocks=frozen)
