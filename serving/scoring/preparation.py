"""Prepares the frames of a study for the network, a batch at a time, and says where each lies.

While the network runs one batch the next is read in a thread: decoding and the network both work outside of
Python's lock, so that on two cores a CT takes the time of the slower of the two, not of both.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from data.errors import ImageError
from data.study import Frame, Modality, Series
from models.card import InputSpec
from models.preprocess import SeriesInputs
from serving.scoring.quality import MEASURED_MODALITIES, picture_quality

# On a CPU a batch gains nothing above 64 px; on a GPU eight keep it busy. It bounds the memory.
BATCH_FRAMES = 8

# Frames of these modalities are views of their own; of all others, neighbours show much the same.
SINGLE_VIEWS = frozenset(
    {
        Modality.PHOTOGRAPH,
        Modality.DERMOSCOPY,
        Modality.COMPUTED_RADIOGRAPHY,
        Modality.DIGITAL_RADIOGRAPHY,
        Modality.MAMMOGRAPHY,
    }
)

# Places that must never count as neighbours are put this far apart.
FAR_MM = 1e6

# A stack without geometry is taken to be a head's length, but its frames to be no further apart than this:
# three frames of a short one, sixteen of one of 240 slices are then 10 mm.
ASSUMED_LENGTH_MM = 150.0
ASSUMED_SPACING_MM = 10.0 / 3.0

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A frame and what the network needs of it, or why it cannot be read.

    Attributes
    ----------
    frame : Frame
    place_mm : float, mm
        On one line on which only neighbours are near each other.
    content : (height, width, 3) uint8, or ImageError
    quality : float or None
        In 0 to 1, None where it is not measured.
    """

    frame: Frame
    place_mm: float
    content: NDArray[np.uint8] | ImageError
    quality: float | None


def prepared_batches(taken: Sequence[Series], spec: InputSpec) -> Iterator[list[Prepared]]:
    """Yield the frames in order, a batch at a time, the next one read meanwhile where there are several."""
    batches = _batches(taken, spec)
    if sum(len(series.frames) for series in taken) <= BATCH_FRAMES:
        return batches
    return _one_ahead(batches)


def placed_frames(taken: Sequence[Series]) -> Iterator[tuple[Series, int, float]]:
    """Give every frame and its place, in mm, on one line on which only neighbours are near each other."""
    start_mm = 0.0
    for series in taken:
        spacing_mm = min(ASSUMED_SPACING_MM, ASSUMED_LENGTH_MM / max(1, len(series.frames)))
        if series.modality in SINGLE_VIEWS:
            spacing_mm = FAR_MM
        for index, frame in enumerate(series.frames):
            if index and frame.normal != series.frames[index - 1].normal:
                start_mm += 2 * FAR_MM
            along_mm = index * spacing_mm if frame.position_mm is None else frame.position_mm
            yield series, index, start_mm + along_mm
        start_mm += FAR_MM * (len(series.frames) + 1)


def _batches(taken: Sequence[Series], spec: InputSpec) -> Iterator[list[Prepared]]:
    batch: list[Prepared] = []
    inputs = SeriesInputs((), spec)
    for series, index, place_mm in placed_frames(taken):
        if index == 0:
            inputs = SeriesInputs(series.frames, spec)
        quality = None
        content: NDArray[np.uint8] | ImageError
        try:
            content = inputs[index]
            quality = picture_quality(content) if series.modality in MEASURED_MODALITIES else None
        except ImageError as error:
            content = error
        batch.append(Prepared(series.frames[index], place_mm, content, quality))
        if len(batch) == BATCH_FRAMES:
            yield batch
            batch = []
    if batch:
        yield batch


def _one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield the items, each made in a thread while the one before is used."""
    with ThreadPoolExecutor(1, thread_name_prefix="preparing") as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item
