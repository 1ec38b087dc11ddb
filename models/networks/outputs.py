"""What every network gives: logits, pooled features and a class activation map."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class NetworkOutputs(NamedTuple):
    """The three views of one forward pass.

    Parameters
    ----------
    logits : (batch, n_classes) float32
        Scores before softmax.
    features : (batch, n_features) float32
        The trunk's map, averaged over the image.
    maps : (batch, n_classes, rows, columns) float32
        The score of each class at each place.
    """

    logits: Tensor
    features: Tensor
    maps: Tensor


class ImageClassifier(nn.Module):
    """A trunk, the mean over the image and a linear head.

    Because averaging and the head are both linear, the head may as well be applied at each place of
    the trunk's map: that is the class activation map [1]_, and its mean over the image is the logits.

    Parameters
    ----------
    trunk : Module
        Maps normalised images (batch, 3, height, width) to features (batch, n_features, rows, columns).
    n_features, n_classes : int
        Width of the trunk's map, number of logits.
    mean_grey, std_grey : tuple of float, grey levels
        Each channel's mean and spread for which the trunk was made, on the scale 0 to 255.
    dropout : float
        Part of the pooled features that is dropped while training.

    References
    ----------
    .. [1] B. Zhou et al., "Learning deep features for discriminative localization", CVPR 2016.
    """

    mean_grey: Tensor
    std_grey: Tensor

    def __init__(
        self,
        trunk: nn.Module,
        *,
        n_features: int,
        n_classes: int,
        mean_grey: tuple[float, float, float],
        std_grey: tuple[float, float, float],
        dropout: float,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.dropout = dropout
        self.head = nn.Linear(n_features, n_classes)
        self.register_buffer("mean_grey", torch.tensor(mean_grey).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std_grey", torch.tensor(std_grey).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> NetworkOutputs:
        """Score a batch.

        Parameters
        ----------
        images : (batch, 3, height, width) float32, grey levels
            sRGB on the scale 0 to 255, any height and width.

        Returns
        -------
        NetworkOutputs
            In evaluation, `logits` is the mean of `maps` over the image.
        """
        places = self.trunk((images - self.mean_grey) / self.std_grey)
        features = places.mean(dim=(2, 3))
        logits = self.head(functional.dropout(features, self.dropout, self.training))
        maps = functional.conv2d(places, self.head.weight[:, :, None, None], self.head.bias)
        return NetworkOutputs(logits, features, maps)
