"""Frames as a browser shows them: JPEG or PNG, at the width that was asked for."""

import io
import threading
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.dicom.files import is_dicom
from data.dicom.reading import DicomReader
from data.dicom.windows import VoiWindow
from data.errors import ImageError
from data.photo import PhotoReader, read_photo
from serving.errors import Problem, ServiceError
from serving.store.objects import ObjectStore
from serving.store.studies import StoredInstance
from serving.studies.assembly import assemble_instance

THUMBNAIL_PX = 96

# Two frames of 100 megapixels at a time are 600 MB at the worst; more clients wait for their turn.
_AT_ONCE = 2

# 1,024 px at this quality are 34 to 39 KB for a radiograph.
_JPEG_QUALITY = 80


class Format(StrEnum):
    """How a rendered frame is coded."""

    JPEG = "image/jpeg"
    PNG = "image/png"


@dataclass(frozen=True, slots=True)
class Picture:
    """A rendered frame."""

    content: bytes
    format: Format


class Renderer:
    """Renders frames of stored files, a few at a time."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._turns = threading.BoundedSemaphore(_AT_ONCE)

    def pixels(
        self,
        instance: StoredInstance,
        frame_number: int,
        *,
        at_least_px: int | None = None,
        window: VoiWindow | None = None,
    ) -> NDArray[np.uint8]:
        """Give a frame as a person sees it, through a window of one's own where grey is shown by one.

        Raises
        ------
        ImageError
            If it cannot be decoded.
        """
        with self._turns:
            path = self._objects.checked(instance.sha256)
            if not is_dicom(path):
                return PhotoReader(path).displayed(frame_number - 1, at_least_px=at_least_px)
            return DicomReader(path, window=window).displayed(frame_number - 1, at_least_px=at_least_px)

    def preview(self, sha256: str, *, width_px: int) -> Picture:
        """Render the first frame of a stored file that is no image of a study.

        Raises
        ------
        ServiceError
            `FRAME_UNREADABLE` if there is none that can be decoded.
        """
        with self._turns:
            path = self._objects.checked(sha256)
            try:
                pixels = _reader_of(path).displayed(0, at_least_px=width_px)
            except ImageError as error:
                raise ServiceError(
                    Problem.FRAME_UNREADABLE, f"It cannot be shown: it {error.problem} ({error.reason})."
                ) from error
            return Picture(_encode(_narrowed(pixels, width_px), Format.JPEG), Format.JPEG)

    def render(
        self,
        instance: StoredInstance,
        frame_number: int,
        *,
        width_px: int | None,
        format: Format,  # noqa: A002 - what the standard calls it
    ) -> Picture:
        """Render a frame as a person sees it, never larger than it is.

        Parameters
        ----------
        instance : StoredInstance
            Its stored file is checked against its hash.
        frame_number : int
            Counted from 1.
        width_px : int or None, px
            The width asked for; None gives the frame's own.
        format : Format
            JPEG loses, PNG does not.

        Raises
        ------
        ServiceError
            `NOT_FOUND` if there is no such frame, `FRAME_UNREADABLE` if it cannot be decoded.
        """
        if not 1 <= frame_number <= instance.n_frames:
            raise ServiceError(
                Problem.NOT_FOUND,
                f"{instance.file_name} has frames 1 to {instance.n_frames}, not {frame_number}.",
            )
        with self._turns:
            try:
                reader = assemble_instance(instance, self._objects).reader
                pixels = reader.displayed(frame_number - 1, at_least_px=_shorter_side(instance, width_px))
            except ImageError as error:
                raise ServiceError(
                    Problem.FRAME_UNREADABLE,
                    f"Frame {frame_number} of {instance.file_name} cannot be shown: it {error.problem} "
                    f"({error.reason}).",
                ) from error
            return Picture(_encode(_narrowed(pixels, width_px), format), format)


def _reader_of(path: Path) -> DicomReader | PhotoReader:
    """Give the reader of a file of which nothing is known yet."""
    if is_dicom(path):
        return DicomReader(path)
    read_photo(path)  # looks at its size before its pixels are set out in memory
    return PhotoReader(path)


def _shorter_side(instance: StoredInstance, width_px: int | None) -> int | None:
    if width_px is None or width_px >= instance.columns:
        return None
    return max(1, min(width_px, width_px * instance.rows // instance.columns))


def _narrowed(pixels: NDArray[np.uint8], width_px: int | None) -> Image.Image:
    image = Image.fromarray(pixels)
    if width_px is None or image.width <= width_px:
        return image
    height = max(1, round(image.height * width_px / image.width))
    return image.resize((width_px, height), Image.Resampling.BOX, reducing_gap=2.0)


def _encode(image: Image.Image, coding: Format) -> bytes:
    buffer = io.BytesIO()
    if coding is Format.JPEG:
        image.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    else:
        image.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()
