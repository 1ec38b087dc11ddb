"""What the pictures of a set look like, as they are and as another camera would have shown them.

A data set has a look of its own, its camera's and its JPEG's; a model that took it for the kind of picture
would call every other camera foreign. So each picture is described twice, the second time with light,
contrast, white balance, sharpness, grain and compression changed within what is ordinary.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from models.appearance import Aspect, appearance
from training.dataset import Pixels

# Pictures that describe a set well enough; 1,500 take half a minute.
N_DESCRIBED = 1500


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """Looks of training's pictures and of held-out ones, each as they are and then ordinarily changed.

    Attributes
    ----------
    train, held_out : dict of Aspect to (2 * n, n_statistics) float32
    held_out_places : (n,) intp
        Which of the held-out rows were described.
    """

    train: Mapping[Aspect, NDArray[np.float32]]
    held_out: Mapping[Aspect, NDArray[np.float32]]
    held_out_places: NDArray[np.intp]


def looks_of(
    pixels: Pixels, train: NDArray[np.intp], held_out: NDArray[np.intp], *, is_colour: bool, seed: int
) -> Looks:
    """Describe the rows (n,) of `pixels` that trained and those that did not, at most 1,500 of each."""
    trained = train[described_rows(len(train), seed=seed)]
    places = described_rows(len(held_out), seed=seed)
    return Looks(
        train=describe(pixels, trained, is_colour=is_colour, seed=seed),
        held_out=describe(pixels, held_out[places], is_colour=is_colour, seed=seed + 1),
        held_out_places=places,
    )


def described_rows(n_rows: int, *, seed: int) -> NDArray[np.intp]:
    """Draw the rows of a set that are described, at most 1,500, in rising order."""
    return np.sort(np.random.default_rng(seed).permutation(n_rows)[:N_DESCRIBED])


def describe(
    pixels: Pixels, rows: NDArray[np.intp], *, is_colour: bool, seed: int
) -> dict[Aspect, NDArray[np.float32]]:
    """Describe pictures as they are, and then the same with ordinary changes.

    Parameters
    ----------
    pixels : (n, height, width, 3) uint8
        A network's inputs.
    rows : (n_rows,) intp
        Which of them.
    is_colour : bool
        Whether the channels are colours, whose balance may change.
    seed : int
        Of the changes.

    Returns
    -------
    dict of Aspect to (2 * n_rows, n_statistics) float32
    """
    draws = np.random.default_rng(seed)
    plain: list[dict[Aspect, NDArray[np.float32]]] = []
    changed: list[dict[Aspect, NDArray[np.float32]]] = []
    for row in rows:
        picture = np.array(pixels[row])
        plain.append(appearance(picture[None]))
        changed.append(appearance(ordinarily_changed(picture, draws, is_colour=is_colour)[None]))
    return {aspect: np.concatenate([one[aspect] for one in (*plain, *changed)]) for aspect in Aspect}


def ordinarily_changed(picture: Pixels, draws: np.random.Generator, *, is_colour: bool) -> Pixels:
    """Give a picture (height, width, 3) as another camera might have shown it.

    Brightness changes by up to 15 %, contrast by 20, each channel by 7 where channels are colours; one in
    four is softer, one sharper, one grainier; each is compressed once more as JPEG of quality 50 to 95.
    """
    values = picture.astype(np.float32)
    middle = values.mean()
    values = (values - middle) * draws.uniform(0.8, 1.2) + middle
    values *= draws.uniform(0.85, 1.15)
    if is_colour:
        values *= draws.uniform(0.93, 1.07, 3).astype(np.float32)
    change = int(draws.integers(4))
    if change == 0:
        # grain that is grey stays grey: the same on all channels
        grain = draws.normal(0.0, draws.uniform(1.0, 5.0), picture.shape if is_colour else picture.shape[:2])
        values += grain if is_colour else grain[..., None]
    image = Image.fromarray(values.clip(0, 255).astype(np.uint8))
    if change == 1:
        image = image.filter(ImageFilter.GaussianBlur(draws.uniform(0.3, 1.2)))
    if change == 2:
        image = image.filter(ImageFilter.UnsharpMask(1, int(draws.uniform(30, 150)), 0))
    quality, subsampling = int(draws.integers(50, 96)), int(draws.integers(3)) if is_colour else 0
    if is_colour:
        return _compressed(image, quality, subsampling)
    layers = [_compressed(layer, quality, subsampling) for layer in image.split()]
    return np.stack(layers, axis=-1)


def _compressed(image: Image.Image, quality: int, subsampling: int) -> Pixels:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=quality, subsampling=subsampling)
    with Image.open(content) as again:
        return np.asarray(again)
