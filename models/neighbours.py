"""Which slices lie before and after a slice: by their places in the patient, not by their numbers.

Slices follow each other in a file's numbering that are no neighbours: after a gap, where a second stack of
another orientation begins, or where one place was scanned several times (phases, a repeated block).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from data.study import Frame

# A gap of this many times the usual distance is no neighbourhood: one slice may be missing, not two.
# Brains scanned finer below than above (5 and 10 mm) stay whole.
LARGEST_GAP = 3.0

# Planes that are closer than this are one place; the thinnest slices of a CT are .5 mm apart.
SAME_PLACE_MM = 0.1


@dataclass(frozen=True, slots=True)
class _Place:
    """One place of a stack: where it is, and the frames that show it in the order in which they are filed."""

    position_mm: float
    frames: tuple[int, ...]


def neighbours(frames: Sequence[Frame], *, neighbour_mm: float | None = None) -> tuple[tuple[int, int], ...]:
    """Give for each frame the indices of the one before and the one after; its own where there is none.

    Parameters
    ----------
    frames : sequence of Frame
        A series in reading order.
    neighbour_mm : float or None, mm
        Of the slices on each side the one whose distance is nearest to this; None takes the next place.

    Notes
    -----
    Frames without a position follow each other as they are filed. A stack ends where the orientation
    changes or the position falls; across a gap of `LARGEST_GAP` times the stack's median distance nothing
    is a neighbour. Of several frames at the neighbouring place the one of the same rank is taken: the
    same phase, where phases were filed one after the other.

    Examples
    --------
    Slices at 0, 5 and 10 mm, and one at 40 mm that stands alone:

    >>> from data.study import Instance
    >>> from pathlib import Path
    >>> one = Instance(Path("ct"), "1", None, 1, 4, 512, 512, False, None, reader=None)
    >>> neighbours([Frame(one, index, place) for index, place in enumerate((0.0, 5.0, 10.0, 40.0))])
    ((0, 1), (0, 2), (1, 2), (3, 3))
    """
    result = [(index, index) for index in range(len(frames))]
    for first, last in _stacks(frames):
        if frames[first].position_mm is None:
            for index in range(first, last):
                result[index] = (max(index - 1, first), min(index + 1, last - 1))
            continue
        for block in _blocks(_places(frames, first, last)):
            positions_mm = np.array([place.position_mm for place in block])
            for here, place in enumerate(block):
                before = block[_nearest(positions_mm, here, -1, neighbour_mm)]
                after = block[_nearest(positions_mm, here, +1, neighbour_mm)]
                for rank, index in enumerate(place.frames):
                    result[index] = (_of_rank(before, place, rank), _of_rank(after, place, rank))
    return tuple(result)


def _stacks(frames: Sequence[Frame]) -> list[tuple[int, int]]:
    """Cut a series into runs (first, one past the last) of one orientation and rising position."""
    starts = [
        index
        for index in range(len(frames))
        if index == 0 or not _continues(frames[index - 1], frames[index])
    ]
    return list(pairwise([*starts, len(frames)]))


def _continues(before: Frame, frame: Frame) -> bool:
    if before.position_mm is None or frame.position_mm is None:
        return before.position_mm is frame.position_mm
    return before.normal == frame.normal and frame.position_mm > before.position_mm - SAME_PLACE_MM


def _places(frames: Sequence[Frame], first: int, last: int) -> list[_Place]:
    places: list[_Place] = []
    for index in range(first, last):
        position_mm = frames[index].position_mm
        assert position_mm is not None
        if places and position_mm - places[-1].position_mm < SAME_PLACE_MM:
            places[-1] = _Place(places[-1].position_mm, (*places[-1].frames, index))
        else:
            places.append(_Place(position_mm, (index,)))
    return places


def _blocks(places: list[_Place]) -> list[list[_Place]]:
    """Cut a stack where it has a gap."""
    gaps_mm = np.diff([place.position_mm for place in places])
    if not gaps_mm.size:
        return [places]
    cuts = [0, *(np.flatnonzero(gaps_mm >= LARGEST_GAP * np.median(gaps_mm)) + 1).tolist(), len(places)]
    return [places[start:end] for start, end in pairwise(cuts)]


def _nearest(positions_mm: NDArray[np.float64], here: int, step: int, neighbour_mm: float | None) -> int:
    """Give the place on one side that lies nearest to the distance asked for; `here` where there is none."""
    there = here + step
    if not 0 <= there < len(positions_mm):
        return here
    if neighbour_mm is None:
        return there
    side = positions_mm[there:] if step > 0 else positions_mm[there::-1]
    off_mm = np.abs(np.abs(side - positions_mm[here]) - neighbour_mm)
    return there + step * int(off_mm.argmin())


def _of_rank(neighbour: _Place, place: _Place, rank: int) -> int:
    if neighbour is place:
        return place.frames[rank]
    return neighbour.frames[min(rank, len(neighbour.frames) - 1)]
