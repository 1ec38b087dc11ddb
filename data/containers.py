"""Photograph formats known by their content: which one a file is, its size, its profile, whether it is whole.

A file's name says nothing here. Only the header is read, with the parser of the one format that the first
bytes name, so that a file of forty thousand pixels a side is refused before memory is set aside for it, and
no parser is reached that photographs do not need.
"""

import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import BinaryIO

from PIL import ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.Image import DecompressionBombError
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile
from pillow_heif import HeifImageFile

from data.errors import ImageError, Reason

# The largest sensor of a phone in common use gives 12,032 x 9,024 pixels (108 megapixels). As sRGB that is
# 311 MiB; decoding it with profile and turn was measured to peak at 0.9 GiB (JPEG), 2.0 GiB (RGBA PNG).
MAX_PIXELS = 110_000_000

# An examination has tens of pictures; more pages than this are a mistake or an attack.
MAX_PAGES = 1_000

HEAD_BYTES = 132


class Format(StrEnum):
    """A photograph's file format."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WebP"
    TIFF = "TIFF"
    BMP = "BMP"
    HEIC = "HEIC"


READABLE = "JPEG, PNG, WebP, TIFF, BMP or HEIC"

_FORMAT_OF_START = {
    b"\xff\xd8\xff": Format.JPEG,
    b"\x89PNG\r\n\x1a\n": Format.PNG,
    b"II*\x00": Format.TIFF,
    b"MM\x00*": Format.TIFF,
    b"II+\x00": Format.TIFF,
    b"MM\x00+": Format.TIFF,
}
_HEIC_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)
_BMP_HEADER_BYTES = frozenset({12, 40, 52, 56, 64, 108, 124})
_KNOWN_BUT_NOT_READ = {
    b"GIF8": "GIF",
    b"%PDF": "PDF",
    b"\x00\x00\x00\x0cjP  ": "JPEG 2000",
    b"\x00\x00\x00\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"8BPS": "Photoshop",
    b"FUJIFILM": "camera raw",
}
_OPENERS: dict[Format, type[ImageFile.ImageFile]] = {
    Format.PNG: PngImageFile,
    Format.WEBP: WebPImageFile,
    Format.TIFF: TiffImageFile,
    Format.BMP: BmpImageFile,
    Format.HEIC: HeifImageFile,
}
# What the parsers raise on damaged files.
_DAMAGE = (
    OSError, SyntaxError, ValueError, EOFError, OverflowError, LookupError, TypeError, RuntimeError,
    UserWarning, struct.error,
)  # fmt: skip
_REDUCED_OR_MASK = 0b101  # bits of TIFF's NewSubfileType
_SMALLER = "send a smaller picture"
_SEND_AGAIN = "send the file again"
_warning_filters = threading.Lock()


def find_format(head: bytes) -> Format | None:
    """Say which format a file has by its first `HEAD_BYTES` bytes; None for none that is read here.

    A DICOM file whose preamble poses as TIFF (PS3.10 7.1) is none.
    """
    if head[128:132] == b"DICM":
        return None
    for start, image_format in _FORMAT_OF_START.items():
        if head.startswith(start):
            return image_format
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return Format.WEBP
    if (
        head[:2] == b"BM"
        and len(head) >= 18
        and head[14:18] in {bytes([n, 0, 0, 0]) for n in (12, 40, 52, 56, 64, 108, 124)}
    ):
        return Format.BMP
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS:
        return Format.HEIC
    return None


def refusal(head: bytes, name: str) -> ImageError:
    """Say why a file of none of the formats is not taken."""
    if not head:
        return ImageError(name, Reason.EMPTY_FILE, "is empty", _SEND_AGAIN)
    known = next((said for start, said in _KNOWN_BUT_NOT_READ.items() if head.startswith(start)), None)
    if head[4:12] in {b"ftypavif", b"ftypavis"}:
        known = "AVIF"
    if known is not None:
        return ImageError(name, Reason.UNSUPPORTED_ENCODING, f"is {known}", f"save it as {READABLE}")
    return ImageError(name, Reason.NOT_AN_IMAGE, "is not a photograph", f"send {READABLE}")


def check_size(columns: int, rows: int, name: str) -> None:
    """Raise ImageError if a picture has no pixels or more than `MAX_PIXELS`."""
    if columns * rows > MAX_PIXELS:
        problem = f"has {columns:,} x {rows:,} pixels, more than {MAX_PIXELS:,}"
        raise ImageError(name, Reason.TOO_MANY_PIXELS, problem, _SMALLER)
    if columns < 1 or rows < 1:
        raise ImageError(name, Reason.NO_PIXELS, f"has {columns} x {rows} pixels", _SEND_AGAIN)


@contextmanager
def opened(file: BinaryIO, image_format: Format, name: str) -> Iterator[ImageFile.ImageFile]:
    """Open a file that is not JPEG, its header parsed and its size checked, its pixels not yet decoded.

    Damage that shows inside the block, while pixels are decoded, raises ImageError too.
    """
    check_whole(file, image_format, name)
    try:
        with _without_warnings(image_format), _OPENERS[image_format](file) as image:
            check_size(*image.size, name)
            yield image
    except DecompressionBombError as failure:
        # Pillow looks at a WebP's size before we can.
        raise ImageError(name, Reason.TOO_MANY_PIXELS, f"is too large ({failure})", _SMALLER) from failure
    except _DAMAGE as failure:
        raise _damage(failure, name) from failure


def find_pages(image: ImageFile.ImageFile, name: str) -> tuple[int, ...]:
    """Give the numbers of the pages that are pictures of their own, and stand at the first.

    Previews and masks of a TIFF are no pages; an animation has one, its first.

    Raises
    ------
    ImageError
        If there are more than `MAX_PAGES` pages, or previews only (a camera's raw file).
    """
    if not isinstance(image, TiffImageFile):
        return (image.tell(),)
    pages = []
    for page in range(MAX_PAGES + 1):
        try:
            image.seek(page)
        except EOFError:
            break
        is_raw = 50706 in image.tag_v2  # DNGVersion
        if not is_raw and not int(image.tag_v2.get(254, 0)) & _REDUCED_OR_MASK:
            pages.append(page)
    else:
        problem = f"has more than {MAX_PAGES} pages"
        raise ImageError(name, Reason.TOO_MANY_FRAMES, problem, "split it into several files")
    if not pages:
        problem = "holds a preview only, as a camera's raw file does"
        raise ImageError(name, Reason.UNSUPPORTED_ENCODING, problem, "export it as JPEG")
    image.seek(pages[0])
    return tuple(pages)


def is_white_zero(image: ImageFile.ImageFile) -> bool:
    """Whether a TIFF page's grey runs from white to black (PhotometricInterpretation 0)."""
    return isinstance(image, TiffImageFile) and image.tag_v2.get(262) == 0


def check_whole(file: BinaryIO, image_format: Format, name: str) -> None:
    """Raise ImageError if a PNG, WebP or HEIC file ends before it says; stand at its start afterwards."""
    n_bytes = file.seek(0, 2)
    said = 0
    if image_format is Format.WEBP:
        file.seek(4)
        said = 8 + int.from_bytes(file.read(4), "little")
    elif image_format in {Format.PNG, Format.HEIC}:
        kind, _, said = list(_parts(file, image_format, n_bytes))[-1]
        if image_format is Format.PNG and kind != b"IEND":
            said = n_bytes + 1
    file.seek(0)
    if said > n_bytes:
        problem = f"ends after {n_bytes:,} bytes, before its image does"
        raise ImageError(name, Reason.TRUNCATED, problem, _SEND_AGAIN)


def read_exif(file: BinaryIO, image_format: Format) -> bytes:
    """Give the EXIF block of a PNG, wherever in the file it stands; empty if there is none."""
    if image_format is not Format.PNG:
        return b""
    n_bytes = file.seek(0, 2)
    for kind, start, end in _parts(file, image_format, n_bytes):
        if kind == b"eXIf" and end <= n_bytes:
            file.seek(start)
            return file.read(end - 4 - start)
    return b""


@contextmanager
def _without_warnings(image_format: Format) -> Iterator[None]:
    # Pillow warns of odd tags in TIFF only. The filters are the process's own, so one thread at a time.
    if image_format is not Format.TIFF:
        yield
        return
    with _warning_filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _damage(failure: BaseException, name: str) -> ImageError:
    told = str(failure).strip().rstrip(".") or type(failure).__name__
    lowered = told.lower()
    if isinstance(failure, EOFError) or "truncated" in lowered:
        return ImageError(name, Reason.TRUNCATED, "ends before its image does", _SEND_AGAIN)
    if any(
        word in lowered
        for word in ("unknown pixel mode", "unsupported", "not supported", "unknown compression")
    ):
        problem = f"is encoded in a way that is not read ({told})"
        return ImageError(name, Reason.UNSUPPORTED_ENCODING, problem, "save it as JPEG or PNG")
    return ImageError(name, Reason.CORRUPT, f"cannot be decoded ({told})", _SEND_AGAIN)


def _parts(file: BinaryIO, image_format: Format, n_bytes: int) -> Iterator[tuple[bytes, int, int]]:
    # Kind, start of the data and end of the part, which may lie behind the end of the file.
    # PNG: length, kind, data, checksum. HEIC: length of the whole, kind, data; 1 says that 64 bits follow.
    # At least one part is given, an unfinished one for a file that ends after its first bytes.
    position = 8 if image_format is Format.PNG else 0
    while position < max(n_bytes, 9):
        file.seek(position)
        head = file.read(16)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        start = position + 8
        if len(head) < 8:
            end = position + 8
        elif image_format is Format.PNG:
            end = start + length + 4
        elif length == 1:
            end = position + int.from_bytes(head[8:16], "big")
        else:
            end = position + length if length else n_bytes
        yield kind, start, end
        if kind == b"IEND" or end <= position:
            return
        position = end
