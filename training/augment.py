"""Changes to a batch of images that leave the diagnosis as it is.

Torchvision's transforms draw one set of parameters for a whole batch, or cost milliseconds an image when
called one by one: on two cores that was a fifth of the time of a training step. These are transforms of the
same kind (``v2.Transform``, so they compose with torchvision's own) that draw parameters for each image
and apply them to the batch in one operation: all of geometry is one resampling, all of colour one 3x3
matrix an image. Every draw comes from torch's generator, so seeding that before a step fixes the step.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from models.networks.torchvision_operators import v2
from training.recipe import AugmentSpec

# Rec. ITU-R BT.601 luma, and the two colour axes that go with it (NTSC's YIQ), for turning hue.
_LUMA = (0.299, 0.587, 0.114)
_RGB_TO_YIQ = torch.tensor([_LUMA, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312)])
# Part of the image's side that an erased square may have.
_ERASED_SIDE = (0.1, 0.3)


def build_augmentation(spec: AugmentSpec) -> v2.Transform:
    """Put the recipe's changes together.

    Returns
    -------
    Transform
        Takes and gives (batch, 3, height, width) float32 grey levels, 0 to 255.
    """
    return v2.Compose([RandomPlacement(spec), RandomColour(spec), RandomErasure(spec)])


def _uniform(n: int, limit: float, like: Tensor) -> Tensor:
    """Draw (n,) values in [-limit, limit); drawn on the CPU so that every device sees the same."""
    return ((torch.rand(n) * 2.0 - 1.0) * limit).to(like.device)


def _coin(n: int, probability: float, like: Tensor) -> Tensor:
    return (torch.rand(n) < probability).to(like.device)


class RandomPlacement(v2.Transform):  # type: ignore[misc] # torchvision is not annotated
    """Flips, turns, scales, stretches and shifts each image, in one bilinear resampling.

    Outside of the image its border is mirrored, so no black corner tells that an image was turned.
    """

    def __init__(self, spec: AugmentSpec) -> None:
        super().__init__()
        self.spec = spec

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw a 2x3 matrix an image: where each place of the result is taken from."""
        images: Tensor = flat_inputs[0]
        n, spec = len(images), self.spec
        angle = _uniform(n, math.radians(spec.rotation_degrees), images)
        size = torch.exp(_uniform(n, math.log1p(spec.scale), images))
        stretch = torch.exp(_uniform(n, math.log1p(spec.stretch), images) / 2.0)
        flip_x = 1.0 - 2.0 * _coin(n, 0.5 * spec.flip_horizontal, images).float()
        flip_y = 1.0 - 2.0 * _coin(n, 0.5 * spec.flip_vertical, images).float()
        along, across = size * stretch * flip_x, size / stretch * flip_y
        cosine, sine = torch.cos(angle), torch.sin(angle)
        rows = (
            torch.stack([cosine * along, -sine * across, _uniform(n, 2.0 * spec.shift, images)], dim=1),
            torch.stack([sine * along, cosine * across, _uniform(n, 2.0 * spec.shift, images)], dim=1),
        )
        return {"matrix": torch.stack(rows, dim=1)}

    def transform(self, inpt: Tensor, params: dict[str, Any]) -> Tensor:
        """Resample the batch."""
        grid = functional.affine_grid(params["matrix"], list(inpt.shape), align_corners=False)
        return functional.grid_sample(
            inpt, grid, mode="bilinear", padding_mode="reflection", align_corners=False
        )


class RandomColour(v2.Transform):  # type: ignore[misc] # torchvision is not annotated
    """Changes brightness, contrast, saturation and hue of each image, in one matrix an image."""

    def __init__(self, spec: AugmentSpec) -> None:
        super().__init__()
        self.spec = spec

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the matrix (batch, 3, 3) and the contrast's pivot factor (batch,)."""
        images: Tensor = flat_inputs[0]
        n, spec = len(images), self.spec
        brightness = 1.0 + _uniform(n, spec.brightness, images)
        contrast = 1.0 + _uniform(n, spec.contrast, images)
        saturation = 1.0 + _uniform(n, spec.saturation, images)
        hue = _uniform(n, math.radians(spec.hue_degrees), images)
        to_yiq = _RGB_TO_YIQ.to(images.device)
        turned = torch.zeros(n, 3, 3, device=images.device)
        turned[:, 0, 0] = 1.0
        turned[:, 1, 1] = turned[:, 2, 2] = saturation * torch.cos(hue)
        turned[:, 1, 2] = -saturation * torch.sin(hue)
        turned[:, 2, 1] = saturation * torch.sin(hue)
        colour = torch.linalg.inv(to_yiq) @ turned @ to_yiq
        return {
            "matrix": colour * (brightness * contrast)[:, None, None],
            "pivot": brightness * (1.0 - contrast),
        }

    def transform(self, inpt: Tensor, params: dict[str, Any]) -> Tensor:
        """Multiply every pixel, then stretch around the image's own mean grey."""
        n, _, height, width = inpt.shape
        luma = torch.tensor(_LUMA, device=inpt.device)
        mean_grey = inpt.mean(dim=(2, 3)) @ luma
        pixels = torch.baddbmm(
            (params["pivot"] * mean_grey)[:, None, None], params["matrix"], inpt.reshape(n, 3, height * width)
        )
        return pixels.clamp_(0.0, 255.0).view(n, 3, height, width)


class RandomErasure(v2.Transform):  # type: ignore[misc] # torchvision is not annotated
    """Replaces a square of some images by the image's mean colour."""

    def __init__(self, spec: AugmentSpec) -> None:
        super().__init__()
        self.spec = spec

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw which images, and where: centre and half side (batch,) as parts of the image's side."""
        images: Tensor = flat_inputs[0]
        n = len(images)
        low, high = _ERASED_SIDE
        return {
            "chosen": _coin(n, self.spec.erase_probability, images),
            "half_side": ((low + (high - low) * torch.rand(n)) / 2.0).to(images.device),
            "centre_x": torch.rand(n).to(images.device),
            "centre_y": torch.rand(n).to(images.device),
        }

    def transform(self, inpt: Tensor, params: dict[str, Any]) -> Tensor:
        """Fill the squares."""
        if not bool(params["chosen"].any()):
            return inpt
        height, width = inpt.shape[2:]
        x = (torch.arange(width, device=inpt.device) + 0.5) / width
        y = (torch.arange(height, device=inpt.device) + 0.5) / height
        half = params["half_side"][:, None]
        in_x = (x - params["centre_x"][:, None]).abs() < half
        in_y = (y - params["centre_y"][:, None]).abs() < half
        inside = in_y[:, None, :, None] & in_x[:, None, None, :] & params["chosen"][:, None, None, None]
        return torch.where(inside, inpt.mean(dim=(2, 3), keepdim=True), inpt)
