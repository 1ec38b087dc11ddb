"""Tells whether text stands in the pixels themselves, by what the header says and by looking.

Devices write names in corners, along edges and across: small strokes of one brightness on a ground of
another, side by side on a line. That is what is looked for, at some thresholds from bright to dark and
against the brightness around: connected pieces of a letter's size, at least five on a line. A single letter,
as the R of a radiograph, is no text. It is not read, so what it says does not count.

Letters on a lively ground, in handwriting, or thinner than a pixel's contrast are not found; a header that
tells of text therefore counts more than a look that finds none.

How often text is found, and how often it is seen where there is none, stands in ``docs/deidentification.md``.

References
----------
PS3.15 E.3.1 (Clean Pixel Data), PS3.3 C.7.6.1.1 (Burned In Annotation, Recognizable Visual Features).
"""

from collections.abc import Iterator
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from pydicom.dataset import Dataset

from data.dicom.header import text_of
from data.pieces import Box, pieces

# With four, or with letters 30 grey levels from their ground, one picture in fifty seems to hold a text.
MIN_LETTERS = 5
_LEAST_APART = 40.0
_MIN_HEIGHT_PX, _MAX_HEIGHT_PX = 5, 96
_THRESHOLDS = (224, 160, 96)
# Strokes that are so much brighter or darker than the mean of so many pixels around them.
_AROUND_PX, _LEAST_STEP = (6, 20), 30

_ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6."
_ULTRASOUND_MULTIFRAME = "1.2.840.10008.5.1.4.1.1.3."
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


class Doubt(StrEnum):
    """What a header lets one expect of the pixels."""

    NONE = "none"
    LIKELY = "likely"
    DECLARED = "declared"


def doubt_of(dataset: Dataset) -> Doubt:
    """Say what the header tells of text in the pixels.

    Text is declared by Burned In Annotation YES. It is likely in ultrasound and in captures of a screen,
    unless the header says NO.
    """
    declared = text_of(dataset, "BurnedInAnnotation").upper()
    if declared == "YES":
        return Doubt.DECLARED
    sop_class = text_of(dataset, "SOPClassUID")
    is_ultrasound = sop_class.startswith((_ULTRASOUND, _ULTRASOUND_MULTIFRAME)) or (
        text_of(dataset, "Modality").upper() in {"US", "IVUS"}
    )
    # A reformatted CT is SECONDARY too, and its pixels come from no screen: the kind of object must say it.
    is_capture = sop_class.startswith(_SECONDARY_CAPTURE) or bool(text_of(dataset, "ConversionType"))
    return Doubt.LIKELY if (is_ultrasound or is_capture) and declared != "NO" else Doubt.NONE


def shows_face(dataset: Dataset) -> bool:
    """Whether the header says that a person can be recognised (Recognizable Visual Features YES)."""
    return text_of(dataset, "RecognizableVisualFeatures").upper() == "YES"


def find_text(picture: NDArray[np.uint8]) -> tuple[Box, ...]:
    """Find lines of text in a picture.

    Parameters
    ----------
    picture : (rows, columns) or (rows, columns, 3) uint8
        As displayed.

    Returns
    -------
    tuple of Box
        A box around each line, with some room; none if there is no text.
    """
    grey = picture if picture.ndim == 2 else picture.max(axis=2)
    if min(grey.shape) < 4 * _MIN_HEIGHT_PX:
        return ()
    found: list[Box] = []
    for ink in _inks(grey):
        found.extend(_lines(_letters(ink, grey)))
    return _united(found, grey.shape)


def _inks(grey: NDArray[np.uint8]) -> Iterator[NDArray[np.bool_]]:
    """Give what may be strokes: by brightness itself, and by brightness against the ground."""
    for level in _THRESHOLDS:
        yield grey >= level
        yield grey < 255 - level
    image, signed = Image.fromarray(np.ascontiguousarray(grey)), grey.astype(np.int16)
    for radius in _AROUND_PX:
        if radius * 8 <= min(grey.shape):
            apart = signed - np.asarray(image.filter(ImageFilter.BoxBlur(radius)), np.int16)
            yield apart >= _LEAST_STEP
            yield apart <= -_LEAST_STEP


def _letters(ink: NDArray[np.bool_], grey: NDArray[np.uint8]) -> list[Box]:
    """Give the connected pieces of `ink` that may be letters."""
    letters: list[Box] = []
    tallest = min(_MAX_HEIGHT_PX, max(16, ink.shape[0] // 12))
    for box, n_pixels in pieces(ink):
        height, width = box.bottom - box.top, box.right - box.left
        if not _MIN_HEIGHT_PX <= height <= tallest or width > 2 * height or height > 10 * width:
            continue
        if n_pixels < height:
            continue
        # A full stroke (I, 1) fills its box, any other letter does not.
        if width > height // 3 and n_pixels > 0.75 * height * width:
            continue
        if _stands_out(box, ink, grey):
            letters.append(box)
    return letters


def _stands_out(box: Box, ink: NDArray[np.bool_], grey: NDArray[np.uint8]) -> bool:
    """Whether a piece has one brightness and the ground about it another, 40 of 255 apart and each even."""
    rows, columns = grey.shape
    around = np.s_[
        max(0, box.top - 1) : min(rows, box.bottom + 1), max(0, box.left - 1) : min(columns, box.right + 1)
    ]
    values, is_ink = grey[around].astype(np.float32), ink[around]
    if is_ink.all() or not is_ink.any():
        return False
    letter, ground = values[is_ink], values[~is_ink]
    apart = abs(float(np.median(letter)) - float(np.median(ground)))
    return (
        apart >= _LEAST_APART and float(letter.std()) <= 0.35 * apart and float(ground.std()) <= 0.5 * apart
    )


def _lines(letters: list[Box]) -> Iterator[Box]:
    """Join letters that stand side by side, and give the lines that are long enough."""
    waiting = sorted(letters, key=lambda box: (box.left, box.top))
    lines: list[list[Box]] = []
    for letter in waiting:
        for line in reversed(lines):
            if _follows(line[-1], letter):
                line.append(letter)
                break
        else:
            lines.append([letter])
    for line in lines:
        heights = sorted(box.bottom - box.top for box in line)
        # Letters of a line have two heights at most, so half of them are about as tall as the tallest.
        if len(line) >= MIN_LETTERS and heights[len(line) // 2] * 1.6 >= heights[-1]:
            yield _around(line)


def _follows(left: Box, right: Box) -> bool:
    height = max(left.bottom - left.top, right.bottom - right.top)
    smaller = min(left.bottom - left.top, right.bottom - right.top)
    overlap = min(left.bottom, right.bottom) - max(left.top, right.top)
    gap = right.left - left.right
    on_line = min(abs(left.bottom - right.bottom), abs(left.top - right.top)) <= max(1, height // 6)
    return on_line and overlap >= 0.6 * smaller and -1 <= gap <= 1.2 * height and height <= 2 * smaller


def _around(boxes: list[Box]) -> Box:
    return Box(
        min(box.top for box in boxes),
        min(box.left for box in boxes),
        max(box.bottom for box in boxes),
        max(box.right for box in boxes),
    )


def _united(lines: list[Box], shape: tuple[int, ...]) -> tuple[Box, ...]:
    """Widen lines by their height, for letters that were missed at their ends, and join those that touch."""
    united: list[Box] = []
    for line in sorted(lines):
        height = line.bottom - line.top
        box = Box(
            max(0, line.top - height // 2),
            max(0, line.left - 2 * height),
            min(shape[0], line.bottom + height // 2),
            min(shape[1], line.right + 2 * height),
        )
        while touching := next((other for other in united if _touch(other, box)), None):
            united.remove(touching)
            box = _around([touching, box])
        united.append(box)
    return tuple(sorted(united))


def _touch(one: Box, other: Box) -> bool:
    return (
        one.top <= other.bottom
        and other.top <= one.bottom
        and one.left <= other.right
        and other.left <= one.right
    )
