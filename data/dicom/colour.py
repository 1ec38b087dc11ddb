"""Colour spaces of DICOM pixels to RGB.

References
----------
PS3.3 C.7.6.3.1.2 (YBR_FULL, YBR_PARTIAL), ITU-R BT.601, ISO/IEC 15444-1 G (RCT, ICT).
"""

import numpy as np
from numpy.typing import NDArray

# Rows give R, G, B of (Y, Cb - 128, Cr - 128), all of 8 bits.
_FULL = np.array([[1, 0, 1.402], [1, -0.114 * 1.772 / 0.587, -0.299 * 1.402 / 0.587], [1, 1.772, 0]])
# Y runs from 16 to 235 and the colour differences over 224 steps.
_PARTIAL = _FULL * np.array([255 / 219, 255 / 224, 255 / 224])


def to_rgb(values: NDArray[np.generic], photometric: str) -> NDArray[np.generic]:
    """Turn colour samples into RGB of the same depth.

    Parameters
    ----------
    values : (rows, columns, 3) uint8 or deeper
        Samples of each pixel.
    photometric : str
        Photometric Interpretation; an unknown one is taken as RGB.

    Examples
    --------
    >>> to_rgb(np.array([[[76, 85, 255]]], np.uint8), "YBR_FULL").tolist()
    [[[254, 0, 0]]]
    """
    if photometric in {"YBR_FULL", "YBR_FULL_422", "YBR_ICT"}:
        return _matrix(values, _FULL, 0)
    if photometric in {"YBR_PARTIAL_420", "YBR_PARTIAL_422"}:
        return _matrix(values, _PARTIAL, 16)
    if photometric == "YBR_RCT":
        return _reversible(values)
    return values


def to_eight_bits(values: NDArray[np.generic], bits: int) -> NDArray[np.uint8]:
    """Keep the upper eight of `bits` bits.

    Examples
    --------
    >>> to_eight_bits(np.array([0, 0x8000, 0xFFFF], np.uint16), 16).tolist()
    [0, 128, 255]
    """
    if bits == 8:
        return values.astype(np.uint8)
    scale = 255.0 / ((1 << bits) - 1)
    return np.clip(np.rint(values.astype(np.float64) * scale), 0, 255).astype(np.uint8)


def _matrix(values: NDArray[np.generic], matrix: NDArray[np.float64], black: int) -> NDArray[np.generic]:
    n_bits = values.dtype.itemsize * 8
    middle = 1 << (n_bits - 1)
    shifted = values.astype(np.float32) - np.array([black << (n_bits - 8), middle, middle], np.float32)
    rgb = shifted @ matrix.T.astype(np.float32)
    whole: NDArray[np.generic] = np.clip(np.rint(rgb), 0, (1 << n_bits) - 1).astype(values.dtype)
    return whole


def _reversible(values: NDArray[np.generic]) -> NDArray[np.generic]:
    middle = 1 << (values.dtype.itemsize * 8 - 1)
    y, u, v = (values[..., channel].astype(np.int64) for channel in range(3))
    u, v = u - middle, v - middle
    green = y - ((u + v) >> 2)
    rgb = np.stack([v + green, green, u + green], axis=-1)
    whole: NDArray[np.generic] = np.clip(rgb, 0, 2 * middle - 1).astype(values.dtype)
    return whole
