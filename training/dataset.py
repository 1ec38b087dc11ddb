"""The labelled set as the network sees it: every image decoded and resized once, then read from a file.

The rows of a source are put into folds and their pictures, preprocessed exactly as serving does
(:func:`models.preprocess.to_input`), go into one file of uint8 that is mapped into memory. Its name is the
hash of all that decides its content, so that a changed file, source or size makes a new one; a cache that
was cut off while it was made is continued where it stopped. One process makes it; others that want the same
one wait, and map the finished file.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from rich.progress import track

from data.errors import DataError, FoldError
from data.folds import check_groups, make_folds, split_sha256
from data.study import LabelledImage
from models.card import InputSpec
from models.preprocess import preprocessing_sha256
from training.errors import DatasetError
from training.recipe import FoldSpec, Recipe
from training.saving import saving, set_space_aside
from training.sources import read_input, read_source, surroundings

Pixels = NDArray[np.uint8]
# Progress is written down after so many images: at most this many are decoded twice after a kill.
PROGRESS_EVERY = 256
# What a source calls its official test split.
OFFICIAL_TEST = "test"


@dataclass(frozen=True)
class LabelledSet:
    """The rows of a source.

    Parameters
    ----------
    images : (n_rows,) LabelledImage
        In the source's order.
    labels : (n_rows,) int64
        Index of each row's class in the recipe's order.
    folds : (n_rows,) intp
        The fold of each row; those of one group are equal.
    names : (n_rows,) str
        Each image's name, unique within the set.
    """

    images: tuple[LabelledImage, ...]
    labels: NDArray[np.int64]
    folds: NDArray[np.intp]
    names: tuple[str, ...]

    @property
    def groups(self) -> NDArray[np.str_]:
        """The group of each row."""
        return np.array([image.group for image in self.images])

    @property
    def split_sha256(self) -> str:
        """The hash by which a card names this split."""
        return split_sha256(self.names, self.folds)

    def take(self, rows: NDArray[np.intp]) -> "LabelledSet":
        """Give some rows as a set of their own."""
        return LabelledSet(
            tuple(self.images[row] for row in rows),
            self.labels[rows],
            self.folds[rows],
            tuple(self.names[row] for row in rows),
        )

    def rows_in(self, folds: Sequence[int]) -> NDArray[np.intp]:
        """Give the row numbers of some folds, in order."""
        return np.flatnonzero(np.isin(self.folds, folds))


def read_labelled_set(recipe: Recipe, datasets: Path | None) -> LabelledSet:
    """Read the recipe's source and put its rows into folds.

    Raises
    ------
    DatasetError
        If the source is missing or broken, or has a label that the recipe has no class for.
    """
    root = locate(recipe, datasets)
    try:
        images = tuple(read_source(recipe.source, root))
        return _with_folds(images, recipe.class_keys, recipe.folds, root)
    except FoldError as error:
        raise DatasetError(f"{root}: {error}") from error
    except DataError as error:
        raise DatasetError(str(error)) from error


def locate(recipe: Recipe, datasets: Path | None) -> Path:
    """Find the source's folder: as it stands if absolute, else under the folder of data sets."""
    folder = Path(recipe.source.folder)
    if not folder.is_absolute():
        if datasets is None:
            raise DatasetError(
                f"the recipe's source {recipe.source.folder!r} lies under the folder of data sets; "
                "name that with --data or in FIRSTREAD_DATASETS"
            )
        folder = datasets / folder
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder; it should hold {recipe.source.title}")
    return folder


def _with_folds(
    images: tuple[LabelledImage, ...], classes: tuple[str, ...], spec: FoldSpec, root: Path
) -> LabelledSet:
    index = {key: place for place, key in enumerate(classes)}
    for image in images:
        if image.label not in index:
            where = f"{image.origin}: " if image.origin else ""
            raise DatasetError(
                f"{where}{image.path} is labelled {image.label!r}, no class of the recipe; "
                f"it has {', '.join(classes)}"
            )
    if absent := set(classes) - {image.label for image in images}:
        raise DatasetError(
            f"{root} has no image of class {', '.join(sorted(absent))}, which the recipe names"
        )
    names = tuple(_name(image.path, root) for image in images)
    folds = _stated_folds(images, spec)
    if folds is None:
        folds = _drawn_folds(images, spec, root)
    labels = np.array([index[image.label] for image in images], dtype=np.int64)
    return LabelledSet(images, labels, folds, names)


def _drawn_folds(images: Sequence[LabelledImage], spec: FoldSpec, root: Path) -> NDArray[np.intp]:
    """Put the rows into folds by group; those of an official test split get the number after the last."""
    is_drawn = np.array([not (spec.official and image.split == OFFICIAL_TEST) for image in images])
    if spec.official and is_drawn.all():
        raise DatasetError(f"{root} has no official test split; leave folds.official out")
    drawn = [image for image, counts in zip(images, is_drawn, strict=True) if counts]
    groups = [image.group for image in drawn]
    folds = np.full(len(images), spec.n, np.intp)
    folds[is_drawn] = make_folds([image.label for image in drawn], groups, n_folds=spec.n, seed=spec.seed)
    check_groups(folds[is_drawn], groups)
    return folds


def _stated_folds(images: Sequence[LabelledImage], spec: FoldSpec) -> NDArray[np.intp] | None:
    """Give the folds that the source's table states, None where it states none."""
    stated = [image.fold for image in images]
    if all(fold is None for fold in stated):
        return None
    labels_of_fold: dict[int, set[str]] = {fold: set() for fold in range(spec.n)}
    for image in images:
        if image.fold not in labels_of_fold:
            found = "no fold" if image.fold is None else f"fold {image.fold}"
            raise DatasetError(f"{image.origin}: {image.path} has {found}, expected 0 to {spec.n - 1}")
        labels_of_fold[image.fold].add(image.label)
    for fold, labels in labels_of_fold.items():
        if absent := {image.label for image in images} - labels:
            raise DatasetError(
                f"fold {fold} has no image of class {', '.join(sorted(absent))}; each needs one in every fold"
            )
    check_groups(np.array(stated, np.intp), [image.group for image in images])
    return np.array(stated, np.intp)


def _name(path: Path, root: Path) -> str:
    """Name an image by its place in the source's folder; a manifest may list others too."""
    return (path.relative_to(root) if path.is_relative_to(root) else path).with_suffix("").as_posix()


def cached_pixels(labelled: LabelledSet, spec: InputSpec, folder: Path) -> Pixels:
    """Give every row's picture as the network's input, decoding what is not in the cache yet.

    Parameters
    ----------
    labelled : LabelledSet
        The rows.
    spec : InputSpec
        Size, colour and resizing.
    folder : Path
        Where caches lie; made if missing.

    Returns
    -------
    (n_rows, spec.height, spec.width, 3) uint8
        Mapped from the file, read-only.

    Raises
    ------
    DatasetError
        If a picture cannot be decoded.
    SavingError
        If the disk has no room for the cache.
    """
    path = cache_path(labelled, spec, folder)
    if path.exists():
        return _mapped(path)
    with saving(folder):
        folder.mkdir(parents=True, exist_ok=True)
    # Runs of several folds are started together; the lock falls with its process, however that ends.
    lock = FileLock(path.with_suffix(".lock"))
    with saving(path):
        lock.acquire()
    try:
        if not path.exists():
            _decode_into(path, labelled, spec)
    finally:
        lock.release()
    return _mapped(path)


def _decode_into(path: Path, labelled: LabelledSet, spec: InputSpec) -> None:
    """Make the cache, or finish one that was cut off; nobody else may be at it."""
    shape = (len(labelled.images), spec.height, spec.width, 3)
    # The unfinished file has a name of its own; it gets the right one when it is whole.
    partial, progress = path.with_suffix(".partial"), path.with_suffix(".progress")
    n_done = int(progress.read_text()) if progress.exists() and partial.exists() else 0
    around = surroundings(labelled.images, spec.colour)
    with saving(partial):
        pixels = np.lib.format.open_memmap(
            partial, mode="r+" if n_done else "w+", dtype=np.uint8, shape=shape
        )
    if not n_done:
        set_space_aside(partial, partial.stat().st_size)
    for row in track(range(n_done, shape[0]), description=f"decoding at {spec.width} px", transient=True):
        try:
            rows, place = around[row]
            pixels[row] = read_input([labelled.images[one].path for one in rows], place, spec)
        except DataError as error:
            raise DatasetError(_with_origin(labelled.images[row], error)) from error
        if (row + 1) % PROGRESS_EVERY == 0:
            pixels.flush()
            with saving(progress):
                progress.write_text(str(row + 1))
    pixels.flush()
    partial.replace(path)
    progress.unlink(missing_ok=True)


def _with_origin(image: LabelledImage, error: DataError) -> str:
    return f"{image.origin}: {error}" if image.origin else str(error)


def cache_path(labelled: LabelledSet, spec: InputSpec, folder: Path) -> Path:
    """Give the file in which the set's pictures lie at a size, or will lie."""
    return folder / f"{_cache_key(labelled, spec)[:24]}-{spec.width}px.npy"


def _mapped(path: Path) -> Pixels:
    pixels: Pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    return pixels


def _cache_key(labelled: LabelledSet, spec: InputSpec) -> str:
    """Hash what decides the pixels: preprocessing, and each file's name, size and time of change."""
    digest = hashlib.sha256(preprocessing_sha256(spec).encode())
    for name, image in zip(labelled.names, labelled.images, strict=True):
        try:
            facts = image.path.stat()
        except OSError as error:
            raise DatasetError(f"{image.path} cannot be looked at: {error.strerror}") from error
        digest.update(json.dumps([name, facts.st_size, facts.st_mtime_ns]).encode())
    return digest.hexdigest()


def batches(rows: NDArray[np.intp], batch_size: int, *, first: int = 0) -> Iterator[NDArray[np.intp]]:
    """Cut rows into batches, from batch `first` on; what is left over makes a smaller last one.

    Examples
    --------
    >>> [list(map(int, batch)) for batch in batches(np.arange(5), 2, first=1)]
    [[2, 3], [4]]
    """
    for start in range(first * batch_size, len(rows), batch_size):
        yield rows[start : start + batch_size]
