"""The kinds of source that a recipe may name, and how one of their images becomes the network's input.

An image goes the way it goes in service: read as a study's frame, then through :mod:`models.preprocess`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from inspect import Parameter, signature
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from data.dicom.grouping import read_studies
from data.photo import is_photo, read_photo
from data.sources import (
    ct_ich,
    ddi,
    dicom_folder,
    fitzpatrick17k,
    ham10000,
    isic,
    kermany,
    lidc,
    manifest,
    nih_cxr14,
    pad_ufes_20,
    rsna_ich,
)
from data.study import Frame, LabelledImage
from models.card import Colour, InputSpec
from models.preprocess import SeriesInputs, frame_input
from training.errors import DatasetError
from training.recipe import SourceSpec

KINDS: Mapping[str, Callable[..., Iterator[LabelledImage]]] = MappingProxyType(
    {
        "ct_ich": ct_ich.read_images,
        "ddi": ddi.read_images,
        "dicom_folder": dicom_folder.read_images,
        "fitzpatrick17k": fitzpatrick17k.read_images,
        "ham10000": ham10000.read_images,
        "isic": isic.read_images,
        "kermany": kermany.read_images,
        "lidc": lidc.read_images,
        "manifest": manifest.read_images,
        "nih_cxr14": nih_cxr14.read_images,
        "pad_ufes_20": pad_ufes_20.read_images,
        "rsna_ich": rsna_ich.read_images,
    }
)


def read_source(spec: SourceSpec, root: Path) -> Iterator[LabelledImage]:
    """Yield the labelled images of a recipe's source.

    Raises
    ------
    DatasetError
        If there is no such kind of source, or it has no such option.
    data.errors.ManifestError
        If the source's table and files disagree.
    """
    if spec.kind not in KINDS:
        raise DatasetError(f"there is no kind of source {spec.kind!r}; expected one of {', '.join(KINDS)}")
    read_images = KINDS[spec.kind]
    known = [
        name
        for name, option in signature(read_images).parameters.items()
        if option.kind is Parameter.KEYWORD_ONLY
    ]
    if unknown := sorted(spec.options.keys() - set(known)):
        raise DatasetError(
            f"source {spec.kind!r} has no option {', '.join(unknown)}; it has {', '.join(known) or 'none'}"
        )
    return read_images(root if spec.table is None else root / spec.table, **spec.options)


def surroundings(images: Sequence[LabelledImage], colour: Colour) -> list[tuple[tuple[int, ...], int]]:
    """Give the rows that each row's input may be made of, in reading order, and its own place among them.

    That is the row alone, but where the network's channels are neighbouring slices, all of its study: which
    of them are neighbours, their places in the patient say (:mod:`models.neighbours`).

    Examples
    --------
    >>> slices = [LabelledImage(Path(n), "none", "p", study="s", position=p) for n, p in (("b", 2), ("a", 1))]
    >>> surroundings(slices, Colour.NEIGHBOURS)
    [((1, 0), 1), ((1, 0), 0)]
    """
    alone: list[tuple[tuple[int, ...], int]] = [((row,), 0) for row in range(len(images))]
    if colour is not Colour.NEIGHBOURS:
        return alone
    rows_of_study: dict[str, list[int]] = defaultdict(list)
    for row, image in enumerate(images):
        rows_of_study[image.study or f"row {row}"].append(row)
    result = dict(enumerate(alone))
    for rows in rows_of_study.values():
        rows.sort(key=lambda row: images[row].position)
        in_order = tuple(rows)
        for place, row in enumerate(rows):
            result[row] = (in_order, place)
    return [result[row] for row in range(len(images))]


def read_input(paths: Sequence[Path], place: int, spec: InputSpec) -> NDArray[np.uint8]:
    """Read the file at `place`, with its neighbours among the others, as the network's input.

    Of several files what was read is kept for the next call, so that a study's slices, asked for one after
    the other, are each decoded once.

    Returns
    -------
    (spec.height, spec.width, 3) uint8

    Raises
    ------
    data.errors.ImageError
        If a file cannot be read.
    """
    if len(paths) == 1:
        return frame_input([_frame(paths[0])], place, spec)
    return _series_inputs(tuple(paths), spec)[place]


@lru_cache(maxsize=1)
def _series_inputs(paths: tuple[Path, ...], spec: InputSpec) -> SeriesInputs:
    return SeriesInputs([_frame(path) for path in paths], spec)


def _frame(path: Path) -> Frame:
    """Give a file's first frame."""
    if is_photo(path):
        return next(read_photo(path).frames)
    studies, rejected = read_studies([path])
    if rejected:
        raise rejected[0]
    return next(studies[0].frames)
