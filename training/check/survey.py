"""Reads every image of a set once, in parallel, and notes which cannot be read and what the others show."""

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from data.errors import DataError, ImageError
from data.likeness import N_WORDS, SIDE_PX, Fingerprints, fingerprint
from data.study import LabelledImage
from models.card import InputSpec, Resize
from training.sources import read_input


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An image that cannot be read: its row, the code of :class:`data.errors.Reason`, and the sentence."""

    row: int
    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Survey:
    """What reading every image gave.

    Attributes
    ----------
    prints : (n_rows, 4) uint64
        See :mod:`data.likeness`; zeros where an image cannot be read.
    digests : (n_rows,) bytes
        SHA-256 of each file, empty where it cannot be read.
    unreadable : tuple of Unreadable
        In the order of the rows.
    """

    prints: Fingerprints
    digests: tuple[bytes, ...]
    unreadable: tuple[Unreadable, ...]

    @property
    def readable(self) -> NDArray[np.intp]:
        """The rows of the images that can be read."""
        return np.flatnonzero([bool(digest) for digest in self.digests])


def survey(
    images: Sequence[LabelledImage], spec: InputSpec, *, n_threads: int, console: Console | None = None
) -> Survey:
    """Read every image as training would, but small.

    The decoders give up Python's lock, so threads are enough, and no more images are in memory at a time
    than twice their number.

    Parameters
    ----------
    images : (n_rows,) LabelledImage
    spec : InputSpec
        Which windows and colours are looked at.
    n_threads : int
    console : Console or None
        Where progress is shown.
    """
    small = spec.model_copy(
        update={"height": SIDE_PX, "width": SIDE_PX, "resize": Resize.SQUASH, "crop": 1.0}
    )
    prints = np.zeros((len(images), N_WORDS), np.uint64)
    digests: list[bytes] = []
    unreadable: list[Unreadable] = []
    looks = _in_parallel(images, small, n_threads)
    for row, seen in enumerate(
        track(looks, "reading every image", total=len(images), console=console, transient=True)
    ):
        if isinstance(seen, DataError):
            code = str(seen.reason) if isinstance(seen, ImageError) else "unreadable"
            origin = images[row].origin
            unreadable.append(Unreadable(row, code, f"{origin}: {seen}" if origin else str(seen)))
            digests.append(b"")
        else:
            prints[row], digest = seen
            digests.append(digest)
    return Survey(prints, tuple(digests), tuple(unreadable))


def _in_parallel(
    images: Sequence[LabelledImage], spec: InputSpec, n_threads: int
) -> Iterator[tuple[Fingerprints, bytes] | DataError]:
    """Yield what each image gives, in order, with a bounded number of them under way."""
    under_way: deque[Future[tuple[Fingerprints, bytes] | DataError]] = deque()
    with ThreadPoolExecutor(n_threads) as pool:
        for image in images:
            under_way.append(pool.submit(_look, image, spec))
            if len(under_way) >= 2 * n_threads:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def _look(image: LabelledImage, spec: InputSpec) -> tuple[Fingerprints, bytes] | DataError:
    try:
        print_of = fingerprint(read_input([image.path], 0, spec))
        with image.path.open("rb") as file:
            return print_of, hashlib.file_digest(file, "sha256").digest()
    except DataError as error:
        return error
