"""Turns a frame into the network's input: the one function that training and serving share.

A picture is cut to the part that counts (:func:`placement` says which), reduced with an antialiasing
filter and spread over three channels. What a channel is stands in the card: sRGB, the displayed grey,
three windows of the quantities, or three neighbouring slices, in one window where they have Hounsfield
units. Normalisation stands in the graph, so the result is uint8 and can be looked at.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.errors import ImageError
from data.study import Frame, QuantityUnit
from models.card import Colour, InputSpec, Resize, Window
from models.neighbours import neighbours

# Raised whenever the same spec and picture give another result; results carry its hash.
PREPROCESSING_VERSION = 1

# The reduced JPEG decode keeps this many times the input's side: the rest is left to our own filter.
DECODE_MARGIN = 2.0


@dataclass(frozen=True, slots=True)
class Placement:
    """Which part of a picture lies where in the network's input.

    Both boxes are (left, top, right, bottom) in pixels, edges counted from the upper left corner:
    `kept` in the picture, `filled` in the input. What the input has around `filled` is black.
    """

    kept: tuple[float, float, float, float]
    filled: tuple[int, int, int, int]

    def to_picture(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Carry points of the input back to the picture.

        Parameters
        ----------
        points : (n, 2) float64, px
            x and y in the input, edges counted from the upper left corner.

        Returns
        -------
        (n, 2) float64, px
            x and y in the picture; points on the black border fall outside of `kept`.
        """
        kept = np.asarray(self.kept, dtype=np.float64)
        filled = np.asarray(self.filled, dtype=np.float64)
        scale = (kept[2:] - kept[:2]) / (filled[2:] - filled[:2])
        return kept[:2] + (points - filled[:2]) * scale


def placement(rows: int, columns: int, spec: InputSpec) -> Placement:
    """Say which part of a picture fills which part of the input.

    Parameters
    ----------
    rows, columns : int, px
        The picture's size.
    spec : InputSpec
        `crop` is the part of each kept side that stays, around the middle, in every way of resizing.

    Examples
    --------
    >>> spec = InputSpec(height=100, width=100, colour=Colour.RGB, resize=Resize.CENTRE_CROP)
    >>> placement(200, 300, spec)
    Placement(kept=(50.0, 0.0, 250.0, 200.0), filled=(0, 0, 100, 100))
    """
    kept_width, kept_height = float(columns), float(rows)
    filled = (0, 0, spec.width, spec.height)
    if spec.resize is Resize.CENTRE_CROP:
        kept_width = min(columns, rows * spec.width / spec.height)
        kept_height = min(rows, columns * spec.height / spec.width)
    elif spec.resize is Resize.PAD:
        scale = min(spec.width / columns, spec.height / rows)
        width = min(spec.width, max(1, round(columns * scale)))
        height = min(spec.height, max(1, round(rows * scale)))
        left, top = (spec.width - width) // 2, (spec.height - height) // 2
        filled = (left, top, left + width, top + height)
    kept_width, kept_height = kept_width * spec.crop, kept_height * spec.crop
    left_px, top_px = (columns - kept_width) / 2, (rows - kept_height) / 2
    return Placement((left_px, top_px, left_px + kept_width, top_px + kept_height), filled)


def to_input(picture: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.uint8]:
    """Give a picture the shape and colour that the network takes.

    Parameters
    ----------
    picture : (rows, columns) or (rows, columns, 3) uint8
        Grey with high values bright, sRGB, or three channels that are already what the spec means by
        windows or neighbours.
    spec : InputSpec
        From the model's card.

    Returns
    -------
    (spec.height, spec.width, 3) uint8
        A new array. Grey stands on all three channels.

    Raises
    ------
    ValueError
        If `picture` is of another shape or type, or empty.

    Notes
    -----
    Reduction is Pillow's bilinear filter, whose support grows with the reduction (antialiased).
    A colour picture becomes grey by Rec. ITU-R BT.601 luma where the spec asks for grey.

    Examples
    --------
    >>> spec = InputSpec(height=16, width=16, colour=Colour.RGB, resize=Resize.SQUASH)
    >>> to_input(np.full((40, 30), 7, np.uint8), spec)[3, 5]
    array([7, 7, 7], dtype=uint8)
    """
    is_grey = picture.ndim == 2
    if picture.dtype != np.uint8 or not (is_grey or (picture.ndim == 3 and picture.shape[2] == 3)):
        raise ValueError(f"picture is {picture.shape} {picture.dtype}, expected (rows, columns[, 3]) uint8")
    if picture.size == 0:
        raise ValueError(f"picture is {picture.shape}: it has no pixels")
    image = Image.fromarray(np.ascontiguousarray(picture))
    if spec.colour is Colour.GREY and not is_grey:
        image = image.convert("L")
    place = placement(picture.shape[0], picture.shape[1], spec)
    left, top, right, bottom = place.filled
    reduced = np.asarray(
        image.resize((right - left, bottom - top), Image.Resampling.BILINEAR, box=place.kept)
    )
    result = np.zeros((spec.height, spec.width, 3), np.uint8)
    result[top:bottom, left:right] = reduced[..., None] if reduced.ndim == 2 else reduced
    return result


class SeriesInputs:
    """The network's input of each frame of a series; neighbours are read once, not three times.

    Parameters
    ----------
    frames : sequence of Frame
        The series in reading order. Which of them are neighbours, :mod:`models.neighbours` says; a frame
        without one is its own, and so is one whose neighbour cannot be read.
    spec : InputSpec
        From the model's card.

    Notes
    -----
    Walking the series keeps no more slices than lie between a frame's two neighbours, each reduced to the
    network's size. Where windows are asked for and the frame has no Hounsfield units, its displayed
    grey is taken as it is. Not safe to share between threads.
    """

    def __init__(self, frames: Sequence[Frame], spec: InputSpec) -> None:
        self._frames = frames
        self._spec = spec
        self._around: tuple[tuple[int, int], ...] = ()
        self._needed: list[tuple[int, int]] = []
        self._kept: dict[int, NDArray[np.uint8] | ImageError] = {}
        if spec.colour is Colour.NEIGHBOURS:
            self._around = neighbours(frames, neighbour_mm=spec.neighbour_mm)
            firsts = accumulate((before for before, _ in reversed(self._around)), min)
            lasts = accumulate((after for _, after in self._around), max)
            self._needed = list(zip(reversed(list(firsts)), lasts, strict=True))

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """Read what the network needs of one frame; see :func:`frame_input`."""
        if not 0 <= index < len(self._frames):
            raise IndexError(f"frame {index} of a series of {len(self._frames)}")
        if self._spec.colour is not Colour.NEIGHBOURS:
            return _input_of(self._frames[index], self._spec)
        here = self._channel(index)
        if isinstance(here, ImageError):
            raise here
        channels = [self._channel(neighbour) for neighbour in self._around[index]]
        self._forget(index)
        before, after = (here if isinstance(one, ImageError) else one for one in channels)
        return np.stack([before, here, after], axis=-1)

    def _channel(self, index: int) -> NDArray[np.uint8] | ImageError:
        """Give a frame as one channel, or why it cannot be read."""
        if index in self._kept:
            return self._kept[index]
        channel: NDArray[np.uint8] | ImageError
        try:
            # a copy: a view would keep the two channels that repeat it
            channel = _input_of(self._frames[index], self._spec)[..., 0].copy()
        except ImageError as error:
            channel = error
        self._kept[index] = channel
        return channel

    def _forget(self, index: int) -> None:
        """Let go of what a walk through the series does not need beyond this frame."""
        first, last = self._needed[index]
        for kept in [kept for kept in self._kept if not first <= kept <= last]:
            del self._kept[kept]


def frame_input(frames: Sequence[Frame], index: int, spec: InputSpec) -> NDArray[np.uint8]:
    """Read what the network needs of one frame, and nothing more.

    Parameters
    ----------
    frames : sequence of Frame
        The series in reading order.
    index : int
        Which of `frames`.
    spec : InputSpec
        From the model's card.

    Returns
    -------
    (spec.height, spec.width, 3) uint8
        What :class:`SeriesInputs` gives, which is the quicker for a whole series.

    Raises
    ------
    data.errors.ImageError
        If the frame cannot be read.
    IndexError
        If there is no such frame.
    """
    return SeriesInputs(frames, spec)[index]


def apply_window(values: NDArray[np.float32], window: Window) -> NDArray[np.uint8]:
    """Show a window of modality values in 256 steps of grey.

    Parameters
    ----------
    values : (...) float32
        Modality values, Hounsfield units for CT. What is not a number becomes black.
    window : Window
        Centre and width in the same unit.

    Returns
    -------
    (...) uint8
        0 at or below ``centre - width / 2``, 255 at or above ``centre + width / 2``.

    Notes
    -----
    This is LINEAR_EXACT of PS3.3 C.11.2.1.3.2, rounded to the nearest step.

    Examples
    --------
    >>> apply_window(np.array([-100.0, 40.0, 200.0], np.float32), Window(centre=40, width=80))
    array([  0, 128, 255], dtype=uint8)
    """
    steps = np.float32(255.0 / window.width)
    low = np.float32(window.centre - window.width / 2.0)
    grey = (np.asarray(values, np.float32) - low) * steps
    # fmax and fmin, unlike clip, take the number where the other is NaN
    np.fmax(grey, np.float32(0.0), out=grey)
    np.fmin(grey, np.float32(255.0), out=grey)
    grey += np.float32(0.5)
    return grey.astype(np.uint8)


def preprocessing_sha256(spec: InputSpec) -> str:
    """Hash everything that decides how a frame becomes the input; every result carries it."""
    content = {"preprocessing": PREPROCESSING_VERSION, "input": spec.model_dump(mode="json")}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _input_of(frame: Frame, spec: InputSpec) -> NDArray[np.uint8]:
    """Read one frame by itself; a single window stands on all three channels."""
    if spec.windows and frame.instance.unit is QuantityUnit.HOUNSFIELD:
        values = frame.quantities()
        shown = [apply_window(values, window) for window in spec.windows]
        return to_input(shown[0] if len(shown) == 1 else np.stack(shown, axis=-1), spec)
    at_least_px = math.ceil(DECODE_MARGIN * max(spec.height, spec.width) / spec.crop)
    picture = frame.displayed(at_least_px=at_least_px)
    if spec.colour is not Colour.RGB and picture.ndim == 3:
        picture = np.asarray(Image.fromarray(np.ascontiguousarray(picture)).convert("L"))
    return to_input(picture, spec)
