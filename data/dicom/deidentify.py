"""Writes a DICOM image without its patient: PS3.15 Annex E, pixels untouched.

The Basic Application Level Confidentiality Profile with the options Clean Descriptors and Retain Longitudinal
Temporal Information with Modified Dates, UIDs mapped by a key. The header is made anew
(:func:`data.dicom.cleaning.clean_header`); the value of the pixel data is copied byte by byte, however large
it is, but that EXIF and comments in a JPEG stream are overwritten with zeros. What follows the pixels, the
preamble and the file meta information are not carried over.

Pixels are looked at for text (:mod:`data.dicom.burned_in`). A file that shows or may show some is refused, or
on demand written anew with the text under black boxes. Objects without pixels are refused: reports and
documents are text from end to end.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from data.dicom.burned_in import Doubt, doubt_of, find_text, shows_face
from data.dicom.cleaning import clean_header, consent_is_withheld
from data.dicom.files import MALFORMED, OpenedObject, open_object, quiet
from data.dicom.header import header_of, text_of
from data.dicom.picture import Picture, picture_of
from data.dicom.pseudonyms import Pseudonyms
from data.dicom.reading import DicomReader
from data.dicom.writing import IMPLEMENTATION_UID
from data.errors import ImageError, Reason
from data.jpeg import without_texts
from data.pieces import Box

# Frames of a longer object are looked at in even steps: text of a device stays where it is.
MAX_FRAMES_LOOKED_AT = 32
# Masked pixels are decoded into memory as a whole.
MAX_MASKED_BYTES = 1 << 30
_BLOCK = 1 << 20
# Raw Data Storage, where a file does not say what it is.
_RAW = "1.2.840.10008.5.1.4.1.1.66"
_MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"


class TextPolicy(StrEnum):
    """What happens to a file with text in its pixels."""

    REFUSE = "refuse"
    MASK = "mask"


@dataclass(frozen=True, slots=True)
class Deidentified:
    """The file that was written, how many elements were kept, changed and removed, what was covered."""

    path: Path
    study_uid: str
    n_elements: dict[str, int]
    masked: tuple[Box, ...] = ()
    was_there: bool = False


def deidentify(
    path: Path, folder: Path, pseudonyms: Pseudonyms, *, text: TextPolicy = TextPolicy.REFUSE
) -> Deidentified:
    """Write the de-identified copy of a file to ``folder/<patient>/<study>/<instance>.dcm``.

    Parameters
    ----------
    path : Path
        A DICOM file with pixels.
    folder : Path
        Where it goes; made if absent. A file there is never overwritten.
    pseudonyms : Pseudonyms
        The project's.
    text : TextPolicy
        Whether a file with text in its pixels is refused, or the text covered.

    Returns
    -------
    Deidentified
        `was_there` if the very same file stood there already.

    Raises
    ------
    ImageError
        If the file cannot be read whole, has no pixels, shows or may show text or a face, lacks consent, or
        another file has its name. Nothing is written then.
    """
    with disable_value_validation(), quiet(), open_object(path) as opened:
        header = header_of(path, opened)
        dataset = header.dataset
        _check_kind(path, dataset, opened)
        picture = picture_of(path, opened)
        boxes = _text_boxes(path, dataset, picture, text)
        try:
            cleaned, tally = clean_header(dataset, pseudonyms, has_masked_pixels=bool(boxes))
            if boxes:
                head, pieces = _masked_object(path, cleaned, picture, boxes)
            else:
                head, pieces = _head(cleaned, opened), _pixel_bytes(opened, picture)
        except MALFORMED as error:
            raise ImageError(
                path,
                Reason.CORRUPT,
                f"has a header that cannot be cleaned ({type(error).__name__})",
                "export it again",
            ) from None
        study, instance = text_of(cleaned, "StudyInstanceUID"), text_of(cleaned, "SOPInstanceUID")
        to = folder / text_of(cleaned, "PatientID") / study / f"{instance}.dcm"
        was_there = write_once(to, _chained(head, pieces), source=path)
    return Deidentified(to, study, tally.n_of, boxes, was_there)


def write_once(to: Path, pieces: Iterator[bytes], *, source: Path) -> bool:
    """Write a file whole or not at all and never over another; say whether the same one was there.

    Raises
    ------
    ImageError
        If a file with other content has the name.
    """
    to.parent.mkdir(parents=True, exist_ok=True)
    part = to.with_name(f".{to.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(part, to)
        except FileExistsError:
            if _same_content(part, to):
                return True
            raise ImageError(
                source,
                Reason.NAME_TAKEN,
                f"would overwrite {to}, which holds something else",
                "export to an empty folder, or find out which of two files with one UID is right",
            ) from None
    finally:
        part.unlink(missing_ok=True)
    return False


def _same_content(one: Path, other: Path) -> bool:
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as left, other.open("rb") as right:
        while block := left.read(_BLOCK):
            if block != right.read(_BLOCK):
                return False
    return True


def _check_kind(path: Path, dataset: Dataset, opened: OpenedObject) -> None:
    if (
        text_of(dataset, "MediaStorageSOPClassUID") == _MEDIA_DIRECTORY
        or "DirectoryRecordSequence" in dataset
    ):
        raise ImageError(
            path, Reason.UNSUPPORTED_CONTENT, "is a directory of files", "name the files themselves"
        )
    if opened.pixels is None:
        raise ImageError(
            path,
            Reason.NO_PIXELS,
            "has no pixels, and reports, documents and signals are not de-identified",
            "export images only",
        )
    if consent_is_withheld(dataset):
        raise ImageError(
            path, Reason.CONSENT_WITHHELD, "says that consent to its distribution is withheld", "leave it out"
        )
    if shows_face(dataset):
        raise ImageError(
            path,
            Reason.RECOGNIZABLE_FACE,
            "says that a person can be recognised on it",
            "remove the face by a program made for it",
        )


def _text_boxes(path: Path, dataset: Dataset, picture: Picture, policy: TextPolicy) -> tuple[Box, ...]:
    """Give what is to be covered; raise if the file is to be refused."""
    doubt = doubt_of(dataset)
    if policy is TextPolicy.REFUSE and doubt is not Doubt.NONE:
        said = (
            "says that text is burned in"
            if doubt is Doubt.DECLARED
            else ("is of a kind that carries text in its pixels, and does not say that there is none")
        )
        raise _refused(path, said)
    reader = DicomReader(path)
    step = -(-picture.n_frames // MAX_FRAMES_LOOKED_AT)
    found = {box for index in range(0, picture.n_frames, step) for box in find_text(reader.displayed(index))}
    if found and policy is TextPolicy.REFUSE:
        raise _refused(path, "seems to have text in its pixels")
    if not found and doubt is Doubt.DECLARED:
        raise ImageError(
            path,
            Reason.BURNED_IN_TEXT,
            "says that text is burned in, and none was found that could be covered",
            "cover it by hand and set Burned In Annotation to NO",
        )
    return tuple(sorted(found))


def _refused(path: Path, problem: str) -> ImageError:
    return ImageError(path, Reason.BURNED_IN_TEXT, problem, "look at it, or have text covered (--text mask)")


def _head(cleaned: Dataset, opened: OpenedObject) -> bytes:
    """Write everything up to the value of the pixel data."""
    assert opened.pixels is not None
    is_implicit = bool(opened.dataset.original_encoding[0])
    syntax = opened.transfer_syntax
    if opened.pixels.is_encapsulated:
        is_implicit = False
    else:
        # The bytes count, not what was declared; a deflated data set was inflated.
        little = ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian
        syntax = str(little if opened.is_little_endian else ExplicitVRBigEndian)
    return _written(cleaned, syntax, is_implicit=is_implicit, is_little=opened.is_little_endian) + (
        _element_header(opened, is_implicit=is_implicit)
    )


def _written(cleaned: Dataset, syntax: str, *, is_implicit: bool, is_little: bool) -> bytes:
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = UID(text_of(cleaned, "SOPClassUID") or _RAW)
    meta.MediaStorageSOPInstanceUID = UID(text_of(cleaned, "SOPInstanceUID"))
    meta.TransferSyntaxUID = UID(syntax)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = "FIRSTREAD"
    raw = BytesIO()
    raw.write(bytes(128) + b"DICM")
    stream = DicomIO(raw)
    stream.is_little_endian, stream.is_implicit_VR = True, False
    write_file_meta_info(stream, meta, enforce_standard=False)
    body = DicomIO(raw)
    body.is_little_endian, body.is_implicit_VR = is_little, is_implicit
    write_dataset(body, cleaned)
    return raw.getvalue()


def _element_header(opened: OpenedObject, *, is_implicit: bool) -> bytes:
    pixels = opened.pixels
    assert pixels is not None
    order: Literal["little", "big"] = "little" if opened.is_little_endian else "big"
    tag = (pixels.tag >> 16).to_bytes(2, order) + (pixels.tag & 0xFFFF).to_bytes(2, order)
    length = pixels.length.to_bytes(4, order)
    if is_implicit:
        return tag + length
    vr = (pixels.vr or ("OB" if pixels.is_encapsulated else "OW")).encode()
    return tag + vr + b"\x00\x00" + length


def _pixel_bytes(opened: OpenedObject, picture: Picture) -> Iterator[bytes]:
    """Give the value of the pixel data: as it stands, but for texts in the heads of JPEG streams."""
    pixels, stream = opened.pixels, opened.stream
    assert pixels is not None
    if not pixels.is_encapsulated:
        yield from _copied(stream, pixels.offset, pixels.offset + pixels.length)
        return
    position = pixels.offset
    for first in sorted((frame[0] for frame in picture.fragments), key=lambda fragment: fragment.offset):
        yield from _copied(stream, position, first.offset)
        stream.seek(first.offset)
        yield without_texts(stream.read(first.length))
        position = first.offset + first.length
    last = max((one for frame in picture.fragments for one in frame), key=lambda one: one.offset)
    yield from _copied(stream, position, last.offset + last.length)
    # Its end, which some files lack.
    yield b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"


def _copied(stream: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    stream.seek(start)
    left = end - start
    while left > 0 and (block := stream.read(min(_BLOCK, left))):
        left -= len(block)
        yield block


def _chained(head: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from pieces


def _masked_object(
    path: Path, cleaned: Dataset, picture: Picture, boxes: tuple[Box, ...]
) -> tuple[bytes, Iterator[bytes]]:
    """Decode the pixels, cover the boxes with black, write them uncompressed."""
    form, reader = picture.form, DicomReader(path)
    n_bytes = picture.n_frames * form.rows * form.columns * form.samples * max(1, form.bits_allocated // 8)
    deepest = 16 if form.samples == 1 else 8
    if form.bits_allocated not in {8, deepest} or n_bytes > MAX_MASKED_BYTES:
        raise ImageError(
            path,
            Reason.UNSUPPORTED_ENCODING,
            f"has text to cover in {n_bytes:,} bytes of {form.bits_allocated} bits a sample",
            "cover it by hand",
        )
    frames: list[NDArray[np.generic]] = []
    for index in range(picture.n_frames):
        values = reader.stored(index)
        if values.ndim == 3:
            # The one reading that knows each codec's colour space.
            values = reader.displayed(index)
        frames.append(_covered(values, boxes, is_inverted=picture.is_inverted))
    stored = np.stack(frames)
    if stored.ndim == 4:
        cleaned.PhotometricInterpretation, cleaned.PlanarConfiguration = "RGB", 0
        cleaned.SamplesPerPixel = 3
    cleaned.BitsAllocated = stored.dtype.itemsize * 8
    cleaned.PixelRepresentation = int(stored.dtype.kind == "i")
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        with suppress(AttributeError):
            delattr(cleaned, keyword)
    data = np.ascontiguousarray(stored, stored.dtype.newbyteorder("<")).tobytes()
    data += b"\x00" * (len(data) % 2)
    head = _written(cleaned, ExplicitVRLittleEndian, is_implicit=False, is_little=True)
    vr = b"OB" if stored.dtype.itemsize == 1 else b"OW"
    element = b"\xe0\x7f\x10\x00" + vr + b"\x00\x00" + len(data).to_bytes(4, "little")
    return head + element, iter((data,))


def _covered(
    values: NDArray[np.generic], boxes: tuple[Box, ...], *, is_inverted: bool
) -> NDArray[np.generic]:
    covered = values.copy()
    black = values.max() if is_inverted else values.min()
    for box in boxes:
        covered[box.top : box.bottom, box.left : box.right] = 0 if values.ndim == 3 else black
    return covered
