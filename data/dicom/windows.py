"""From modality values to what a person sees: windows, and a sensible one where none is given.

References
----------
PS3.3 C.11.2.1.2 and C.11.2.1.3 (window centre and width, VOI LUT function).
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

# The share of pixels left out at either end when a window is made from the picture: burnt-in text, metal
# and a collimator's edge are less than that in the corpora this was tried on.
TAIL_PERCENT = 0.5
# Percentiles are taken of at most about this many pixels.
N_SAMPLED = 1 << 16


class WindowFunction(StrEnum):
    """VOI LUT Function (0028,1056)."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"

    @classmethod
    def of(cls, term: str) -> "WindowFunction":
        """Give the function with this term, `LINEAR` for one that is unknown or absent."""
        try:
            return cls(term.strip().upper())
        except ValueError:
            return cls.LINEAR


@dataclass(frozen=True, slots=True)
class VoiWindow:
    """A window on modality values: `centre` and `width` in their unit."""

    centre: float
    width: float
    function: WindowFunction = WindowFunction.LINEAR
    explanation: str = ""

    @property
    def is_valid(self) -> bool:
        """Whether the standard allows the width: 1 or more for LINEAR, above 0 for the others."""
        return self.width >= 1 if self.function is WindowFunction.LINEAR else self.width > 0


def apply_window(values: NDArray[np.floating], window: VoiWindow) -> NDArray[np.float32]:
    """Map modality values to brightness.

    Parameters
    ----------
    values : (rows, columns) floating
        Modality values.
    window : VoiWindow
        The window; its width must be valid.

    Returns
    -------
    (rows, columns) float32
        Brightness, 0.0 (darkest) to 1.0 (brightest).

    Notes
    -----
    With centre c and width w, and limits 0 and 1 for the output:

    LINEAR: ``(x - (c - 0.5)) / (w - 1) + 0.5``, clipped; a width of 1 is a threshold at ``c - 0.5``.
    LINEAR_EXACT: ``(x - c) / w + 0.5``, clipped.
    SIGMOID: ``1 / (1 + exp(-4 (x - c) / w))``.

    Examples
    --------
    >>> values = np.array([[-1.0, 0.0, 127.5, 255.0, 256.0]])
    >>> apply_window(values, VoiWindow(centre=128, width=256)).round(3).tolist()
    [[0.0, 0.0, 0.5, 1.0, 1.0]]
    """
    x: NDArray[np.float32] = values.astype(np.float32)
    centre, width = np.float32(window.centre), np.float32(window.width)
    brightness: NDArray[np.float32]
    if window.function is WindowFunction.SIGMOID:
        # Beyond 60 the exponential nears float32's limits, and the result has been 0 or 1 for long.
        exponent = np.clip(-4 * (x - centre) / width, -60, 60)
        brightness = 1 / (1 + np.exp(exponent))
    elif window.function is WindowFunction.LINEAR_EXACT:
        brightness = np.clip((x - centre) / width + np.float32(0.5), 0, 1)
    elif width == 1:
        brightness = (x > centre - np.float32(0.5)).astype(np.float32)
    else:
        brightness = np.clip((x - (centre - np.float32(0.5))) / (width - 1) + np.float32(0.5), 0, 1)
    return brightness


def window_of_range(low: float, high: float) -> VoiWindow:
    """Give the window that shows `low` darkest and `high` brightest.

    Examples
    --------
    >>> window = window_of_range(0.0, 255.0)
    >>> window.centre, window.width
    (127.5, 255.0)
    """
    width = high - low
    if width <= 0:
        # A picture of one value is shown mid-grey.
        return VoiWindow(low, 1.0, WindowFunction.LINEAR_EXACT)
    return VoiWindow(low + width / 2, width, WindowFunction.LINEAR_EXACT)


def robust_window(values: NDArray[np.floating], counted: NDArray[np.bool_] | None = None) -> VoiWindow:
    """Make a window from the picture itself, for objects that bring none.

    Parameters
    ----------
    values : (rows, columns) floating
        Modality values.
    counted : (rows, columns) bool or None
        Which pixels belong to the picture; None for all. Padding does not.

    Returns
    -------
    VoiWindow
        From the :data:`TAIL_PERCENT` percentile to the one as far from the other end, of finite values;
        where these two are equal (a mask, a sparse map) from the lowest to the highest.
    """
    picture = values[counted] if counted is not None else values.reshape(-1)
    picture = picture[:: max(1, picture.size // N_SAMPLED)]
    picture = picture[np.isfinite(picture)]
    if picture.size == 0:
        return window_of_range(0.0, 1.0)
    low, high = np.percentile(picture, [TAIL_PERCENT, 100 - TAIL_PERCENT])
    if low == high:
        low, high = picture.min(), picture.max()
    return window_of_range(float(low), float(high))
