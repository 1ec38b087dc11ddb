"""Makes a network by its name: one of ours, or any of torchvision's classification networks."""

import re

import torch
from torch import nn

from models.networks.efficientnet_lite import (
    N_FEATURES,
    VARIANTS,
    EfficientNetLite,
    InvertedBottleneck,
)
from models.networks.folding import fold_normalisation
from models.networks.outputs import ImageClassifier
from models.networks.torchvision_operators import create_feature_extractor, get_graph_node_names
from models.networks.torchvision_operators import models as torchvision_models
from models.networks.weights import imagenet_weights

TORCHVISION = "torchvision:"
# What the weights were trained on. EfficientNet-Lite: MEAN_RGB and STDDEV_RGB of TensorFlow's
# efficientnet_lite_builder.py. Torchvision: the ImageNet figures of its weights' transforms, times 255.
LITE_MEAN_GREY = (127.0, 127.0, 127.0)
LITE_STD_GREY = (128.0, 128.0, 128.0)
TORCHVISION_MEAN_GREY = (123.675, 116.28, 103.53)
TORCHVISION_STD_GREY = (58.395, 57.12, 57.375)
# Large enough for every torchvision network's smallest input (Inception asks for 75 px).
PROBE_PX = 224


class UnknownNetworkError(ValueError):
    """No network has this name, or it gives no map to pool."""


def build_network(
    name: str,
    *,
    n_classes: int,
    pretrained: bool = False,
    dropout: float = 0.2,
    drop_path: float = 0.0,
    folded: bool = False,
    frozen_blocks: int = 0,
) -> ImageClassifier:
    """Make a network with a fresh head for `n_classes`.

    Parameters
    ----------
    name : str
        ``"efficientnet-lite0"`` to ``"efficientnet-lite4"``, or ``"torchvision:"`` and a name of
        torchvision's list, such as ``"torchvision:resnet18"``.
    n_classes : int
        Number of logits.
    pretrained : bool
        Start from ImageNet weights: from an installed package for ours, downloaded by torchvision
        for its own.
    dropout, drop_path : float
        Regularisation while training; torchvision's networks have no `drop_path`.
    folded : bool
        Batch normalisation is folded into the convolutions (:mod:`models.networks.folding`).
    frozen_blocks : int
        The stem and so many of the first blocks are not trained. Only folded networks of ours take it:
        the statistics of a normalisation would still move.

    Raises
    ------
    UnknownNetworkError
        If there is no such network, it does not end in a map (vision transformers), or it cannot be
        folded or frozen as asked.
    models.networks.weights.WeightsError
        If the packaged weights are missing.
    """
    if name in VARIANTS:
        network = _efficientnet_lite(name, n_classes, pretrained, dropout, drop_path)
        if folded:
            fold_normalisation(network)
        if frozen_blocks:
            _freeze(network, frozen_blocks, folded=folded)
        return network
    if name.startswith(TORCHVISION):
        if folded or frozen_blocks:
            raise UnknownNetworkError(f"{name!r} is neither folded nor frozen; only our own networks are")
        return _torchvision_network(name, n_classes, pretrained, dropout)
    raise UnknownNetworkError(
        f"there is no network {name!r}; expected one of {', '.join(VARIANTS)}, or "
        f"'{TORCHVISION}' and a torchvision classification network"
    )


def _efficientnet_lite(
    name: str, n_classes: int, pretrained: bool, dropout: float, drop_path: float
) -> ImageClassifier:
    network = ImageClassifier(
        EfficientNetLite(VARIANTS[name], drop_path=drop_path),
        n_features=N_FEATURES,
        n_classes=n_classes,
        mean_grey=LITE_MEAN_GREY,
        std_grey=LITE_STD_GREY,
        dropout=dropout,
    )
    if pretrained:
        weights = imagenet_weights(name)
        network.trunk.load_state_dict(
            {key: value for key, value in weights.items() if not key.startswith("head.")}
        )
    return network


def _freeze(network: ImageClassifier, n_blocks: int, *, folded: bool) -> None:
    trunk = network.trunk
    if not folded or not isinstance(trunk, EfficientNetLite) or n_blocks > len(trunk.blocks):
        raise UnknownNetworkError(
            f"the first {n_blocks} blocks cannot be frozen: it takes a folded network with so many"
        )
    trunk.stem.requires_grad_(requires_grad=False)
    for block in list(trunk.blocks.children())[:n_blocks]:
        block.requires_grad_(requires_grad=False)
        if isinstance(block, InvertedBottleneck):
            block.drop_path = 0.0


def _torchvision_network(name: str, n_classes: int, pretrained: bool, dropout: float) -> ImageClassifier:
    plain = name.removeprefix(TORCHVISION)
    if plain not in torchvision_models.list_models(module=torchvision_models):
        raise UnknownNetworkError(f"torchvision has no classification network {plain!r}")
    if re.match("vit_", plain):
        raise UnknownNetworkError(
            f"{name!r} gives tokens instead of a map, so it cannot show where it looked"
        )
    whole = torchvision_models.get_model(plain, weights="DEFAULT" if pretrained else None)
    trunk, n_features = _up_to_the_last_map(whole)
    return ImageClassifier(
        trunk,
        n_features=n_features,
        n_classes=n_classes,
        mean_grey=TORCHVISION_MEAN_GREY,
        std_grey=TORCHVISION_STD_GREY,
        dropout=dropout,
    )


class _Trunk(nn.Module):
    """A traced network that gives its last map alone."""

    def __init__(self, extractor: nn.Module) -> None:
        super().__init__()
        self.extractor = extractor

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        places: torch.Tensor = self.extractor(images)["places"]
        return places


def _up_to_the_last_map(whole: nn.Module) -> tuple[nn.Module, int]:
    """Cut a network after the last tensor that still has rows and columns."""
    in_training, in_evaluation = get_graph_node_names(whole, suppress_diff_warning=True)
    names = [name for name in in_evaluation if name in set(in_training)]
    every = create_feature_extractor(whole, names, suppress_diff_warning=True).eval()
    with torch.no_grad():
        seen = every(torch.zeros(1, 3, PROBE_PX, PROBE_PX))
    maps = {
        name: value
        for name, value in seen.items()
        if isinstance(value, torch.Tensor) and value.ndim == 4 and min(value.shape[2:]) > 1
    }
    last = list(maps)[-1]
    trunk = create_feature_extractor(whole, {last: "places"}, suppress_diff_warning=True)
    return _Trunk(trunk), maps[last].shape[1]
