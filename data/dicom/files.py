"""Opens a file as DICOM by its content: header elements in memory, pixels left where they lie.

A sender's file is not trusted. Its header may declare any length, so reading is metered: never beyond the
file's end, never more than :data:`MAX_HEADER_BYTES` in more than :data:`MAX_HEADER_READS` pieces. The
pixel data are found, not read. What the file does not say (no preamble, no file meta, no transfer syntax)
is recognised from the first data element where that can be done.
"""

import io
import logging
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, TypeGuard, cast

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.errors import BytesLengthException
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from data.errors import ImageError, Reason

# The header of an enhanced object with 5,000 frames has about 20 MB in 600,000 elements.
MAX_HEADER_BYTES = 64 << 20
MAX_HEADER_READS = 4_000_000
# A deflated data set is unpacked whole; 1 GiB is a CT of 2,000 slices in one object.
MAX_INFLATED_BYTES = 1 << 30
# Values longer than this (embedded documents, private blobs) stay in the file until someone asks.
DEFER_BYTES = 1 << 20

PREAMBLE_BYTES = 128
UNDEFINED_LENGTH = 0xFFFFFFFF
FLOAT_PIXEL_DATA = 0x7FE00008
DOUBLE_PIXEL_DATA = 0x7FE00009
PIXEL_DATA = 0x7FE00010
_PIXEL_TAGS = frozenset({FLOAT_PIXEL_DATA, DOUBLE_PIXEL_DATA, PIXEL_DATA})
# Groups that a data set without preamble may begin with: command, meta, directory, identifying, patient.
_FIRST_GROUPS = frozenset({0x0000, 0x0002, 0x0004, 0x0008, 0x0010})
_VRS = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN "
    b"SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV".split()
)
_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())

# Whose remarks are dropped: those of pydicom, and what it attributes to us who called it.
_REMARKING = r"(pydicom|data\.dicom)(\.|$)"
_REMARKS = ("ignore", None, UserWarning, re.compile(_REMARKING), 0)

# What pydicom raises on a header that is not one; each becomes a coded reason.
MALFORMED = (
    EOFError,
    struct.error,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    NotImplementedError,
    RecursionError,
    ArithmeticError,
    BytesLengthException,
    OSError,
)


@dataclass(frozen=True, slots=True)
class PixelElement:
    """Where the pixel data stand: `offset` is that of the value, `length` what it declares, in bytes.

    `vr` is None where the file does not say it (implicit VR: OW).
    """

    tag: int
    vr: str | None
    offset: int
    length: int

    @property
    def is_encapsulated(self) -> bool:
        """Whether the value is a sequence of fragments (PS3.5 A.4)."""
        return self.length == UNDEFINED_LENGTH


@dataclass(frozen=True, slots=True)
class OpenedObject:
    """A parsed header and the stream in which its pixel data stand."""

    dataset: FileDataset
    transfer_syntax: str
    is_guessed: bool
    is_little_endian: bool
    pixels: PixelElement | None
    stream: BinaryIO
    n_bytes: int


def is_dicom(path: Path) -> bool:
    """Say by its content, never by its name, whether a file is DICOM."""
    try:
        with path.open("rb") as file:
            head = file.read(PREAMBLE_BYTES + 4 + 8)
    except OSError:
        return False
    return looks_like_dicom(head)


def looks_like_dicom(head: bytes) -> bool:
    """Say whether a file's first 140 bytes have the prefix or begin with a plausible data element.

    Examples
    --------
    >>> looks_like_dicom(bytes(128) + b"DICM")
    True
    >>> looks_like_dicom(b"patient name, patient id")
    False
    """
    return head[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] == b"DICM" or _guess_encoding(head) is not None


@contextmanager
def quiet() -> Iterator[None]:
    """Silence pydicom's remarks on values that break the standard: what matters becomes an error here.

    A remark quotes the value, which may be a name, and goes to standard error and to the log. So it is
    dropped, and stays so: a filter that was taken back at the end would be taken from every other thread
    that still reads.
    """
    logging.getLogger("pydicom").addFilter(_drop)
    if warnings.filters[:1] != [_REMARKS]:
        warnings.filterwarnings("ignore", category=UserWarning, module=_REMARKING)
    yield


def _drop(record: logging.LogRecord) -> bool:
    """Let no record pass that pydicom's logger was given; an error that matters is raised beside it."""
    del record
    return False


@contextmanager
def malformed_is_corrupt(path: Path) -> Iterator[None]:
    """Turn what pydicom raises on a malformed header into the coded reason.

    Its text quotes values, which may be a patient's, so neither that nor the error itself is passed on.
    """
    try:
        yield
    except MALFORMED as error:
        raise ImageError(
            path,
            Reason.CORRUPT,
            f"has a header that cannot be read ({type(error).__name__})",
            "export it again from its source",
        ) from None


@contextmanager
def open_object(path: Path) -> Iterator[OpenedObject]:
    """Parse a file's header and leave its stream open for the pixels.

    Raises
    ------
    ImageError
        If the file is missing, empty, not DICOM, or its header is broken or larger than the limits.
    """
    try:
        file = path.open("rb")
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise ImageError(
            path, Reason.NOT_FOUND, f"cannot be opened ({error.strerror})", "check the path"
        ) from error
    with file:
        yield _parse(path, file)


def _parse(path: Path, file: IO[bytes]) -> OpenedObject:
    n_bytes = path.stat().st_size
    if n_bytes == 0:
        raise ImageError(path, Reason.EMPTY_FILE, "is empty", "send the file again")
    head = file.read(PREAMBLE_BYTES + 4 + 8)
    if not looks_like_dicom(head):
        raise ImageError(
            path,
            Reason.NOT_DICOM,
            "has neither a DICOM prefix nor a DICOM data element",
            "send the DICOM file",
        )
    preamble = head[:PREAMBLE_BYTES] if head[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] == b"DICM" else None
    metered = _MeteredFile(path, file, n_bytes)
    metered.seek(0 if preamble is None else PREAMBLE_BYTES + 4)
    with quiet(), malformed_is_corrupt(path):
        return _read_elements(path, metered, preamble)


def _read_elements(path: Path, file: "_MeteredFile", preamble: bytes | None) -> OpenedObject:
    meta = _read_file_meta(file)
    start = file.tell()
    first = file.read(8)
    file.seek(start)
    declared = str(meta.get("TransferSyntaxUID") or "").strip()
    guessed = _guess_encoding(first)
    stream: _MeteredFile = file
    if declared == DeflatedExplicitVRLittleEndian:
        inflated = _inflate(path, file)
        stream = _MeteredFile(path, io.BytesIO(inflated), len(inflated))
    is_implicit, is_little = _encoding_of(declared, guessed)
    found: list[PixelElement] = []

    def at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
        if tag in _PIXEL_TAGS:
            found.append(PixelElement(int(tag), vr, stream.tell(), length))
        return int(tag) >= FLOAT_PIXEL_DATA

    dataset = read_dataset(
        cast("BinaryIO", stream),
        is_implicit,
        is_little,
        stop_when=at_pixels,
        defer_size=DEFER_BYTES if stream is file else None,
    )
    for tag, element in dataset.items():
        if _is_left_in_file(element) and element.value_tell + element.length > stream.n_bytes:
            raise ImageError(
                path, Reason.TRUNCATED, f"ends within element {tag} of its header", "send the file again"
            )
    whole = FileDataset(str(path), dataset, preamble, meta, is_implicit, is_little)
    whole.set_original_encoding(is_implicit, is_little, dataset.original_character_set)
    return OpenedObject(
        dataset=whole,
        transfer_syntax=declared or _syntax_uid(is_implicit, is_little),
        is_guessed=not declared,
        is_little_endian=is_little,
        pixels=found[0] if found else None,
        stream=stream.raw,
        n_bytes=stream.n_bytes,
    )


def _is_left_in_file(element: object) -> TypeGuard[RawDataElement]:
    return isinstance(element, RawDataElement) and element.value is None and element.length > 0


def _read_file_meta(file: "_MeteredFile") -> FileMetaDataset:
    start = file.tell()
    first = file.read(8)
    file.seek(start)
    if first[:2] != b"\x02\x00":
        return FileMetaDataset()
    is_implicit = first[4:6] not in _VRS
    elements = read_dataset(
        cast("BinaryIO", file), is_implicit, True, stop_when=lambda tag, *_: tag.group != 0x0002
    )
    meta = FileMetaDataset()
    kept = {tag: elements.get_item(tag) for tag in elements.keys()}  # noqa: SIM118  a Dataset iterates over its elements
    meta.update(cast("Dataset", kept))
    return meta


def _encoding_of(declared: str, guessed: tuple[bool, bool] | None) -> tuple[bool, bool]:
    """Give (is implicit VR, is little endian), the file's own first element deciding between doubts."""
    if declared == ExplicitVRBigEndian:
        return False, False
    if declared == DeflatedExplicitVRLittleEndian:
        return False, True
    if guessed is not None:
        # Some writers declare an implicit syntax and write explicit elements, or the other way round.
        return guessed
    return declared in {"", ImplicitVRLittleEndian}, True


def _syntax_uid(is_implicit: bool, is_little: bool) -> str:
    if is_implicit:
        return str(ImplicitVRLittleEndian)
    return str(ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian)


def _guess_encoding(head: bytes) -> tuple[bool, bool] | None:
    """Recognise (is implicit VR, is little endian) from a first data element, None for no element."""
    if len(head) < 8:
        return None
    for is_little, order in ((True, "<"), (False, ">")):
        group, element = struct.unpack_from(f"{order}HH", head)
        if group not in _FIRST_GROUPS or element > 0x4000:
            continue
        if head[4:6] in _VRS:
            short = struct.unpack_from(f"{order}H", head, 6)[0]
            if head[4:6] not in _LONG_VRS or short == 0:
                return False, is_little
        length = struct.unpack_from("<I", head, 4)[0]
        # An implicit first element is a group length, a character set or a UID: short.
        if is_little and length <= 1024 and length % 2 == 0 and (group, element) != (0, 0):
            return True, True
    return None


def _inflate(path: Path, file: "_MeteredFile") -> bytes:
    """Unpack a deflated data set (PS3.5 A.5), at most :data:`MAX_INFLATED_BYTES` of it."""
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    raw = file.raw
    pieces: list[bytes] = []
    n_inflated = 0
    while (packed := raw.read(1 << 20)) and not unpacker.eof:
        while packed:
            try:
                pieces.append(unpacker.decompress(packed, 16 << 20))
            except zlib.error as error:
                raise ImageError(
                    path, Reason.CORRUPT, f"has a broken deflated data set ({error})", "send the file again"
                ) from error
            n_inflated += len(pieces[-1])
            if n_inflated > MAX_INFLATED_BYTES:
                raise ImageError(
                    path,
                    Reason.TOO_MANY_BYTES,
                    f"unpacks to more than {MAX_INFLATED_BYTES:,} bytes",
                    "send it without the deflated transfer syntax",
                )
            packed = unpacker.unconsumed_tail
    pieces.append(unpacker.flush())
    return b"".join(pieces)


class _MeteredFile:
    """A stream that gives no byte beyond its end and no more than the limits altogether."""

    def __init__(self, path: Path, raw: IO[bytes], n_bytes: int) -> None:
        self.name = str(path)
        self.raw = cast("BinaryIO", raw)
        self.n_bytes = n_bytes
        self._bytes_left = MAX_HEADER_BYTES
        self._reads_left = MAX_HEADER_READS
        self.seek = self.raw.seek
        self.tell = self.raw.tell

    def read(self, size: int = -1) -> bytes:
        """Read at most `size` bytes, as far as the file and the limits go."""
        left = max(0, self.n_bytes - self.raw.tell())
        size = left if size < 0 else min(size, left)
        self._bytes_left -= size
        self._reads_left -= 1
        if self._bytes_left < 0 or self._reads_left < 0:
            raise ImageError(
                self.name,
                Reason.TOO_MANY_BYTES,
                f"has a header of more than {MAX_HEADER_BYTES:,} bytes or {MAX_HEADER_READS:,} pieces",
                "send images, not embedded documents",
            )
        return self.raw.read(size)
