"""Pictures that a model was not made for, to see whether it notices.

Photographs of other things, other kinds of medical image, noise, empty pictures, and the model's own kind
blurred or turned into its negative. All are made from a seed, and each goes the way it goes in service, so
that a colour photograph reaches a model of radiographs as the grey picture that it would be there.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from data.study import LabelledImage
from models.card import Colour, InputSpec
from models.preprocess import to_input
from training.dataset import Pixels
from training.sources import KINDS, read_input, surroundings

# Pictures that scikit-image carries in its wheel; any other it would fetch from the network.
SAMPLE_PICTURES = (
    "astronaut",
    "brick",
    "camera",
    "cat",
    "cell",
    "clock",
    "coffee",
    "coins",
    "colorwheel",
    "grass",
    "gravel",
    "horse",
    "hubble_deep_field",
    "immunohistochemistry",
    "logo",
    "microaneurysms",
    "moon",
    "page",
    "retina",
    "rocket",
    "shepp_logan_phantom",
    "text",
)

# Where other kinds of image lie in the folder of data sets: what they show, kind of source, folder.
OTHER_SETS = (
    ("dermoscopy", "ham10000", "ham10000_256"),
    ("clinical photographs", "pad_ufes_20", "pad_ufes_20_sample"),
    ("chest radiographs", "kermany", "kermany_chest_xray_224"),
    ("head CT", "ct_ich", "ct_ich_256"),
    ("chest CT", "lidc", "lidc_ct_256"),
)

# A blur is heavy when its standard deviation is this part of the picture's side: at 192 px, 8 and 16 px.
HEAVY_BLURS = (1 / 24, 1 / 12)
_CROPS_PER_PICTURE = 11
_SMALLEST_CROP = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class ForeignSet:
    """Pictures of one foreign kind as a model's inputs.

    Attributes
    ----------
    kind : str
        What they are, for people.
    pictures : (n, height, width, 3) uint8
    origins : (n,) str
        What each was made from; those of one origin are no two witnesses.
    """

    kind: str
    pictures: Pixels
    origins: NDArray[np.str_]


def made_sets(
    own: Pixels, origins: NDArray[np.str_], spec: InputSpec, *, n_each: int, seed: int
) -> Iterator[ForeignSet]:
    """Yield the kinds that need no other data set.

    Parameters
    ----------
    own : (n, spec.height, spec.width, 3) uint8
        Inputs of the model's own kind that it was not fitted on.
    origins : (n,) str
        Their lesions or patients.
    spec : InputSpec
        How a picture becomes an input.
    n_each : int
        Pictures of noise, and empty ones; of those made from the own, as many as these.
    seed : int
        Of all draws.
    """
    draws = np.random.default_rng(seed)
    yield _drawn("noise", _noise(spec, n_each, draws))
    yield _drawn("blank", _blank(spec, n_each, draws))
    yield ForeignSet("heavily blurred", np.stack([*_blurred(own)]), origins)
    yield ForeignSet("negative", 255 - own, origins)


def sample_photographs(spec: InputSpec, *, seed: int) -> ForeignSet | None:
    """Give photographs of other things, each whole and in crops; None where scikit-image is not installed."""
    try:
        from skimage import data as samples  # noqa: PLC0415
    except ImportError:
        return None
    draws = np.random.default_rng(seed)
    pictures, origins = [], []
    for name in SAMPLE_PICTURES:
        picture = _as_bytes(getattr(samples, name)())
        for one in (picture, *_crops(picture, draws)):
            pictures.append(_as_input(one, spec))
            origins.append(name)
    return ForeignSet("photographs of other things", np.stack(pictures), np.array(origins))


def other_sets(
    datasets: Path, spec: InputSpec, *, without: str, n_each: int, seed: int
) -> Iterator[ForeignSet | str]:
    """Yield pictures of other data sets, or the name of a kind whose folder is not there.

    Parameters
    ----------
    datasets : Path
        The folder of data sets.
    spec : InputSpec
        How a picture becomes an input.
    without : str
        The kind of source that the model was fitted on.
    n_each : int
        Pictures of each set, drawn by chance.
    seed : int
        Of the draw.

    Raises
    ------
    data.errors.DataError
        If a set is there but cannot be read.
    """
    for kind, source, folder in OTHER_SETS:
        if source == without:
            continue
        if not (datasets / folder).is_dir():
            yield kind
            continue
        images = tuple(KINDS[source](datasets / folder))
        yield _read_some(kind, images, spec, n_each, np.random.default_rng(seed))


def _read_some(
    kind: str, images: Sequence[LabelledImage], spec: InputSpec, n: int, draws: np.random.Generator
) -> ForeignSet:
    rows = np.sort(draws.permutation(len(images))[:n])
    around = surroundings(images, spec.colour)
    pictures = []
    for row in rows:
        neighbours, place = around[row]
        pictures.append(read_input([images[one].path for one in neighbours], place, spec))
    return ForeignSet(kind, np.stack(pictures), np.array([images[row].group for row in rows]))


def _drawn(kind: str, pictures: Iterable[Pixels]) -> ForeignSet:
    stacked = np.stack([*pictures])
    return ForeignSet(kind, stacked, np.arange(len(stacked)).astype(np.str_))


def _noise(spec: InputSpec, n: int, draws: np.random.Generator) -> Iterator[Pixels]:
    """Give Gaussian, uniform, salt-and-pepper and smooth noise in turn, half of it grey."""
    for index in range(n):
        n_channels = 1 if index // 4 % 2 else 3
        shape = (spec.height, spec.width, n_channels)
        if index % 4 == 0:
            noise = draws.normal(draws.uniform(64, 192), draws.uniform(20, 80), shape)
        elif index % 4 == 1:
            noise = draws.uniform(0, 255, shape)
        elif index % 4 == 2:
            chances = draws.uniform(0.05, 0.5)
            noise = np.full(shape, draws.uniform(0, 255))
            drawn = draws.uniform(size=shape)
            noise[drawn < chances] = 0.0
            noise[drawn > 1.0 - chances] = 255.0
        else:
            noise = _smooth(shape, draws)
        picture = noise.clip(0, 255).astype(np.uint8)
        yield _as_input(picture[..., 0] if n_channels == 1 else picture, spec)


def _smooth(shape: tuple[int, int, int], draws: np.random.Generator) -> NDArray[np.float64]:
    """Give clouds: noise on a coarse grid, brought to size."""
    cells = int(draws.integers(3, 25))
    coarse = draws.uniform(0, 255, (cells, cells, shape[2])).astype(np.float32)
    layers = [
        Image.fromarray(coarse[..., channel]).resize(shape[1::-1], Image.Resampling.BICUBIC)
        for channel in range(shape[2])
    ]
    return np.stack([np.asarray(layer, np.float64) for layer in layers], axis=-1)


def _blank(spec: InputSpec, n: int, draws: np.random.Generator) -> Iterator[Pixels]:
    """Give pictures of one grey, of one colour, and of a slope from one to another in turn."""
    slope = np.linspace(0.0, 1.0, spec.width)[None, :, None]
    for index in range(n):
        first, last = draws.uniform(0, 255, (2, 3))
        if index % 3 == 0:
            first = np.full(3, 255.0 * index / n)
        last = last if index % 3 == 2 else first
        picture = np.broadcast_to(first + (last - first) * slope, (spec.height, spec.width, 3))
        turned = picture if index % 2 else picture.transpose(1, 0, 2)
        yield _as_input(np.ascontiguousarray(turned.astype(np.uint8)), spec)


def _blurred(own: Pixels) -> Iterator[Pixels]:
    for index, picture in enumerate(own):
        blur = ImageFilter.GaussianBlur(HEAVY_BLURS[index % len(HEAVY_BLURS)] * picture.shape[0])
        yield np.asarray(Image.fromarray(picture).filter(blur))


def _crops(picture: Pixels, draws: np.random.Generator) -> Iterator[Pixels]:
    rows, columns = picture.shape[:2]
    for _ in range(_CROPS_PER_PICTURE):
        side = round(draws.uniform(_SMALLEST_CROP, 1.0) * min(rows, columns))
        top, left = draws.integers(0, rows - side + 1), draws.integers(0, columns - side + 1)
        yield picture[top : top + side, left : left + side]


def _as_bytes(picture: NDArray[np.generic]) -> Pixels:
    """Give a sample picture as grey or sRGB: some are true or false, some in 0 to 1, one has transparency."""
    values = np.asarray(picture)
    if values.dtype != np.uint8:
        values = (np.asarray(values, np.float64) * 255.0).round().astype(np.uint8)
    return np.ascontiguousarray(values[..., :3] if values.ndim == 3 else values)


def _as_input(picture: Pixels, spec: InputSpec) -> Pixels:
    """Give a picture as serving gives a photograph: grey, where channels are no colours."""
    if spec.colour is not Colour.RGB and picture.ndim == 3:
        picture = np.asarray(Image.fromarray(picture).convert("L"))
    return to_input(picture, spec)
