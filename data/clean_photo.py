"""Writes a photograph without what its file tells beside the picture: EXIF, place, owner, comments, its name.

A JPEG is not compressed again: its segments are copied but for those that hold text (APP1 and above without
the colour profile, comments), so every pixel stays. What tells which way up it was taken is put back alone.
Of any other format the pixels are decoded and written as PNG.

Whether the picture shows a face, a tattoo or a label is not looked at.
"""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from data.errors import ImageError, Reason
from data.exif import read_orientation
from data.jpeg import read_header
from data.photo import MAX_BYTES, decode_photo

_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_COMMENT = 0xFE
_APPLICATION = range(0xE0, 0xF0)
# What a decoder needs: the colour profile, and which colour transform Adobe's programs used.
_KEPT_APPLICATION = {0xE0: b"JFIF\x00", 0xE2: b"ICC_PROFILE\x00", 0xEE: b"Adobe"}
_JFIF_BYTES = 14


@dataclass(frozen=True, slots=True)
class CleanPhoto:
    """A photograph's bytes without its metadata, the SHA-256 of what it was, and its suffix."""

    content: bytes
    source_sha256: bytes
    suffix: str


def clean_photo(path: Path) -> CleanPhoto:
    """Read a photograph and leave out all but the picture.

    Raises
    ------
    ImageError
        If the file is missing, no photograph, too large, damaged, or of several pages.
    """
    try:
        n_bytes = path.stat().st_size
        data = path.read_bytes() if n_bytes <= MAX_BYTES else b""
    except OSError as error:
        raise ImageError(
            path, Reason.NOT_FOUND, f"cannot be opened ({error.strerror})", "check the path"
        ) from error
    if n_bytes > MAX_BYTES:
        raise ImageError(path, Reason.TOO_MANY_BYTES, f"has {n_bytes:,} bytes", "send a smaller file")
    source = hashlib.sha256(data).digest()
    if data.startswith(b"\xff\xd8\xff"):
        return CleanPhoto(strip_jpeg(data, str(path)), source, ".jpg")
    picture = decode_photo(data, name=str(path))
    try:
        decode_photo(data, page=1, name=str(path))
    except IndexError:
        pass
    else:
        raise ImageError(path, Reason.TOO_MANY_FRAMES, "has several pages", "save each page by itself")
    written = BytesIO()
    Image.fromarray(picture).save(written, "PNG")
    return CleanPhoto(written.getvalue(), source, ".png")


def strip_jpeg(data: bytes, name: str) -> bytes:
    """Copy a JPEG without its metadata and without what follows its image.

    Raises
    ------
    ImageError
        If the file ends before its image does, or has no picture.
    """
    orientation = read_orientation(read_header(data, name).exif)
    pieces = [b"\xff\xd8"]
    if orientation != 1:
        pieces.append(_segment(0xE1, _orientation_alone(orientation)))
    pieces.extend(_needed(data, name))
    return b"".join(pieces)


def _needed(data: bytes, name: str) -> Iterator[bytes]:
    position = 2
    while True:
        position = data.find(b"\xff", position)
        if position < 0 or position + 1 >= len(data):
            raise ImageError(name, Reason.TRUNCATED, "ends before its image does", "send the file again")
        marker = data[position + 1]
        if marker in {0x00, 0xFF} or marker == 0x01 or 0xD0 <= marker <= 0xD8:
            position += 1
            continue
        if marker == _END_OF_IMAGE:
            yield b"\xff\xd9"
            return
        if position + 4 > len(data):
            raise ImageError(name, Reason.TRUNCATED, "ends before its image does", "send the file again")
        (length,) = struct.unpack_from(">H", data, position + 2)
        content = data[position + 4 : position + 2 + length]
        position += 2 + length
        if marker == 0xE0 and content.startswith(b"JFIF\x00"):
            # Without its thumbnail, which may show what the picture no longer does.
            yield _segment(marker, content[: _JFIF_BYTES - 2] + b"\x00\x00")
        elif marker == _COMMENT or (
            marker in _APPLICATION and not content.startswith(_KEPT_APPLICATION.get(marker, b"\xff never"))
        ):
            continue
        else:
            yield _segment(marker, content)
        if marker == _START_OF_SCAN:
            end = _scan_end(data, position)
            yield data[position:end]
            position = end


def _scan_end(data: bytes, start: int) -> int:
    """Give the place of the marker that ends a scan's data: neither a stuffed byte nor a restart."""
    position = start
    while (position := data.find(b"\xff", position)) >= 0 and position + 1 < len(data):
        following = data[position + 1]
        if following not in {0x00, 0xFF} and not 0xD0 <= following <= 0xD7:
            return position
        position += 1 if following == 0xFF else 2
    return len(data)


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _orientation_alone(orientation: int) -> bytes:
    """Make an EXIF block of one entry (EXIF 2.32, 4.6.4 A)."""
    return b"Exif\x00\x00MM\x00*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
