"""Measures a photograph of skin and says what is amiss, on a small copy of it.

Arithmetic on one array: no file, no clock. Each limit was set on pictures of HAM10000 and PAD-UFES-20 so that
few good ones reach it (``docs/quality-report.md`` has the rates, and how much of each damage it finds).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from data.pieces import pieces
from data.quality.finding import Fault, Finding
from data.quality.lesion import SIDE_PX, Lesion, find_lesion

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]

# The copy's shorter side: 12 megapixels decode to it in some 20 ms.
COPY_PX = 512
_HALF_PX = 256

# Limits; in brackets the 5th or 95th percentile of good pictures, dermoscopic and by telephone.
LEAST_PX = 240  # shorter side; the networks look at 224
LEAST_SHARPNESS = 0.205  # (.22, .24)
MOST_NOISE = 5.6  # sRGB steps (.5, 4.0)
LEAST_LIGHT = 85.0  # 95th percentile of grey (148, 143)
MOST_LIGHT = 178.0  # 5th percentile of grey (159, 132)
MOST_GLARE = 0.006  # share of the middle (0, 0)
MOST_HAIR = 0.6  # length of thin dark lines, in sides of the picture (.04, .4)
LEAST_LESION = 0.016  # share of the seen area (.016, .060: the 1st percentile)
MOST_OF_A_SIDE = 0.75  # how much more of one side than of any other the lesion takes up (.46, .83)
# Shares of red, green and blue in the light of the picture's middle.
RED, GREEN, BLUE = (0.34, 0.60), (0.213, 0.346), (0.192, 0.342)

_LEAST_MEASURED_PX = 32
_GLARE_STEP = 232
_HAIR_STEP = 40
# Hairs cross, and then are one piece that fills little of its box; a narrow one may fill its own.
_MOST_FILLED, _NARROW_PX, _HAIR_WIDTH_PX = 0.2, 8, 2.5
_LEAST_HAIR_PX = 36
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True, slots=True)
class PhotographMeasures:
    """What was measured of a photograph.

    Attributes
    ----------
    shorter_side_px : int
        Of the original.
    sharpness : float
        Energy of the finest detail relative to contrast, in the sharpest tenth of the picture.
    noise : float, sRGB steps
        Standard deviation of what no neighbour explains.
    darkest, brightest : float, 0 to 255
        5th and 95th percentile of grey in the middle.
    red, green, blue : float
        Median shares of the light in the middle; they sum to about 1.
    glare : float
        Share of the middle that is white.
    hair : float
        Total length of thin dark lines, in sides of the picture.
    lesion : Lesion or None
    """

    shorter_side_px: int
    sharpness: float
    noise: float
    darkest: float
    brightest: float
    red: float
    green: float
    blue: float
    glare: float
    hair: float
    lesion: Lesion | None


def small_copy(picture: Picture, side_px: int = COPY_PX) -> Picture:
    """Make a copy whose shorter side has at most `side_px` pixels."""
    scale = side_px / min(picture.shape[:2])
    if scale >= 1:
        return picture
    size = round(picture.shape[1] * scale), round(picture.shape[0] * scale)
    way = Image.Resampling.BOX if scale < 0.5 else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(picture).resize(size, way))


def measure_photograph(picture: Picture, *, shorter_side_px: int) -> PhotographMeasures:
    """Measure a photograph.

    Parameters
    ----------
    picture : (rows, columns, 3) uint8
        sRGB, see :func:`small_copy`.
    shorter_side_px : int
        Of the original.
    """
    half = small_copy(picture, _HALF_PX)
    middle = _middle(half)
    grey = half.astype(np.float32) @ _LUMA
    darkest, brightest = np.percentile(grey[middle], (5, 95))
    red, green, blue = _light(half[middle].astype(np.float32))
    return PhotographMeasures(
        shorter_side_px=shorter_side_px,
        sharpness=_sharpness(picture),
        noise=_noise(picture.astype(np.float32) @ _LUMA),
        darkest=float(darkest),
        brightest=float(brightest),
        red=red,
        green=green,
        blue=blue,
        glare=float(((half.min(axis=2) >= _GLARE_STEP) & middle).sum() / middle.sum()),
        hair=_hair(grey, middle),
        lesion=find_lesion(small_copy(half, SIDE_PX)),
    )


def look_at_photograph(picture: Picture, *, shorter_side_px: int) -> tuple[Finding, ...]:
    """Measure and judge a photograph; one of a few pixels is only told that it has so few."""
    if min(picture.shape[:2]) < _LEAST_MEASURED_PX:
        return (Finding(Fault.LOW_RESOLUTION, shorter_side_px, LEAST_PX),)
    copy = small_copy(picture)
    return tuple(judge_photograph(measure_photograph(copy, shorter_side_px=shorter_side_px)))


def judge_photograph(measures: PhotographMeasures) -> Iterator[Finding]:
    """Say what is amiss; a picture too poor to find a lesion on is not told that it has none."""
    if measures.shorter_side_px < LEAST_PX:
        yield Finding(Fault.LOW_RESOLUTION, measures.shorter_side_px, LEAST_PX)
    is_dark, is_bright = measures.brightest < LEAST_LIGHT, measures.darkest > MOST_LIGHT
    if is_dark:
        yield Finding(Fault.TOO_DARK, measures.brightest, LEAST_LIGHT)
    if is_bright:
        yield Finding(Fault.TOO_BRIGHT, measures.darkest, MOST_LIGHT)
    if measures.sharpness < LEAST_SHARPNESS:
        yield Finding(Fault.BLURRED, measures.sharpness, LEAST_SHARPNESS)
    if measures.noise > MOST_NOISE:
        yield Finding(Fault.NOISY, measures.noise, MOST_NOISE)
    if not is_dark:
        yield from _cast(measures)
    if measures.glare > MOST_GLARE:
        yield Finding(Fault.GLARE, measures.glare, MOST_GLARE)
    if measures.hair > MOST_HAIR:
        yield Finding(Fault.HAIR, measures.hair, MOST_HAIR)
    if not is_dark:
        yield from _framing(measures.lesion)


def _framing(lesion: Lesion | None) -> Iterator[Finding]:
    if lesion is None:
        yield Finding(Fault.NO_LESION)
    elif lesion.area < LEAST_LESION:
        yield Finding(Fault.LESION_TOO_SMALL, lesion.area, LEAST_LESION)
    elif lesion.side > MOST_OF_A_SIDE:
        yield Finding(Fault.LESION_CUT_OFF, lesion.side, MOST_OF_A_SIDE)


def _cast(measures: PhotographMeasures) -> Iterator[Finding]:
    shares = ((measures.blue, BLUE), (measures.green, GREEN), (measures.red, RED))
    for share, (least, most) in shares:
        if not least <= share <= most:
            yield Finding(Fault.COLOUR_CAST, share, least if share < least else most)
            return


def _middle(picture: Picture) -> NDArray[np.bool_]:
    """Give the middle: dermatoscopes leave the corners black."""
    rows, columns = picture.shape[:2]
    y, x = np.ogrid[:rows, :columns]
    return np.asarray(((y - rows / 2) / (rows / 2)) ** 2 + ((x - columns / 2) / (columns / 2)) ** 2 < 0.8)


def _light(colours: Floats) -> tuple[float, float, float]:
    lit = colours[(colours.max(axis=1) < 250) & (colours.max(axis=1) > 40)]
    if lit.shape[0] < 50:
        return 1 / 3, 1 / 3, 1 / 3
    red, green, blue = np.median(lit / (lit.sum(axis=1, keepdims=True) + 1), axis=0)
    return float(red), float(green), float(blue)


def _sharpness(picture: Picture, *, n_tiles: int = 8) -> float:
    """Compare the finest detail with the contrast in each tile, noise smoothed away first."""
    smooth = np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(0.7)))
    grey = smooth.astype(np.float32) @ _LUMA
    inner = grey[1:-1, 1:-1]
    detail = 4 * inner - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    rows, columns = (side // n_tiles for side in detail.shape)
    if not rows or not columns:
        return 0.0
    tiles = n_tiles, rows, n_tiles, columns
    cut = np.s_[: rows * n_tiles, : columns * n_tiles]
    energy = np.square(detail[cut]).reshape(tiles).mean(axis=(1, 3))
    contrast = inner[cut].reshape(tiles).var(axis=(1, 3))
    return float(np.percentile(energy / (contrast + 20), 90))


def _noise(grey: Floats) -> float:
    """Estimate noise by what a plane through a pixel's neighbours does not explain (Immerkaer 1996)."""
    rows = grey[:-2] - 2 * grey[1:-1] + grey[2:]
    left = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    return float(np.median(np.abs(left)) / (0.6745 * 6))


def _hair(grey: Floats, middle: NDArray[np.bool_]) -> float:
    """Give the total length of thin dark lines: what a closing fills, in long pieces with little in them."""
    lines = (_closed(grey) - grey > _HAIR_STEP) & middle
    n_of_hair = 0
    for box, n_pixels in pieces(lines):
        height, width = box.bottom - box.top, box.right - box.left
        is_narrow = min(height, width) < _NARROW_PX
        if np.hypot(height, width) >= _LEAST_HAIR_PX and (
            is_narrow or n_pixels <= _MOST_FILLED * height * width
        ):
            n_of_hair += n_pixels
    return n_of_hair / _HAIR_WIDTH_PX / float(min(grey.shape))


def _closed(grey: Floats, reach_px: int = 3) -> Floats:
    """Fill what is dark and narrower than ``2 * reach_px + 1`` pixels (grey closing by a square)."""
    widest = _widest(_widest(grey, 0, reach_px), 1, reach_px)
    return -_widest(_widest(-widest, 0, reach_px), 1, reach_px)


def _widest(values: Floats, axis: int, reach_px: int) -> Floats:
    padded = np.pad(values, [(reach_px, reach_px) if one == axis else (0, 0) for one in (0, 1)], mode="edge")
    n = values.shape[axis]
    result = values
    for start in range(2 * reach_px + 1):
        part = padded[start : start + n] if axis == 0 else padded[:, start : start + n]
        result = np.maximum(result, part)
    return result
