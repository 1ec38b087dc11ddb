"""How a rendered image is asked for: window, viewport, quality, and what this service leaves off.

References
----------
PS3.18 8.3.5 (rendering query parameters), PS3.3 C.11.2.1 (windows).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.dicom.windows import VoiWindow, WindowFunction
from serving.errors import Problem, ServiceError

THUMBNAIL_PX: Final = 128
QUALITY: Final = 80
_LARGEST_PX = 8192
_FUNCTIONS = {
    "linear": WindowFunction.LINEAR,
    "linear-exact": WindowFunction.LINEAR_EXACT,
    "sigmoid": WindowFunction.SIGMOID,
}


@dataclass(frozen=True, slots=True)
class Viewport:
    """The picture's size in pixels, and the part of the image that it shows; None: all of it.

    A negative width or height of the region turns the image over, as the standard has it.
    """

    columns: int
    rows: int
    region: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """How an image is rendered."""

    window: VoiWindow | None = None
    viewport: Viewport | None = None
    quality: int = QUALITY

    @property
    def at_least_px(self) -> int | None:
        """How many pixels the shorter side must be decoded with, None for all."""
        viewport = self.viewport
        return min(viewport.columns, viewport.rows) if viewport and not viewport.region else None


def read_look(window: str | None, viewport: str | None, quality: str | None) -> Look:
    """Read the query parameters.

    Raises
    ------
    ServiceError
        `BAD_PARAMETER` if one is not what the standard says; names it.

    Examples
    --------
    >>> read_look("40,80,linear", "256,256", None).window
    VoiWindow(centre=40.0, width=80.0, function=<WindowFunction.LINEAR: 'LINEAR'>, explanation='')
    """
    return Look(
        None if window is None else _window(window),
        None if viewport is None else _viewport(viewport),
        QUALITY if quality is None else _quality(quality),
    )


def shown(pixels: NDArray[np.uint8], viewport: Viewport | None) -> Image.Image:
    """Give a decoded frame as the viewport shows it, its proportions kept."""
    image = Image.fromarray(pixels)
    if viewport is None:
        return image
    if viewport.region is not None:
        image = _part(image, viewport.region)
    scale = min(viewport.columns / image.width, viewport.rows / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    if size == image.size:
        return image
    resampling = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    return image.resize(size, resampling, reducing_gap=2.0 if scale < 1 else None)


def _part(image: Image.Image, region: tuple[float, float, float, float]) -> Image.Image:
    left, top, width, height = region
    box = (
        max(0, round(left)),
        max(0, round(top)),
        min(image.width, round(left + abs(width))),
        min(image.height, round(top + abs(height))),
    )
    if box[0] >= box[2] or box[1] >= box[3]:
        raise _bad("viewport", "its region lies outside of the image")
    image = image.crop(box)
    if width < 0:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return image.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if height < 0 else image


def _window(text: str) -> VoiWindow:
    parts = text.split(",")
    function = _FUNCTIONS.get(parts[2].strip().lower()) if len(parts) == 3 else WindowFunction.LINEAR
    numbers = _numbers("window", parts[:2])
    if len(parts) not in {2, 3} or function is None or len(numbers) != 2:
        raise _bad("window", f"{text!r} is not centre,width,function (linear, linear-exact or sigmoid)")
    window = VoiWindow(numbers[0], numbers[1], function)
    if not window.is_valid:
        raise _bad("window", f"{numbers[1]:g} is no width")
    return window


def _viewport(text: str) -> Viewport:
    parts = text.split(",")
    if len(parts) not in {2, 6}:
        raise _bad("viewport", f"{text!r} is not width,height or width,height,left,top,width,height")
    columns, rows = _numbers("viewport", parts[:2])
    if not (1 <= columns <= _LARGEST_PX and 1 <= rows <= _LARGEST_PX):
        raise _bad("viewport", f"its sides are 1 to {_LARGEST_PX} pixels")
    if len(parts) == 2:
        return Viewport(int(columns), int(rows))
    left, top, width, height = _numbers("viewport", [part or "0" for part in parts[2:]])
    return Viewport(int(columns), int(rows), (left, top, width or 1e9, height or 1e9))


def _quality(text: str) -> int:
    (quality,) = _numbers("quality", [text])
    if not 1 <= quality <= 100:
        raise _bad("quality", "it is 1 to 100")
    return int(quality)


def _numbers(name: str, parts: list[str]) -> list[float]:
    try:
        numbers = [float(part) for part in parts]
    except ValueError as error:
        raise _bad(name, f"{','.join(parts)!r} are no numbers") from error
    if not np.isfinite(numbers).all() or any(abs(number) > 1e9 for number in numbers):
        raise _bad(name, "its numbers are too large")
    return numbers


def _bad(name: str, problem: str) -> ServiceError:
    return ServiceError(Problem.BAD_PARAMETER, f"The parameter {name!r} cannot be used: {problem}.")
