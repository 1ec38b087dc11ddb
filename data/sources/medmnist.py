"""MedMNIST: sets of small standardised pictures, each set one file of arrays.

Source: https://medmnist.com (Yang et al., Scientific Data 10, 41, 2023; https://doi.org/10.5281/zenodo.10519652)
Licence: CC BY 4.0 (DermaMNIST: CC BY-NC 4.0)

The pictures are arrays, not files, and know no patient: a set is for comparison with published figures, its
official split is the only one there is, and no grouped folds can be made of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from data.errors import ManifestError

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True, eq=False)
class LabelledArray:
    """One picture of a set.

    `picture` is (rows, columns), (rows, columns, 3) or, of the three-dimensional sets, (slices, rows,
    columns) uint8. `label` holds the class's number, or a 0 or 1 for each finding where a set has
    several. `index` counts from 0 within the split.
    """

    picture: NDArray[np.uint8]
    label: tuple[int, ...]
    split: str
    index: int


def read_arrays(archive: Path) -> Iterator[LabelledArray]:
    """Yield the pictures of an ``.npz`` file, train, val and test in turn, each in its order.

    Raises
    ------
    ManifestError
        If the file is no such archive, or pictures and labels disagree in number or type.
    """
    try:
        with archive.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            for split in SPLITS:
                yield from _read_split(archive, arrays, split)
    except FileNotFoundError:
        raise ManifestError(archive, "does not exist") from None
    except (OSError, ValueError, EOFError, BadZipFile, TypeError) as failure:
        raise ManifestError(archive, f"is not an archive of plain arrays ({failure})") from failure


def _read_split(archive: Path, arrays: np.lib.npyio.NpzFile, split: str) -> Iterator[LabelledArray]:
    names = (f"{split}_images", f"{split}_labels")
    for name in names:
        if name not in arrays.files:
            raise ManifestError(archive, f"lacks the array {name}; found {', '.join(arrays.files) or 'none'}")
    pictures, labels = (arrays[name] for name in names)
    if pictures.dtype != np.uint8 or pictures.ndim not in {3, 4}:
        found = f"{pictures.shape} {pictures.dtype}"
        raise ManifestError(archive, f"{names[0]} is {found}, expected (n, rows, columns[, 3]) uint8")
    if labels.dtype.kind not in "iu" or labels.ndim != 2 or len(labels) != len(pictures):
        found = f"{labels.shape} {labels.dtype}"
        raise ManifestError(archive, f"{names[1]} is {found}, expected ({len(pictures)}, n) integers")
    for index, (picture, label) in enumerate(zip(pictures, labels.tolist(), strict=True)):
        yield LabelledArray(picture, tuple(label), split, index)
