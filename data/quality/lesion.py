"""Finds the lesion in a small photograph: what differs from the skin around, the largest piece of it.

Skin is what most of a ring around the middle looks like. Each pixel's distance from it in brightness and two
colour differences is parted in two by Otsu's threshold; the largest connected piece beyond it is the lesion.
It is no segmentation to measure a lesion by: it tells whether one is there, roughly how large, and whether it
reaches the edge.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from data.pieces import pieces

Floats = NDArray[np.float32]

SIDE_PX = 128
# Below this distance from the skin, in sRGB steps, nothing stands out from it.
_LEAST_DISTANCE = 14.0
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Brightness, red-green and green-blue: the difference of green and blue is the noisiest in a JPEG.
_WEIGHTS = np.array([1.0, 1.2, 0.6], np.float32)


@dataclass(frozen=True, slots=True)
class Lesion:
    """What stands out: its part of the seen area, and how much of one side of the picture is like it."""

    area: float
    side: float


def find_lesion(picture: NDArray[np.uint8]) -> Lesion | None:
    """Look for a lesion.

    Parameters
    ----------
    picture : (rows, columns, 3) uint8
        sRGB, its shorter side about :data:`SIDE_PX`.

    Returns
    -------
    Lesion or None
        None if nothing stands out.
    """
    colours = picture.astype(np.float32)
    radius = _radius(colours.shape[0], colours.shape[1])
    seen = radius < 1.0
    distance = _distance_from_skin(colours, radius)
    stands_out = distance > max(_otsu(distance[seen]), _LEAST_DISTANCE)
    found = pieces(stands_out & seen)
    if not found:
        return None
    _, n_pixels = max(found, key=lambda piece: piece[1])
    return Lesion(n_pixels / int(seen.sum()), _widest_on_a_side(stands_out))


def _widest_on_a_side(stands_out: NDArray[np.bool_]) -> float:
    """Give how much more of the middle half of one side stands out than of any other side.

    Shade and a curved limb darken two sides or more, a lesion that is cut off one.
    """
    rows, columns = stands_out.shape
    across, down = slice(columns // 4, columns - columns // 4), slice(rows // 4, rows - rows // 4)
    sides = (
        stands_out[1:4, across],
        stands_out[-4:-1, across],
        stands_out[down, 1:4],
        stands_out[down, -4:-1],
    )
    widest, next_to_it, *_ = sorted((float(side.mean()) for side in sides), reverse=True)
    return max(0.0, widest - next_to_it)


def _radius(rows: int, columns: int) -> Floats:
    """Give the squared distance from the middle, 1 on the ellipse that the picture holds."""
    y, x = np.ogrid[:rows, :columns]
    down = (y - rows / 2) / (rows / 2)
    across = (x - columns / 2) / (columns / 2)
    return np.asarray(down**2 + across**2, np.float32)


def _distance_from_skin(colours: Floats, radius: Floats) -> Floats:
    grey = colours @ _LUMA
    parts = np.stack([grey, colours[..., 0] - colours[..., 1], colours[..., 1] - colours[..., 2]], axis=-1)
    ring = (radius < 1.0) & (radius > 0.55)
    lightness = np.percentile(grey[ring], 60)
    skin = np.median(parts[ring & (np.abs(grey - lightness) < 20)], axis=0)
    distance = np.sqrt((((parts - skin) * _WEIGHTS) ** 2).sum(axis=-1))
    smooth = Image.fromarray(np.clip(distance, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1.2))
    return np.array(smooth, np.float32)


def _otsu(values: Floats) -> float:
    """Give the threshold that parts values best in two (Otsu 1979)."""
    counts, edges = np.histogram(values, 64, (0.0, 255.0))
    share = counts / counts.sum()
    middles = (edges[1:] + edges[:-1]) / 2
    below, mean = np.cumsum(share), np.cumsum(share * middles)
    apart = (mean[-1] * below - mean) ** 2 / np.maximum(below * (1 - below), 1e-9)
    return float(middles[int(apart.argmax())])
