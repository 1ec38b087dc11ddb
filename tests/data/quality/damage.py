"""Spoils pictures on purpose, as a telephone, a lamp, a lens or an export does."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from data.quality.finding import Fault

Picture = NDArray[np.uint8]
Damage = Callable[[Picture, np.random.Generator], Picture]


def _clipped(values: NDArray[np.floating[Any]]) -> Picture:
    return np.asarray(np.clip(values, 0, 255), np.uint8)


def blurred(picture: Picture, _: np.random.Generator) -> Picture:
    """Out of focus by .8 % of the side."""
    radius = 0.008 * min(picture.shape[:2])
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)))


def slightly_blurred(picture: Picture, _: np.random.Generator) -> Picture:
    """Out of focus by .4 % of the side."""
    radius = 0.004 * min(picture.shape[:2])
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)))


def noisy(picture: Picture, random: np.random.Generator) -> Picture:
    """Grain of 14 steps."""
    return _clipped(picture + random.normal(0, 14, picture.shape))


def dark(picture: Picture, _: np.random.Generator) -> Picture:
    """Three tenths of the light."""
    return _clipped(picture * 0.3)


def bright(picture: Picture, _: np.random.Generator) -> Picture:
    """Two thirds of the way to white."""
    return _clipped(255 - (255 - picture.astype(np.float64)) * 0.35)


def tinted(*factors: float) -> Damage:
    """Light of another colour."""
    return lambda picture, _: _clipped(picture * np.array(factors))


def glaring(picture: Picture, random: np.random.Generator) -> Picture:
    """Three reflections near the middle."""
    image = Image.fromarray(picture)
    width, height = image.size
    light = Image.new("L", image.size, 0)
    pen = ImageDraw.Draw(light)
    for _ in range(3):
        x, y = random.uniform(0.3, 0.7, 2) * (width, height)
        across, down = random.uniform(0.04, 0.1, 2) * (width, height)
        pen.ellipse((x - across, y - down, x + across, y + down), fill=255)
    image.paste((255, 255, 255), mask=light.filter(ImageFilter.GaussianBlur(min(image.size) * 0.01)))
    return np.asarray(image)


def hairy(picture: Picture, random: np.random.Generator, *, n_hairs: int = 18) -> Picture:
    """Dark hairs across."""
    image = Image.fromarray(picture)
    pen, side = ImageDraw.Draw(image), min(image.size)
    for _ in range(n_hairs):
        x, y = random.uniform(0, 1, 2) * image.size
        angle, length, bend = (
            random.uniform(0, 6.28),
            random.uniform(0.3, 0.8) * side,
            random.uniform(-1.5, 1.5),
        )
        points = [(x, y)]
        for _ in range(20):
            angle += bend / 20
            x, y = x + np.cos(angle) * length / 20, y + np.sin(angle) * length / 20
            points.append((x, y))
        pen.line(points, fill=(35, 25, 22), width=max(1, round(side / 200)))
    return np.asarray(image)


def shrunk(picture: Picture, _: np.random.Generator) -> Picture:
    """A third of the pixels a side."""
    rows, columns = picture.shape[:2]
    return np.asarray(Image.fromarray(picture).resize((columns // 3, rows // 3)))


def from_afar(picture: Picture, random: np.random.Generator, *, scale: float = 0.15) -> Picture:
    """The whole picture as a small spot on even skin."""
    image = Image.fromarray(picture)
    width, height = image.size
    rim = np.concatenate([picture[:8].reshape(-1, 3), picture[-8:].reshape(-1, 3)])
    lit = rim[rim.max(axis=1) > 60]
    skin = np.median(lit, axis=0) if len(lit) > 50 else np.array([200.0, 160.0, 140.0])
    ground = _clipped(skin + random.normal(0, 5, (height, width, 3)))
    far = Image.fromarray(ground).filter(ImageFilter.GaussianBlur(0.6))
    small = image.resize((max(1, round(width * scale)), max(1, round(height * scale))))
    y, x = np.ogrid[: small.height, : small.width]
    away = ((y - small.height / 2) / (small.height / 2)) ** 2 + (
        (x - small.width / 2) / (small.width / 2)
    ) ** 2
    mask = Image.fromarray(_clipped(255 * np.clip(3 * (1 - away), 0, 1)))
    far.paste(small, ((width - small.width) // 2, (height - small.height) // 2), mask)
    return np.asarray(far)


def bare(picture: Picture, random: np.random.Generator) -> Picture:
    """Skin without a lesion."""
    return from_afar(picture, random, scale=0.01)


def cut_off(picture: Picture, random: np.random.Generator) -> Picture:
    """The middle of the picture at its edge."""
    rows, columns = picture.shape[:2]
    return picture[:, columns // 2 :] if random.random() < 0.5 else picture[rows // 2 :]


DAMAGES: dict[str, tuple[Fault, Damage]] = {
    "blur, .4 % of the side": (Fault.BLURRED, slightly_blurred),
    "blur, .8 % of the side": (Fault.BLURRED, blurred),
    "grain of 14 steps": (Fault.NOISY, noisy),
    "three tenths of the light": (Fault.TOO_DARK, dark),
    "two thirds of the way to white": (Fault.TOO_BRIGHT, bright),
    "blue light": (Fault.COLOUR_CAST, tinted(0.75, 1, 1.3)),
    "yellow light": (Fault.COLOUR_CAST, tinted(1.1, 1, 0.6)),
    "green light": (Fault.COLOUR_CAST, tinted(0.85, 1.15, 0.85)),
    "magenta light": (Fault.COLOUR_CAST, tinted(1.1, 0.8, 1.1)),
    "three reflections": (Fault.GLARE, glaring),
    "18 hairs": (Fault.HAIR, hairy),
    "a third of the pixels a side": (Fault.LOW_RESOLUTION, shrunk),
    "taken from afar": (Fault.LESION_TOO_SMALL, from_afar),
    "skin alone": (Fault.NO_LESION, bare),
    "half of the picture": (Fault.LESION_CUT_OFF, cut_off),
}
