"""From whatever a picture's numbers mean to 8-bit sRGB: profiles, palettes, transparency, depth.

* An embedded ICC profile is applied; a profile that is broken or belongs to another colour space is passed
  over, and the numbers count as sRGB, as they do without a profile.
* What is transparent shows white, as on paper and on a page. The colour under a fully transparent pixel
  is never shown: it was not meant to be seen.
* 16 bits become 8 over their whole range, so that neither shadows nor lights are cut off. Numbers without a
  white point (32-bit integers, floating point beyond 0 to 1) are spread from their least to their greatest.
"""

from functools import lru_cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

# A transform that moves no colour by more than this is none: sRGB's own profiles differ by as much
# among each other, and skipping it saves a fifth of a second on a picture of 12 megapixels.
_SAME_GREY_LEVELS = 2
_STRIP_ROWS = 256

_WITH_ALPHA = {"P": "RGBA", "PA": "RGBA", "RGB": "RGBA", "RGBA": "RGBA", "RGBa": "RGBA"} | dict.fromkeys(
    ("1", "L", "LA", "La"), "LA"
)
_OPAQUE = {"1": "L", "P": "RGB", "RGBX": "RGB", "YCbCr": "RGB", "HSV": "RGB"}


def to_srgb(
    image: Image.Image, icc_profile: bytes = b"", *, white_is_zero: bool = False
) -> NDArray[np.uint8]:
    """Give a picture's sRGB values.

    Parameters
    ----------
    image : PIL.Image.Image
        Loaded, of any mode.
    icc_profile : bytes
        The embedded profile; empty for none.
    white_is_zero : bool
        Whether 16-bit and floating-point grey runs from white to black (TIFF's WhiteIsZero).

    Returns
    -------
    (rows, columns, 3) uint8
        A new array.
    """
    if image.mode == "F" or image.mode.startswith("I"):
        grey = _eight_bits(np.asarray(image))
        image = Image.fromarray(255 - grey if white_is_zero else grey)
    alpha: Image.Image | None = None
    if image.mode in {"LA", "La", "PA", "RGBA", "RGBa"} or "transparency" in image.info:
        image = image.convert(_WITH_ALPHA[image.mode])
        alpha = image.getchannel("A")
        image = image.convert(image.mode.removesuffix("A"))
    elif image.mode in _OPAQUE:
        image = image.convert(_OPAQUE[image.mode])
    colour = _in_srgb(image, icc_profile)
    if alpha is not None:
        paper = Image.new("RGB", colour.size, "white")
        paper.paste(colour, mask=alpha)
        colour = paper
    return np.array(colour)


def samples_to_srgb(samples: NDArray[np.uint8], icc_profile: bytes = b"") -> NDArray[np.uint8]:
    """Give the sRGB values of decoded samples.

    Parameters
    ----------
    samples : (rows, columns), (rows, columns, 3) or (rows, columns, 4) uint8
        Grey, RGB or CMYK (0 for no ink).
    icc_profile : bytes
        The embedded profile; empty for none.

    Returns
    -------
    (rows, columns, 3) uint8
        `samples` itself where nothing is to be done.
    """
    mode = "L" if samples.ndim == 2 else {3: "RGB", 4: "CMYK"}[samples.shape[2]]
    if _transform(icc_profile, mode) is None and mode != "CMYK":
        return samples if mode == "RGB" else np.repeat(samples[..., None], 3, axis=2)
    picture = np.empty((*samples.shape[:2], 3), np.uint8)
    for top in range(0, len(samples), _STRIP_ROWS):  # Pillow's own copies are of a strip, not of the whole
        strip = samples[top : top + _STRIP_ROWS]
        image = Image.frombytes(mode, (strip.shape[1], strip.shape[0]), strip.tobytes())
        picture[top : top + _STRIP_ROWS] = to_srgb(image, icc_profile)
    return picture


def _eight_bits(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        return ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    numbers = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(numbers.min()), float(numbers.max())
    if values.dtype.kind == "f" and low >= 0.0 and high <= 1.0:
        low, high = 0.0, 1.0
    span = high - low
    return np.rint((numbers - low) * (255.0 / span if span > 0 else 0.0)).astype(np.uint8)


def _in_srgb(image: Image.Image, icc_profile: bytes) -> Image.Image:
    transform = _lab_transform() if image.mode == "LAB" else _transform(icc_profile, image.mode)
    if transform is not None:
        return transform.apply(image)
    return image if image.mode == "RGB" else image.convert("RGB")


@lru_cache(maxsize=1)
def _lab_transform() -> ImageCms.ImageCmsTransform:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(lab, srgb, "LAB", "RGB")


# Cameras of one make embed one profile: the transform is built once for each.
@lru_cache(maxsize=16)
def _transform(icc_profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    if not icc_profile:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(icc_profile))
        transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (OSError, ImageCms.PyCMSError):
        return None
    return None if mode == "RGB" and _changes_nothing(transform) else transform


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    steps = np.linspace(0, 255, 17).round().astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(17, -1, 3)
    moved = np.asarray(transform.apply(Image.fromarray(cube)))
    return int(np.abs(moved.astype(np.int16) - cube).max()) <= _SAME_GREY_LEVELS
