"""The kinds of source that a recipe may name, and how one of their pictures becomes the network's input."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.sources import ham10000
from data.study import LabelledImage
from models.card import InputSpec
from models.preprocess import to_input
from training.errors import DatasetError
from training.recipe import SourceSpec

KINDS: Mapping[str, Callable[[Path], Iterator[LabelledImage]]] = MappingProxyType(
    {"ham10000": ham10000.read_images}
)


def read_source(spec: SourceSpec, root: Path) -> Iterator[LabelledImage]:
    """Yield the labelled images of a recipe's source.

    Raises
    ------
    DatasetError
        If there is no such kind of source.
    data.errors.ManifestError
        If the source's table and files disagree.
    """
    if spec.kind not in KINDS:
        raise DatasetError(f"there is no kind of source {spec.kind!r}; expected one of {', '.join(KINDS)}")
    return KINDS[spec.kind](root)


def read_picture(path: Path, spec: InputSpec) -> NDArray[np.uint8]:
    """Decode one image and give it the shape of the network's input.

    Returns
    -------
    (spec.height, spec.width, 3) uint8
    """
    with Image.open(path) as image:
        return to_input(np.asarray(image.convert("RGB")), spec)
