"""Gives a stored object in another transfer syntax, one frame at a time, the file itself untouched.

Whatever the target, no sample changes: native pixels are copied as they stand, others decoded and coded
again without loss. What cannot be done so is refused with a reason, never approximated.

References
----------
PS3.5 A.4 (encapsulation), 8.2 (photometric interpretations that a transfer syntax allows), PS3.10 7.1.
"""

import io
import struct
from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filereader import dcmread
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
)

from data.dicom.codecs import stream_info
from data.dicom.files import MALFORMED, OpenedObject, PixelElement, open_object, quiet
from data.dicom.header import text_of
from data.dicom.json_model import as_little_endian
from data.dicom.picture import Picture
from data.dicom.pixels import PixelForm, Sample
from data.dicom.reading import DicomReader
from data.dicom.windows import WindowFunction
from data.dicom.writing import IMPLEMENTATION_UID
from data.errors import ImageError

NATIVE: Final = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
CODED: Final = (str(JPEGLSLossless), str(HTJ2KLossless), str(JPEG2000Lossless))
TARGETS: Final = (*NATIVE, *CODED)
"""What any image can be given in, the first where nothing is asked for."""

_CHUNK_BYTES = 1 << 20
_LONGEST_NATIVE = 0xFFFFFFFE
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_ITEM, _SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"


class TranscodingError(Exception):
    """An object cannot be given in a transfer syntax; the message says why."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The UIDs under which an object is kept; a file that repeats another's gets new ones."""

    study_uid: str
    series_uid: str
    sop_instance_uid: str


def identity_of(dataset: Dataset) -> Identity:
    """Give the UIDs that stand in a header, empty where there is none."""
    return Identity(*(text_of(dataset, keyword) for keyword in _UIDS))


def object_stream(path: Path, target: str | None, *, identity: Identity) -> Iterator[bytes]:
    """Give an object as a DICOM file (PS3.10), in pieces.

    Parameters
    ----------
    path : Path
        The stored file.
    target : str or None
        A transfer syntax of :data:`TARGETS`; None gives the file as it is stored.
    identity : Identity
        Its UIDs. Where the file has others, and only there, a file as stored is given with these.

    Raises
    ------
    TranscodingError
        Before the first piece, if the header or the pixels cannot be given so; in between, if a later frame
        cannot be decoded.
    ImageError
        If the file cannot be read.
    """
    with open_object(path) as opened:
        syntax, own = opened.transfer_syntax, identity_of(opened.dataset)
        if target in {None, syntax} and _is_as_kept(own, identity):
            is_whole_file = target is None or opened.dataset.preamble is not None
            if is_whole_file:
                yield from _chunks(path)
                return
        if target is None or target == syntax:
            yield from _copied(path, opened, identity)
        else:
            yield from _transcoded(path, opened, target, identity)


def frame_in(path: Path, index: int, target: str | None) -> tuple[bytes, str]:
    """Give one frame's bytes and their transfer syntax.

    Parameters
    ----------
    path : Path
        The stored file.
    index : int
        Counted from 0.
    target : str or None
        A transfer syntax of :data:`TARGETS`; None gives a coded frame as it is stored and another in
        explicit VR little endian.

    Raises
    ------
    TranscodingError
        If the frame cannot be given so.
    ImageError
        If it cannot be decoded.
    """
    reader = DicomReader(path)
    picture = reader.picture()
    is_stored_so = picture.transfer_syntax == target
    if picture.pixels.is_encapsulated and (target is None or is_stored_so):
        with path.open("rb") as file:
            return _joined_fragments(file, picture, index), picture.transfer_syntax
    form = _form_of(path, picture)
    if target in CODED:
        values, is_rgb = reader.decoded(index)
        return _encode(_checked(form, values, target, is_rgb=is_rgb), target, form), str(target)
    return _native_frame(reader, picture, form, index), NATIVE[0]


def check_possible(path: Path, target: str) -> None:
    """Raise if an object cannot be given in a transfer syntax, as far as its first frame tells.

    Raises
    ------
    TranscodingError
        Says why.
    """
    try:
        with open_object(path) as opened:
            if opened.transfer_syntax == target:
                return
            if opened.pixels is None:
                _check_header_alone(target)
                return
        frame_in(path, 0, target)
    except ImageError as error:
        raise TranscodingError(f"{error.problem} ({error.reason})") from error


def _is_as_kept(own: Identity, kept: Identity) -> bool:
    pairs = zip(_values(own), _values(kept), strict=True)
    return all(not given or given == uid for given, uid in pairs)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _copied(path: Path, opened: OpenedObject, identity: Identity) -> Iterator[bytes]:
    """Write a new header before the rest of the file as it stands, from its pixel data on."""
    syntax = opened.transfer_syntax
    if syntax == DeflatedExplicitVRLittleEndian:
        yield _deflated_anew(path, opened, identity)
        return
    yield _header(path, opened, syntax, identity, {})
    yield from _pixels_as_they_stand(opened)


def with_header(path: Path, opened: OpenedObject, dataset: FileDataset) -> Iterator[bytes]:
    """Give an object as a DICOM file with other elements before its pixel data, in its transfer syntax.

    Raises
    ------
    TranscodingError
        Before the first piece, if the header cannot be written.
    """
    if opened.transfer_syntax == DeflatedExplicitVRLittleEndian:
        raise TranscodingError("its data set is deflated, and is written anew as a whole alone")
    try:
        with quiet():
            head = _written(path, dataset, opened, opened.transfer_syntax, identity_of(dataset))
    except MALFORMED as error:
        raise TranscodingError(f"its header cannot be written anew ({type(error).__name__})") from error
    yield head
    yield from _pixels_as_they_stand(opened)


def _pixels_as_they_stand(opened: OpenedObject) -> Iterator[bytes]:
    if opened.pixels is None:
        return
    yield _element_head(opened)
    opened.stream.seek(opened.pixels.offset)
    while chunk := opened.stream.read(_CHUNK_BYTES):
        yield chunk


def _deflated_anew(path: Path, opened: OpenedObject, identity: Identity) -> bytes:
    plain = io.BytesIO(b"".join(_transcoded(path, opened, NATIVE[0], identity)))
    try:
        with quiet():
            dataset = dcmread(plain)
            dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
            buffer = io.BytesIO()
            dcmwrite(buffer, dataset)
    except MALFORMED as error:
        raise TranscodingError(
            f"its header cannot be written anew ({type(error).__name__}: {error})"
        ) from error
    return buffer.getvalue()


def _element_head(opened: OpenedObject) -> bytes:
    pixels = opened.pixels
    assert pixels is not None
    order = "<" if opened.is_little_endian else ">"
    tag = struct.pack(f"{order}HH", pixels.tag >> 16, pixels.tag & 0xFFFF)
    if pixels.vr is None:
        return tag + struct.pack(f"{order}I", pixels.length)
    return tag + pixels.vr.encode("ascii") + struct.pack(f"{order}HI", 0, pixels.length)


def _transcoded(path: Path, opened: OpenedObject, target: str, identity: Identity) -> Iterator[bytes]:
    if opened.pixels is None:
        _check_header_alone(target)
        yield _header(path, opened, target, identity, {})
        return
    if target not in TARGETS:
        raise TranscodingError(f"this service does not write transfer syntax {target}")
    reader = DicomReader(path)
    picture = reader.picture()
    if target in NATIVE:
        yield from _native_object(path, opened, reader, target, identity)
        return
    form = _form_of(path, picture)
    values, is_rgb = reader.decoded(0)
    values = _checked(form, values, target, is_rgb=is_rgb)
    changes = _changes(picture, form, is_rgb=is_rgb) | _changes_of_coding(picture, form, target)
    first = _encode(values, target, form)
    yield _header(path, opened, target, identity, changes)
    yield b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff" + _ITEM + bytes(4)  # an empty table of offsets
    yield from _item(first)
    for index in range(1, picture.n_frames):
        values, is_rgb = reader.decoded(index)
        yield from _item(_encode(_checked(form, values, target, is_rgb=is_rgb), target, form))
    yield _SEQUENCE_END


def _check_header_alone(target: str) -> None:
    if target not in NATIVE:
        raise TranscodingError("it has no pixel data that could be coded")


def _native_object(
    path: Path, opened: OpenedObject, reader: DicomReader, target: str, identity: Identity
) -> Iterator[bytes]:
    picture = reader.picture()
    form = _form_of(path, picture)
    n_bytes = -(-picture.n_frames * _bits_written(picture) // 8)
    if n_bytes > _LONGEST_NATIVE:
        raise TranscodingError(f"its pixels are {n_bytes:,} bytes, more than an element can hold")
    is_copied = not picture.pixels.is_encapsulated and picture.is_little_endian
    if form.bits_allocated in {1, 12} and picture.n_frames > 1 and not is_copied:
        raise TranscodingError(f"its frames have {form.bits_allocated} bits a sample")
    changes: Mapping[str, object] = {}
    if not is_copied:
        _, is_rgb = reader.decoded(0)
        changes = _changes(picture, form, is_rgb=is_rgb)
    yield _header(path, opened, target, identity, changes)
    vr = b"OW" if form.bits_allocated > 8 else b"OB"
    vr = {0x7FE00008: b"OF", 0x7FE00009: b"OD"}.get(picture.pixels.tag, vr)
    tag = struct.pack("<HH", 0x7FE0, picture.pixels.tag & 0xFFFF)
    length = struct.pack("<I", n_bytes + n_bytes % 2)
    yield tag + length if target == ImplicitVRLittleEndian else tag + vr + b"\0\0" + length
    if is_copied:
        yield from _exactly(opened.stream, picture.pixels, n_bytes)
    else:
        for index in range(picture.n_frames):
            yield _native_frame(reader, picture, form, index)
    yield bytes(n_bytes % 2)


def _bits_written(picture: Picture) -> int:
    form = picture.form
    if picture.pixels.is_encapsulated or not picture.is_little_endian:
        return form.rows * form.columns * form.samples * form.bits_allocated
    return form.n_bits


def _exactly(stream: BinaryIO, pixels: PixelElement, n_bytes: int) -> Iterator[bytes]:
    stream.seek(pixels.offset)
    while n_bytes and (chunk := stream.read(min(n_bytes, _CHUNK_BYTES))):
        n_bytes -= len(chunk)
        yield chunk


def _form_of(path: Path, picture: Picture) -> PixelForm:
    """Give the layout of decoded frames: where a stream and the header disagree, the stream is right."""
    form = picture.form
    if not picture.pixels.is_encapsulated or form.sample is not Sample.INTEGER:
        return form
    with path.open("rb") as file:
        info = stream_info(_joined_fragments(file, picture, 0))
    if info is None or not form.bits_stored <= info.precision <= form.bits_allocated:
        return form
    return replace(form, bits_stored=info.precision, is_signed=form.is_signed or info.is_signed)


def _native_frame(reader: DicomReader, picture: Picture, form: PixelForm, index: int) -> bytes:
    """Give a frame's samples, pixels interleaved, in little endian order."""
    is_byte_aligned = form.n_bits % 8 == 0
    if not picture.pixels.is_encapsulated and picture.is_little_endian and is_byte_aligned:
        with open_object(reader.path) as opened:  # also where the data set is deflated
            n_bytes = form.n_bits // 8
            opened.stream.seek(picture.pixels.offset + index * n_bytes)
            return opened.stream.read(n_bytes)
    values, _ = reader.decoded(index)
    if form.bits_allocated == 1:
        return np.packbits(values.reshape(-1).astype(np.uint8), bitorder="little").tobytes()
    if form.bits_allocated == 12:
        raise TranscodingError("its samples are packed in 12 bits")
    return np.ascontiguousarray(values, _dtype_of(form)).tobytes()


def _dtype_of(form: PixelForm) -> str:
    letter = ("i" if form.is_signed else "u") if form.sample is Sample.INTEGER else "f"
    return f"<{letter}{form.bits_allocated // 8}"


def _checked(
    form: PixelForm, values: NDArray[np.generic], target: str, *, is_rgb: bool
) -> NDArray[np.generic]:
    """Give a frame in the type that it is coded in, or say why it cannot be."""
    if form.sample is not Sample.INTEGER or form.bits_allocated not in {8, 16}:
        raise TranscodingError(f"its samples are {form.sample}s of {form.bits_allocated} bits")
    photometric = _photometric(form, is_rgb=is_rgb)
    if target == HTJ2KLossless and form.samples == 3 and photometric != "RGB":
        raise TranscodingError(f"its colours are {photometric}, which HTJ2K would not keep exactly")
    if form.samples == 4:
        raise TranscodingError("its pixels have four samples")
    return np.ascontiguousarray(values, _dtype_of(form))


def _encode(values: NDArray[np.generic], target: str, form: PixelForm) -> bytes:
    try:
        if target == JPEGLSLossless:
            unsigned = values.view(f"u{values.dtype.itemsize}")
            return bytes(imagecodecs.jpegls_encode(unsigned, out=2 * values.nbytes + 4096))
        if target == HTJ2KLossless:
            return bytes(imagecodecs.htj2k_encode(values))
        return bytes(
            imagecodecs.jpeg2k_encode(
                values,
                level=0,
                reversible=True,
                codecformat="j2k",
                mct=False,
                bitspersample=form.bits_stored,
            )
        )
    except (RuntimeError, ValueError) as error:  # imagecodecs' errors are RuntimeErrors
        raise TranscodingError(f"a frame cannot be coded ({error})") from error


def _photometric(form: PixelForm, *, is_rgb: bool) -> str:
    if is_rgb or form.photometric in {"YBR_RCT", "YBR_ICT"}:
        return "RGB"
    is_ybr = form.photometric.startswith("YBR") and form.samples == 3
    return "YBR_FULL" if is_ybr else form.photometric


def _changes(picture: Picture, form: PixelForm, *, is_rgb: bool) -> dict[str, object]:
    """Say what a header states otherwise once its pixels are decoded."""
    changes: dict[str, object] = {"PhotometricInterpretation": _photometric(form, is_rgb=is_rgb)}
    if form.samples > 1:
        changes["PlanarConfiguration"] = 0
    if form.is_signed != picture.form.is_signed:
        changes["PixelRepresentation"] = int(form.is_signed)
    return changes | _wider(picture, form.bits_stored)


def _changes_of_coding(picture: Picture, form: PixelForm, target: str) -> dict[str, object]:
    changes: dict[str, object] = {}
    if target == HTJ2KLossless and form.samples == 3:
        changes["PhotometricInterpretation"] = "YBR_RCT"
    # The streams of the other two state the full width of a sample.
    return changes | _wider(picture, form.bits_stored if target == JPEG2000Lossless else form.bits_allocated)


def _wider(picture: Picture, bits_stored: int) -> dict[str, object]:
    """Say that more bits are stored, and what is white, where the number of bits alone said it."""
    before = picture.form
    changes: dict[str, object] = {}
    if (bits_stored, bits_stored - 1) != (before.bits_stored, before.high_bit):
        changes = {"BitsStored": bits_stored, "HighBit": bits_stored - 1}
    is_shown_by_range = before.bits_stored <= 8 and before.samples == 1 and picture.palette is None
    if bits_stored > before.bits_stored and is_shown_by_range and not picture.transform(0).windows:
        highest = (1 << before.bits_stored) - 1
        changes |= {
            "WindowCenter": highest / 2,
            "WindowWidth": highest,
            "VOILUTFunction": WindowFunction.LINEAR_EXACT.value,
        }
    return changes


def _item(data: bytes) -> Iterator[bytes]:
    yield _ITEM + struct.pack("<I", len(data) + len(data) % 2)
    yield data
    yield bytes(len(data) % 2)


def _joined_fragments(file: BinaryIO, picture: Picture, index: int) -> bytes:
    pieces: list[bytes] = []
    for fragment in picture.fragments[index]:
        file.seek(fragment.offset)
        pieces.append(file.read(fragment.length))
    return b"".join(pieces)


def _header(
    path: Path, opened: OpenedObject, syntax: str, identity: Identity, changes: Mapping[str, object]
) -> bytes:
    """Write the preamble, the file meta information and every element before the pixel data."""
    dataset = copy(opened.dataset)
    try:
        with quiet():
            for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
                if keyword in dataset and changes:
                    del dataset[keyword]
            for keyword, value in changes.items():
                setattr(dataset, keyword, value)
            for keyword, uid in zip(_UIDS, _values(identity), strict=True):
                if uid:
                    setattr(dataset, keyword, uid)
            if not opened.is_little_endian and syntax != opened.transfer_syntax:
                _swap_words(dataset)
            return _written(path, dataset, opened, syntax, identity)
    except MALFORMED as error:
        raise TranscodingError(
            f"its header cannot be written anew ({type(error).__name__}: {error})"
        ) from error


def _swap_words(dataset: Dataset) -> None:
    """Bring binary values into little endian order, which a writer takes as they stand."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value or ():
                _swap_words(item)
        elif isinstance(element.value, bytes):
            element.value = as_little_endian(element.value, str(element.VR), is_little_endian=False)


def _values(identity: Identity) -> tuple[str, str, str]:
    return identity.study_uid, identity.series_uid, identity.sop_instance_uid


def _written(
    path: Path, dataset: FileDataset, opened: OpenedObject, syntax: str, identity: Identity
) -> bytes:
    meta = FileMetaDataset()
    sop_class = text_of(dataset, "SOPClassUID") or text_of(
        opened.dataset.file_meta, "MediaStorageSOPClassUID"
    )
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = UID(identity.sop_instance_uid or text_of(dataset, "SOPInstanceUID"))
    meta.TransferSyntaxUID = UID(syntax)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = "FIRSTREAD"
    whole = FileDataset(
        str(path), dataset, bytes(128), meta, syntax == ImplicitVRLittleEndian, opened.is_little_endian
    )
    buffer = io.BytesIO()
    is_implicit = syntax == ImplicitVRLittleEndian
    is_little = opened.is_little_endian if syntax == opened.transfer_syntax else True
    dcmwrite(
        buffer,
        whole,
        enforce_file_format=False,
        implicit_vr=is_implicit,
        little_endian=is_little,
        force_encoding=True,
    )
    return buffer.getvalue()
