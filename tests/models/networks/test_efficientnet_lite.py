import importlib.resources

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet

from models.networks.build import build_network
from models.networks.efficientnet_lite import VARIANTS, SameConvolution
from models.networks.weights import PACKAGES, WeightsError, imagenet_weights


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_imagenet_logits_agree_with_the_reference_package(name: str) -> None:
    pixels = VARIANTS[name].trained_px
    weights = imagenet_weights(name)
    ours = build_network(name, n_classes=1000, pretrained=True).eval()
    ours.head.load_state_dict({"weight": weights["head.weight"], "bias": weights["head.bias"]})
    reference = EfficientNet.from_name(name).eval()
    reference.load_state_dict(_stored(name))
    images = torch.randint(0, 256, (1, 3, pixels, pixels), generator=torch.Generator().manual_seed(1)).float()

    with torch.no_grad():
        logits = ours(images).logits
        expected = reference((images - 127.0) / 128.0)

    assert expected.abs().max() > 1.0
    torch.testing.assert_close(logits, expected, rtol=0.0, atol=1e-5)


def _stored(name: str) -> dict[str, torch.Tensor]:
    folder = importlib.resources.files(PACKAGES[name]) / "models"
    (file,) = (entry for entry in folder.iterdir() if entry.name.endswith(".pth"))
    with file.open("rb") as stream:
        stored: dict[str, torch.Tensor] = torch.load(stream, weights_only=True)  # noqa: TID251 (the pinned package)
    return stored


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        # TensorFlow's efficientnet/lite/README.md
        ("efficientnet-lite0", 4.7),
        ("efficientnet-lite1", 5.4),
        ("efficientnet-lite2", 6.1),
        ("efficientnet-lite3", 8.2),
        ("efficientnet-lite4", 13.0),
    ],
)
def test_each_variant_has_the_published_number_of_parameters(name: str, millions: float) -> None:
    network = build_network(name, n_classes=1000)

    n_parameters = sum(parameter.numel() for parameter in network.parameters())

    assert n_parameters / 1e6 == pytest.approx(millions, abs=0.06)


@pytest.mark.parametrize("pixels", [31, 32, 33, 75])
def test_a_map_has_a_place_for_every_32_pixels_begun(pixels: int) -> None:
    network = build_network("efficientnet-lite0", n_classes=3).eval()

    with torch.no_grad():
        outputs = network(torch.zeros(1, 3, pixels, pixels))

    assert outputs.maps.shape[2:] == (-(-pixels // 32),) * 2


def test_the_logits_are_the_mean_of_the_map() -> None:
    network = build_network("efficientnet-lite0", n_classes=5, pretrained=True).eval()
    images = torch.randint(0, 256, (2, 3, 96, 64), generator=torch.Generator().manual_seed(2)).float()

    with torch.no_grad():
        outputs = network(images)

    assert outputs.features.shape == (2, 1280)
    torch.testing.assert_close(outputs.maps.mean(dim=(2, 3)), outputs.logits, rtol=0.0, atol=1e-5)


def test_same_padding_keeps_a_shift_of_the_image_a_shift_of_the_map() -> None:
    convolution = SameConvolution(1, 1, 3, stride=2)
    torch.nn.init.ones_(convolution.weight)
    dot = torch.zeros(1, 1, 8, 8)
    dot[0, 0, 2, 2] = 1.0

    places = convolution(dot)[0, 0].detach()

    # With an even side, TensorFlow pads at the end only: the window of output 1 is pixels 2 to 4.
    assert places.nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_drop_path_leaves_evaluation_alone_and_changes_training() -> None:
    images = torch.randint(0, 256, (4, 3, 32, 32), generator=torch.Generator().manual_seed(3)).float()
    plain = build_network("efficientnet-lite0", n_classes=2, dropout=0.0)
    dropping = build_network("efficientnet-lite0", n_classes=2, dropout=0.0, drop_path=0.9)
    dropping.load_state_dict(plain.state_dict())

    with torch.no_grad():
        assert torch.equal(plain.eval()(images).features, dropping.eval()(images).features)
        assert not torch.equal(plain.train()(images).features, dropping.train()(images).features)


def test_weights_that_no_package_has_are_refused_by_name() -> None:
    with pytest.raises(WeightsError, match="efficientnet-lite4"):
        build_network("efficientnet-lite4", n_classes=2, pretrained=True)
