"""Decodes one encapsulated frame to stored values.

imagecodecs decodes what it decodes fastest: the JPEG family by libjpeg-turbo (8 and 12 bit, progressive
too) with a fall-back for lossless streams that it refuses, HTJ2K by OpenJPH; openjpeg reads JPEG 2000,
CharLS JPEG-LS. Which codec a frame needs is read from the stream itself: transfer syntaxes are sometimes
wrong or missing, a stream's first bytes are not.

Every stream states its own size. It is compared with the header's before anything is decoded, so that a
small stream cannot ask for a large picture. And every stream is followed to its end: decoders fill what is
missing of a cut JPEG or HTJ2K with grey and say nothing.
"""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import imagecodecs
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from data import jpeg
from data.errors import ImageError, Reason

_JPEG_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
_JPEG_LS = 0xF7
_STANDALONE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})

RLE_LOSSLESS = "1.2.840.10008.1.2.5"
DEFLATED_IMAGE_FRAME = "1.2.840.10008.1.2.8.1"


class CodecError(Exception):
    """A frame's stream that cannot be decoded, and the code of the reason."""

    def __init__(self, problem: str, reason: Reason = Reason.CORRUPT) -> None:
        self.reason = reason
        super().__init__(problem)


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What a stream says of itself.

    `is_ycc` says whether the stream's samples went through its own colour transform: True for YCbCr,
    which the codec undoes, False for none, None where the stream does not say.
    """

    codec: str
    rows: int
    columns: int
    samples: int
    precision: int
    is_signed: bool = False
    is_ycc: bool | None = None


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """Stored values `(rows, columns[, samples])` and whether colours have become RGB on the way."""

    values: NDArray[np.generic]
    is_rgb: bool
    precision: int


def stream_info(data: bytes) -> StreamInfo | None:
    """Read a JPEG, JPEG-LS, JPEG 2000 or JPEG XL stream's own header, None if it is none of them.

    Raises
    ------
    CodecError
        If the stream begins like one of them and its header is broken.
    """
    try:
        if data[:2] == b"\xff\xd8":
            return _jpeg_info(data)
        if data[:4] == b"\xff\x4f\xff\x51":
            return _jpeg2000_info(data)
        if data[4:8] == b"jP  ":
            start = data.find(b"\xff\x4f\xff\x51", 0, 1 << 16)
            if start >= 0:
                return _jpeg2000_info(data[start:])
    except (struct.error, IndexError) as error:
        raise CodecError("ends within its header") from error
    if data[:2] == b"\xff\x0a" or data[4:8] == b"JXL ":
        return StreamInfo("jpegxl", 0, 0, 0, 0)
    return None


def decode_stream(
    data: bytes,
    *,
    rows: int,
    columns: int,
    samples: int,
    assume_ycc: bool,
    at_least_px: int | None = None,
) -> DecodedFrame | None:
    """Decode a frame whose stream states what it is, None if it states nothing (RLE, deflate).

    Parameters
    ----------
    data : bytes
        The frame's fragments, joined.
    rows, columns, samples : int
        The picture that the header promises, in pixels and channels.
    assume_ycc : bool
        What a JPEG that states no colour transform is taken for.
    at_least_px : int or None, px
        A JPEG of 8 bits may be decoded at a reduced scale as long as its shorter side keeps this.

    Raises
    ------
    CodecError
        If the stream is broken or not the picture that the header promises.
    """
    info = stream_info(data)
    if info is None:
        return None
    if info.codec != "jpegxl" and (info.rows, info.columns, info.samples) != (rows, columns, samples):
        raise CodecError(
            f"holds {info.rows}x{info.columns} pixels of {info.samples} samples, "
            f"the header says {rows}x{columns} of {samples}"
        )
    _check_end(data, info)
    try:
        if at_least_px is not None and _can_be_scaled(info, assume_ycc=assume_ycc):
            return DecodedFrame(_decode_scaled(data, info, at_least_px), samples == 3, info.precision)
        values, is_rgb = _DECODERS[info.codec](data, info, assume_ycc)
    except (RuntimeError, ValueError, MemoryError) as error:  # imagecodecs' errors are RuntimeErrors
        raise CodecError(f"{info.codec} stream cannot be decoded ({error})") from error
    expected = (rows, columns) if samples == 1 else (rows, columns, samples)
    if values.shape != expected:
        raise CodecError(f"{info.codec} stream gives an array {values.shape}, the header says {expected}")
    return DecodedFrame(values, is_rgb, info.precision)


def _check_end(data: bytes, info: StreamInfo) -> None:
    if info.codec in {"jpeg", "lossless"}:
        try:
            # It also counts the passes of a progressive stream, a thousand of which would take minutes.
            jpeg.read_header(data, "stream")
        except ImageError as error:
            raise CodecError(error.problem, error.reason) from error
    # A byte of padding may follow.
    if info.codec == "htj2k" and b"\xff\xd9" not in data[-4:]:
        raise CodecError("ends before its code stream does", Reason.TRUNCATED)


def _can_be_scaled(info: StreamInfo, *, assume_ycc: bool) -> bool:
    is_ycc = assume_ycc if info.is_ycc is None else info.is_ycc
    return (
        info.codec == "jpeg" and info.precision == 8 and (info.samples == 1 or (info.samples == 3 and is_ycc))
    )


def _decode_scaled(data: bytes, info: StreamInfo, at_least_px: int) -> NDArray[np.uint8]:
    least = min(at_least_px, info.rows, info.columns)
    space = "RGB" if info.samples == 3 else "GRAY"
    picture: NDArray[np.uint8] = simplejpeg.decode_jpeg(
        data, colorspace=space, min_height=least, min_width=least
    )
    return picture if info.samples == 3 else picture[..., 0]


def decode_rle(data: bytes, *, n_pixels: int, samples: int, bytes_per_sample: int) -> bytes:
    """Unpack an RLE frame (PS3.5 G) to little-endian planes, one sample's plane after the other.

    Raises
    ------
    CodecError
        If a segment is missing, ends early or holds another number of bytes.
    """
    if len(data) < 64:
        raise CodecError("ends within its RLE header")
    n_segments, *offsets = struct.unpack("<16I", data[:64])
    if n_segments != samples * bytes_per_sample:
        raise CodecError(f"has {n_segments} RLE segments, expected {samples * bytes_per_sample}")
    borders = [*offsets[:n_segments], len(data)]
    planes = np.empty((samples, n_pixels, bytes_per_sample), np.uint8)
    for segment in range(n_segments):
        begin, end = borders[segment], borders[segment + 1]
        if not 64 <= begin <= end <= len(data):
            raise CodecError("has an RLE segment outside the frame")
        sample, byte = divmod(segment, bytes_per_sample)
        # Segments run from the most significant byte to the least.
        planes[sample, :, bytes_per_sample - 1 - byte] = _unpack_bits(data[begin:end], n_pixels)
    return planes.tobytes()


def inflate_frame(data: bytes, n_expected: int) -> bytes:
    """Unpack a frame of the Deflated Image Frame syntax (PS3.5 A.4.12), at most `n_expected` bytes."""
    for window_bits in (-zlib.MAX_WBITS, zlib.MAX_WBITS):
        try:
            return zlib.decompressobj(window_bits).decompress(data, n_expected + 1)
        except zlib.error:
            continue
    raise CodecError("deflated frame cannot be unpacked")


def _unpack_bits(packed: bytes, n_expected: int) -> NDArray[np.uint8]:
    # Segments are padded to even length, with a zero as the standard has it or with anything; what the
    # padding unpacks to is at most one run of 128.
    for piece in (packed, packed[:-1]):
        try:
            unpacked = imagecodecs.packbits_decode(piece, out=n_expected + 128)
        except (RuntimeError, ValueError):
            continue
        if len(unpacked) >= n_expected:
            return np.frombuffer(unpacked, np.uint8, n_expected)
    raise CodecError(f"has an RLE segment that does not unpack to {n_expected:,} bytes")


def _jpeg_info(data: bytes) -> StreamInfo:
    adobe: int | None = None
    has_jfif = False
    position = 2
    while True:
        while data[position : position + 1] == b"\xff" and data[position + 1 : position + 2] == b"\xff":
            position += 1
        lead, marker = struct.unpack_from(">BB", data, position)
        if lead != 0xFF:
            raise CodecError("has a JPEG stream without a frame header")
        if marker in _STANDALONE_MARKERS:
            position += 2
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        if marker == 0xE0 and data[position + 4 : position + 8] == b"JFIF":
            has_jfif = True
        elif marker == 0xEE and data[position + 4 : position + 9] == b"Adobe":
            adobe = data[position + 15] if len(data) > position + 15 else None
        elif marker in _JPEG_FRAME_MARKERS or marker == _JPEG_LS:
            precision, rows, columns, samples = struct.unpack_from(">BHHB", data, position + 4)
            identifiers = data[position + 10 : position + 10 + 3 * samples : 3]
            codec = "jpegls" if marker == _JPEG_LS else "lossless" if marker in _JPEG_LOSSLESS else "jpeg"
            is_ycc: bool | None = None
            if adobe is not None:
                is_ycc = adobe == 1
            elif identifiers == b"RGB":
                is_ycc = False
            elif has_jfif:
                is_ycc = True
            return StreamInfo(codec, rows, columns, samples, precision, is_ycc=is_ycc)
        position += 2 + length


def _jpeg2000_info(data: bytes) -> StreamInfo:
    (capabilities, right, bottom, left, top) = struct.unpack_from(">HIIII", data, 6)
    samples, depth = struct.unpack_from(">HB", data, 40)
    transforms_colour, is_reversible = _jpeg2000_coding(data)
    # Bit 14 of Rsiz marks HTJ2K (ISO/IEC 15444-15). Of lossy streams OpenJPH's values run over at white
    # and black (up to 255 grey levels wrong in 1 of 1,400 pixels of the corpus), so OpenJPEG takes them.
    codec = "htj2k" if capabilities & 0x4000 and is_reversible else "jpeg2000"
    return StreamInfo(
        codec,
        bottom - top,
        right - left,
        samples,
        (depth & 0x7F) + 1,
        bool(depth & 0x80),
        is_ycc=transforms_colour,
    )


def _jpeg2000_coding(data: bytes) -> tuple[bool, bool]:
    """Read (component transform, reversible wavelet) of the COD segment (ISO/IEC 15444-1 A.6.1)."""
    position = 2
    while True:
        marker, length = struct.unpack_from(">HH", data, position)
        if marker == 0xFF52:
            return data[position + 8] == 1, data[position + 13] == 1
        if marker == 0xFF90:
            raise CodecError("has no coding style in its main header")
        position += 2 + length


def _decode_jpeg(data: bytes, info: StreamInfo, assume_ycc: bool) -> tuple[NDArray[np.generic], bool]:
    if info.samples != 3:
        return imagecodecs.jpeg8_decode(data), False
    is_ycc = assume_ycc if info.is_ycc is None else info.is_ycc
    space = "YCBCR" if is_ycc else "RGB"
    return imagecodecs.jpeg8_decode(data, colorspace=space, outcolorspace="RGB"), True


def _decode_lossless(data: bytes, info: StreamInfo, _assume_ycc: bool) -> tuple[NDArray[np.generic], bool]:
    try:
        if info.samples == 3:
            return imagecodecs.jpeg8_decode(data, colorspace="RGB", outcolorspace="RGB"), False
        return imagecodecs.jpeg8_decode(data), False
    except imagecodecs.Jpeg8Error:
        return np.ascontiguousarray(imagecodecs.jpegsof3_decode(data)), False


def _decode_jpegls(data: bytes, _info: StreamInfo, _assume_ycc: bool) -> tuple[NDArray[np.generic], bool]:
    return imagecodecs.jpegls_decode(data), False


def _decode_jpeg2000(data: bytes, info: StreamInfo, _assume_ycc: bool) -> tuple[NDArray[np.generic], bool]:
    return imagecodecs.jpeg2k_decode(data), info.is_ycc is True


def _decode_htj2k(data: bytes, info: StreamInfo, _assume_ycc: bool) -> tuple[NDArray[np.generic], bool]:
    return imagecodecs.htj2k_decode(data), info.is_ycc is True


def _decode_jpegxl(data: bytes, info: StreamInfo, _assume_ycc: bool) -> tuple[NDArray[np.generic], bool]:
    return imagecodecs.jpegxl_decode(data), info.samples == 3


_DECODERS: dict[str, Callable[[bytes, StreamInfo, bool], tuple[NDArray[np.generic], bool]]] = {
    "jpeg": _decode_jpeg,
    "lossless": _decode_lossless,
    "jpegls": _decode_jpegls,
    "jpeg2000": _decode_jpeg2000,
    "htj2k": _decode_htj2k,
    "jpegxl": _decode_jpegxl,
}
