"""JPEG files: what their markers say, and their pixels decoded at the scale that is needed.

A JPEG of 12 megapixels that becomes an input of 224 pixels need not be decoded whole: its transform gives
the picture at 1/8, 2/8 ... 8/8 of its size. A decoder fills what is missing of a cut file with grey and says
so in a warning at most; here a cut file is an error, found by walking the markers to the end of the image.
"""

import re
import struct
from dataclasses import dataclass

import imagecodecs
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from data.errors import ImageError, Reason

# A progressive file tells its picture in passes, ten as a rule. Each pass goes over the whole picture, so
# a small file of a thousand passes would keep a decoder busy for minutes.
MAX_SCANS = 100

_MARKER = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
_END_OF_IMAGE, _START_OF_SCAN, _APP1, _APP2, _APP14 = 0xD9, 0xDA, 0xE1, 0xE2, 0xEE
_TEXTS = frozenset({_APP1, 0xEC, 0xED, 0xFE})
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
_BLOCK_BYTES = 1 << 16
_ICC = b"ICC_PROFILE\x00"

_SEND_AGAIN = "send the file again"


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """What the markers of a JPEG file say; `rows` and `columns` are those stored, not yet upright."""

    rows: int
    columns: int
    n_components: int
    bits: int
    is_lossless: bool
    is_adobe: bool
    exif: bytes
    icc_profile: bytes


def read_header(data: bytes, name: str) -> JpegHeader:
    """Walk the markers of a JPEG file from its start to the end of its image.

    What follows the image (a second one, a film) is not looked at.

    Raises
    ------
    ImageError
        If the file ends before its image does, has no picture, or has too many passes.
    """
    frame: tuple[int, int, int, int, int] | None = None
    exif = b""
    is_adobe = False
    profile_parts: dict[int, bytes] = {}
    n_scans = 0
    position = 2
    while found := _MARKER.search(data, position):
        marker, position = found[1][0], found.end()
        if marker == _END_OF_IMAGE:
            break
        if marker in _WITHOUT_LENGTH:
            continue
        if position + 2 > len(data):
            raise _truncated(name, len(data))
        (length,) = struct.unpack_from(">H", data, position)
        segment = data[position + 2 : position + length]
        position += max(length, 2)
        if marker in _START_OF_FRAME and len(segment) >= 6 and frame is None:
            frame = (marker, *struct.unpack_from(">BHHB", segment))
        elif marker == _APP1 and segment.startswith(b"Exif\x00") and not exif:
            exif = segment
        elif marker == _APP2 and segment.startswith(_ICC) and len(segment) > 14:
            profile_parts[segment[12]] = segment[14:]
        elif marker == _APP14 and segment.startswith(b"Adobe"):
            is_adobe = True
        elif marker == _START_OF_SCAN:
            n_scans += 1
            if n_scans > MAX_SCANS:
                problem = f"tells its picture in more than {MAX_SCANS} passes"
                raise ImageError(name, Reason.UNSUPPORTED_ENCODING, problem, "save it as a baseline JPEG")
            position = _end_of_scan(data, position)
    else:
        raise _truncated(name, len(data))
    if frame is None or n_scans == 0 or 0 in frame[2:]:
        raise ImageError(name, Reason.CORRUPT, "is a JPEG without a picture", _SEND_AGAIN)
    marker, bits, rows, columns, n_components = frame
    profile = b"".join(profile_parts[number] for number in sorted(profile_parts))
    return JpegHeader(rows, columns, n_components, bits, marker in _LOSSLESS, is_adobe, exif, profile)


def decode(data: bytes, header: JpegHeader, name: str, *, at_least_px: int | None) -> NDArray[np.uint8]:
    """Decode the pixels, at a reduced scale if that suffices.

    Parameters
    ----------
    data : bytes
        The file.
    header : JpegHeader
        Its header, from :func:`read_header`.
    name : str
        What errors call the file.
    at_least_px : int or None, px
        The shorter side keeps this many pixels if it has them; None decodes at full scale.

    Returns
    -------
    (rows, columns), (rows, columns, 3) or (rows, columns, 4) uint8
        Grey, RGB in the file's own colour space, or CMYK with 0 for no ink.

    Raises
    ------
    ImageError
        If the pixels are damaged, or of a kind that cannot be decoded.

    Notes
    -----
    12 bits a sample and lossless files are decoded whole; their 12 or 16 bits become 8 by rounding.
    """
    if header.bits != 8 or header.is_lossless:
        return _decode_deep(data, header, name)
    colour_spaces = {1: "GRAY", 3: "RGB", 4: "CMYK"}
    if header.n_components not in colour_spaces:
        problem = f"has {header.n_components} colour components, expected 1, 3 or 4"
        raise ImageError(name, Reason.UNSUPPORTED_ENCODING, problem, "save it as an RGB JPEG")
    least = min(at_least_px or 0, header.rows, header.columns)
    # A least width or height of 0 asks for full scale.
    try:
        picture: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            data, colorspace=colour_spaces[header.n_components], min_height=least, min_width=least
        )
    except ValueError as failure:
        raise _damaged(name, failure) from failure
    if header.n_components == 1:
        return picture[..., 0]
    # Adobe's programs store the paper that shows through, everyone else the ink.
    return 255 - picture if header.n_components == 4 and header.is_adobe else picture


def without_texts(data: bytes) -> bytes:
    r"""Overwrite EXIF, XMP, IPTC and comments before a JPEG's first scan with zeros; no length changes.

    What is no JPEG (RLE, JPEG 2000) is given back as it is.

    Examples
    --------
    >>> without_texts(bytes.fromhex("ffd8 fffe 0005 414243 ffda"))
    b'\xff\xd8\xff\xfe\x00\x05\x00\x00\x00\xff\xda'
    """
    if not data.startswith(b"\xff\xd8\xff"):
        return data
    blanked = bytearray(data)
    position = 2
    while found := _MARKER.search(data, position):
        marker, position = found[1][0], found.end()
        if marker in {_START_OF_SCAN, _END_OF_IMAGE} or position + 2 > len(data):
            break
        if marker in _WITHOUT_LENGTH:
            continue
        (length,) = struct.unpack_from(">H", data, position)
        end = min(position + max(length, 2), len(data))
        if marker in _TEXTS:
            blanked[position + 2 : end] = bytes(end - position - 2)
        position = end
    return bytes(blanked)


def _end_of_scan(data: bytes, start: int) -> int:
    """Give the place of the first marker that is not part of a scan's data; the file's end if none is.

    Within a scan a byte 255 is followed by 0, or by a restart marker. Arrays find that ten times as fast as
    a regular expression, which took a third of the time of a reduced decode.
    """
    samples = np.frombuffer(data, np.uint8)
    for block in range(start, len(data) - 1, _BLOCK_BYTES):
        part = samples[block : block + _BLOCK_BYTES + 1]
        marks = np.flatnonzero(part[:-1] == 0xFF)
        following = part[marks + 1]
        ends = marks[(following != 0) & (following != 0xFF) & ((following < 0xD0) | (following > 0xD7))]
        if ends.size:
            return block + int(ends[0])
    return len(data)


def _decode_deep(data: bytes, header: JpegHeader, name: str) -> NDArray[np.uint8]:
    if not 2 <= header.bits <= 16:
        raise ImageError(name, Reason.CORRUPT, f"says that its samples have {header.bits} bits", _SEND_AGAIN)
    try:
        samples = imagecodecs.jpeg_decode(data)
    except (RuntimeError, ValueError) as failure:
        raise _damaged(name, failure) from failure
    if samples.ndim == 3 and samples.shape[2] not in {3, 4}:
        problem = f"has {samples.shape[2]} colour components, expected 1, 3 or 4"
        raise ImageError(name, Reason.UNSUPPORTED_ENCODING, problem, "save it as an RGB JPEG")
    white = (1 << header.bits) - 1
    # A damaged file may hold samples beyond the white that it declares.
    levels = np.minimum(samples.astype(np.uint32), white)
    picture: NDArray[np.uint8] = ((levels * 255 + white // 2) // white).astype(np.uint8)
    return picture


def _truncated(name: str, n_bytes: int) -> ImageError:
    return ImageError(
        name, Reason.TRUNCATED, f"ends after {n_bytes:,} bytes, before its image does", _SEND_AGAIN
    )


def _damaged(name: str, failure: Exception) -> ImageError:
    told = str(failure)
    # The decoder's words for data that stop before the picture is full.
    reason = Reason.TRUNCATED if "remature end" in told else Reason.CORRUPT
    return ImageError(name, reason, f"cannot be decoded ({told.strip().rstrip('.')})", _SEND_AGAIN)
