"""Photographs: from a file of any common format to upright 8-bit sRGB, or to a study of one picture.

What leaves here are arrays: no EXIF, no place, no time, no name comes along. What cannot be read whole is
an error with a code, never a picture with a grey half.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from data import containers, jpeg
from data.colour import samples_to_srgb, to_srgb
from data.containers import HEAD_BYTES, MAX_PIXELS, READABLE, Format, find_format
from data.errors import ImageError, Reason
from data.exif import read_orientation, swaps_sides, upright
from data.study import Frame, Instance, Modality, PatientContext, Series, Study

__all__ = ["MAX_BYTES", "MAX_PIXELS", "READABLE", "PhotoReader", "decode_photo", "is_photo", "read_photo"]

# `MAX_PIXELS` of uncompressed 8-bit sRGB and some room.
MAX_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PhotoReader:
    """Reads the pixels of a photograph's file; a page is a frame."""

    path: Path

    def displayed(self, index: int, *, at_least_px: int | None = None) -> NDArray[np.uint8]:
        """Give a page as upright sRGB; see :func:`decode_photo`."""
        return decode_photo(self.path, page=index, at_least_px=at_least_px)

    def quantities(self, index: int) -> NDArray[np.float32]:
        """Raise ValueError: there are no quantities behind a photograph."""
        raise ValueError(f"{self.path} page {index} is a photograph: it has no quantities")


def is_photo(path: Path) -> bool:
    """Whether a file's first bytes are those of a photograph's format; its name does not count."""
    try:
        with path.open("rb") as file:
            return find_format(file.read(HEAD_BYTES)) is not None
    except OSError:
        return False


def read_photo(
    path: Path, *, context: PatientContext = PatientContext(), modality: Modality = Modality.PHOTOGRAPH
) -> Study:
    """Make a study of a photograph's file: one series, one instance, a frame for each page.

    Only the header is read. The study's UID is made of the file's bytes, so the same file gives the
    same study.

    Raises
    ------
    ImageError
        If the file is missing, empty, no photograph, cut short, or has too many pixels or pages.
    """
    with _open(path, None) as (file, image_format, name):
        rows, columns, n_frames = _measure(file, image_format, name)
        file.seek(0)
        content = hashlib.sha256()
        while block := file.read(1 << 20):
            content.update(block)
    digest = content.digest()
    reader = PhotoReader(path)
    uid = _uid(digest)
    instance = Instance(
        path=path,
        sop_instance_uid=_uid(hashlib.sha256(digest + b"instance").digest()),
        sop_class_uid=None,
        number=1,
        n_frames=n_frames,
        rows=rows,
        columns=columns,
        is_colour=True,
        unit=None,
        reader=reader,
    )
    series = Series(
        uid=_uid(hashlib.sha256(digest + b"series").digest()),
        modality=modality,
        frames=tuple(Frame(instance, index) for index in range(n_frames)),
        number=1,
    )
    return Study(uid=uid, series=(series,), context=context)


def decode_photo(
    source: Path | bytes, *, page: int = 0, at_least_px: int | None = None, name: str | None = None
) -> NDArray[np.uint8]:
    """Decode a photograph to upright sRGB.

    Parameters
    ----------
    source : Path or bytes
        The file or its content.
    page : int
        Which page of a TIFF, counted from 0; other formats have page 0 only, an animation's first
        picture.
    at_least_px : int or None, px
        A JPEG may be decoded at a reduced scale as long as the shorter side keeps this many pixels;
        None asks for full resolution.
    name : str or None
        What errors call the photograph; by default its path.

    Returns
    -------
    (rows, columns, 3) uint8
        sRGB. The array carries nothing of the file's metadata.

    Raises
    ------
    ImageError
        If the file is missing, empty, no photograph, damaged, cut short, or has too many pixels.
    IndexError
        If there is no such page.

    Notes
    -----
    See :mod:`data.colour` for profiles, transparency and depth.
    """
    with _open(source, name) as (file, image_format, known_as):
        if image_format is Format.JPEG:
            if page != 0:
                raise IndexError(f"page {page} of {known_as}, which has 1")
            return _decode_jpeg(file.read(), at_least_px, known_as)
        return _decode_other(file, image_format, page, known_as)


@contextmanager
def _open(source: Path | bytes, name: str | None) -> Iterator[tuple[BinaryIO, Format, str]]:
    known_as = name or (str(source) if isinstance(source, Path) else "the photograph")
    try:
        with source.open("rb") if isinstance(source, Path) else BytesIO(source) as file:
            n_bytes = file.seek(0, 2)
            if n_bytes > MAX_BYTES:
                problem = f"has {n_bytes:,} bytes, more than {MAX_BYTES:,}"
                raise ImageError(known_as, Reason.TOO_MANY_BYTES, problem, "send a smaller file")
            file.seek(0)
            head = file.read(HEAD_BYTES)
            image_format = find_format(head)
            if image_format is None:
                raise containers.refusal(head, known_as)
            file.seek(0)
            yield file, image_format, known_as
    except FileNotFoundError:
        raise ImageError(known_as, Reason.NOT_FOUND, "does not exist", "check the path") from None
    except OSError as failure:
        problem = f"cannot be opened ({failure.strerror})"
        raise ImageError(
            known_as, Reason.NOT_FOUND, problem, "check the path and its permissions"
        ) from failure


def _measure(file: BinaryIO, image_format: Format, name: str) -> tuple[int, int, int]:
    if image_format is Format.JPEG:
        header = jpeg.read_header(file.read(), name)
        containers.check_size(header.columns, header.rows, name)
        columns, rows, n_pages = header.columns, header.rows, 1
        orientation = read_orientation(header.exif)
    else:
        orientation = read_orientation(containers.read_exif(file, image_format))
        with containers.opened(file, image_format, name) as image:
            n_pages = len(containers.find_pages(image, name))
            columns, rows = image.size
            if image_format is Format.WEBP:
                orientation = read_orientation(image.info.get("exif", b""))
    return (columns, rows, n_pages) if swaps_sides(orientation) else (rows, columns, n_pages)


def _decode_jpeg(data: bytes, at_least_px: int | None, name: str) -> NDArray[np.uint8]:
    header = jpeg.read_header(data, name)
    containers.check_size(header.columns, header.rows, name)
    stored = jpeg.decode(data, header, name, at_least_px=at_least_px)
    return upright(samples_to_srgb(stored, header.icc_profile), read_orientation(header.exif))


def _decode_other(file: BinaryIO, image_format: Format, page: int, name: str) -> NDArray[np.uint8]:
    exif = containers.read_exif(file, image_format)
    picture: NDArray[np.uint8] | None = None
    with containers.opened(file, image_format, name) as image:
        pages = containers.find_pages(image, name)
        if 0 <= page < len(pages):
            image.seek(pages[page])
            containers.check_size(*image.size, name)
            white_is_zero = containers.is_white_zero(image)
            image.load()
            picture = to_srgb(image, image.info.get("icc_profile") or b"", white_is_zero=white_is_zero)
            if image_format is Format.WEBP:
                exif = image.info.get("exif", b"")
    if picture is None:
        raise IndexError(f"page {page} of {name}, which has {len(pages)}")
    # Pillow turns TIFF and libheif turns HEIC by themselves.
    return upright(picture, read_orientation(exif))


def _uid(digest: bytes) -> str:
    # PS3.5 B.2: a UID of 128 bits under the root 2.25.
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"
