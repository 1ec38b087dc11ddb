"""EfficientNet-Lite 0 to 4: EfficientNet without squeeze-and-excitation and with ReLU6.

The shapes are those of the paper's table 1 [1]_, widened and deepened by compound scaling except for stem,
first stage depth, last stage depth and head, which the Lite variants keep fixed [2]_. Convolutions pad as
TensorFlow's 'SAME' does, which at stride 2 depends on the size of the image, so that the published weights
see what they were trained on at any size.

References
----------
.. [1] M. Tan, Q. Le, "EfficientNet: rethinking model scaling for convolutional neural networks", ICML 2019.
.. [2] R. Liu, "Higher accuracy on vision models with EfficientNet-Lite", TensorFlow blog, 2020-03-16.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

N_FEATURES = 1280
STEM_CHANNELS = 32
CHANNEL_DIVISOR = 8
# TensorFlow's momentum .99 and epsilon; torch counts momentum from the other end.
BATCH_NORM_MOMENTUM = 0.01
BATCH_NORM_EPSILON = 1e-3


@dataclass(frozen=True, slots=True)
class Variant:
    """How one of the five is scaled: width, depth, the size (px) and dropout it was trained with."""

    width: float
    depth: float
    trained_px: int
    dropout: float


VARIANTS = {
    "efficientnet-lite0": Variant(1.0, 1.0, 224, 0.2),
    "efficientnet-lite1": Variant(1.0, 1.1, 240, 0.2),
    "efficientnet-lite2": Variant(1.1, 1.2, 260, 0.3),
    "efficientnet-lite3": Variant(1.2, 1.4, 280, 0.3),
    "efficientnet-lite4": Variant(1.4, 1.8, 300, 0.3),
}


@dataclass(frozen=True, slots=True)
class Stage:
    """A row of the paper's table 1: equal blocks, the first of which may shrink the map."""

    n_blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


def scaled_stages(variant: Variant) -> tuple[Stage, ...]:
    """Widen and deepen the table's rows for `variant`; first and last keep their depth.

    Examples
    --------
    >>> [stage.channels for stage in scaled_stages(VARIANTS["efficientnet-lite2"])]
    [16, 24, 48, 88, 120, 208, 352]
    >>> [stage.n_blocks for stage in scaled_stages(VARIANTS["efficientnet-lite2"])]
    [1, 3, 3, 4, 4, 5, 1]
    """
    last = len(STAGES) - 1
    return tuple(
        Stage(
            n_blocks=stage.n_blocks if row in {0, last} else math.ceil(stage.n_blocks * variant.depth),
            kernel=stage.kernel,
            stride=stage.stride,
            expansion=stage.expansion,
            channels=_scaled_channels(stage.channels, variant.width),
        )
        for row, stage in enumerate(STAGES)
    )


def _scaled_channels(channels: int, width: float) -> int:
    """Give the multiple of 8 nearest to `channels * width`, but never less than 90 % of it."""
    wanted = channels * width
    rounded = max(CHANNEL_DIVISOR, int(wanted + CHANNEL_DIVISOR / 2) // CHANNEL_DIVISOR * CHANNEL_DIVISOR)
    return rounded + CHANNEL_DIVISOR if rounded < 0.9 * wanted else rounded


class SameConvolution(nn.Conv2d):
    """A convolution whose output has ``ceil(input / stride)`` rows and columns.

    The padding is that of TensorFlow's 'SAME': an odd pixel goes to the right and to the bottom.
    """

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(n_in, n_out, kernel, stride, groups=groups, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Pad and convolve."""
        top, bottom = same_padding(images.shape[2], self.kernel_size[0], self.stride[0])
        left, right = same_padding(images.shape[3], self.kernel_size[1], self.stride[1])
        if top == bottom and left == right:
            # The convolution pads by itself, without a copy of the map.
            return functional.conv2d(
                images, self.weight, self.bias, self.stride, (top, left), self.dilation, self.groups
            )
        padded = functional.pad(images, (left, right, top, bottom))
        return functional.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Give the pixels to add before and after `size` pixels.

    Examples
    --------
    >>> same_padding(224, kernel=3, stride=2), same_padding(225, kernel=3, stride=2)
    ((0, 1), (1, 1))
    """
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _normalisation(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPSILON, momentum=BATCH_NORM_MOMENTUM)


class InvertedBottleneck(nn.Module):
    """Expand, filter each channel, project; added to its input where the shapes allow it.

    Parameters
    ----------
    n_in, n_out : int
        Channels before and after.
    kernel, stride, expansion : int
        Of the depthwise convolution; channels inside are ``n_in * expansion``.
    drop_path : float
        Probability that an image skips the block while training.
    """

    def __init__(
        self, n_in: int, n_out: int, *, kernel: int, stride: int, expansion: int, drop_path: float
    ) -> None:
        super().__init__()
        n_inside = n_in * expansion
        self.expand = (
            nn.Identity()
            if expansion == 1
            else nn.Sequential(
                SameConvolution(n_in, n_inside, 1), _normalisation(n_inside), nn.ReLU6(inplace=True)
            )
        )
        self.depthwise = nn.Sequential(
            SameConvolution(n_inside, n_inside, kernel, stride, groups=n_inside),
            _normalisation(n_inside),
            nn.ReLU6(inplace=True),
        )
        self.project = nn.Sequential(SameConvolution(n_inside, n_out, 1), _normalisation(n_out))
        self.is_residual = stride == 1 and n_in == n_out
        self.drop_path = drop_path

    def forward(self, places: Tensor) -> Tensor:
        """Filter a map (batch, n_in, rows, columns)."""
        filtered: Tensor = self.project(self.depthwise(self.expand(places)))
        if not self.is_residual:
            return filtered
        if self.training and self.drop_path > 0.0:
            kept = 1.0 - self.drop_path
            draws = torch.rand((filtered.shape[0], 1, 1, 1), dtype=torch.float32, device=filtered.device)
            filtered = filtered * ((draws < kept) / kept).to(filtered.dtype)
        return places + filtered


class EfficientNetLite(nn.Module):
    """The trunk: stem, stages and the 1x1 convolution to 1280 channels.

    Parameters
    ----------
    variant : Variant
        One of `VARIANTS`.
    drop_path : float
        Probability of skipping the last block; it rises linearly from 0 at the first.
    """

    def __init__(self, variant: Variant, *, drop_path: float = 0.0) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            SameConvolution(3, STEM_CHANNELS, 3, 2), _normalisation(STEM_CHANNELS), nn.ReLU6(inplace=True)
        )
        stages = scaled_stages(variant)
        n_blocks = sum(stage.n_blocks for stage in stages)
        blocks: list[InvertedBottleneck] = []
        n_in = STEM_CHANNELS
        for stage in stages:
            for place in range(stage.n_blocks):
                blocks.append(
                    InvertedBottleneck(
                        n_in,
                        stage.channels,
                        kernel=stage.kernel,
                        stride=stage.stride if place == 0 else 1,
                        expansion=stage.expansion,
                        drop_path=drop_path * len(blocks) / n_blocks,
                    )
                )
                n_in = stage.channels
        self.blocks = nn.Sequential(*blocks)
        self.top = nn.Sequential(
            SameConvolution(n_in, N_FEATURES, 1), _normalisation(N_FEATURES), nn.ReLU6(inplace=True)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, images: Tensor) -> Tensor:
        """Give the map (batch, 1280, height / 32, width / 32) of normalised images."""
        places: Tensor = self.top(self.blocks(self.stem(images)))
        return places
