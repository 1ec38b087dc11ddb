"""What is fuzzed: each takes bytes, and may raise nothing but the errors by which input is refused."""

import contextlib
import io
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from data.dicom.header import read_header
from data.errors import ImageError
from serving.dicomweb.related_upload import RelatedUpload
from serving.errors import ServiceError
from serving.intake.archive import MEBIBYTE, ArchiveLimits, unpack
from serving.intake.upload import Upload, UploadLimits
from serving.orders.acknowledgement import answers
from serving.orders.charset import decode
from serving.orders.framing import Framer, NoFrameError
from serving.orders.message import Message, parse
from serving.orders.message_orders import orders_told
from serving.orders.refusal import MessageRefusedError
from serving.store.times import from_us

_UPLOAD = UploadLimits(max_bytes=MEBIBYTE, max_files=20, min_free_bytes=0)
_ARCHIVE = ArchiveLimits(
    max_entries=50, max_bytes=4 * MEBIBYTE, max_ratio=20, ratio_from_bytes=MEBIBYTE, max_depth=2
)
_NOW = from_us(0)


@dataclass(frozen=True)
class Target:
    """A target, and inputs to begin with."""

    take: Callable[[bytes, Path], None]
    seeds: tuple[bytes, ...]


def take_multipart(data: bytes, folder: Path) -> None:
    """Feed an upload: the first byte says of which kind, and in pieces of how many bytes."""
    kind, n_bytes = (data[0] & 1, 1 + (data[0] >> 1)) if data else (0, 1)
    media = "multipart/related" if kind else "multipart/form-data"
    try:
        upload = (RelatedUpload if kind else Upload)(
            folder, content_type=f"{media}; boundary=b", limits=_UPLOAD
        )
    except ServiceError:
        return
    try:
        for start in range(1, len(data), n_bytes):
            upload.feed(data[start : start + n_bytes])
        upload.finish()
        assert all(item.path.parent == upload.folder for item in upload.files)
    except ServiceError:
        pass
    finally:
        upload.close()


def take_archive(data: bytes, folder: Path) -> None:
    """Unpack an archive; what comes out lies below the folder, and nothing does of one that is refused."""
    archive, scratch = folder / "sent.zip", folder / "scratch"
    archive.write_bytes(data)
    scratch.mkdir(exist_ok=True)
    try:
        unpacked = unpack(archive, scratch, name="sent.zip", limits=_ARCHIVE)
    except ImageError:
        assert not [path for path in scratch.rglob("*") if path.is_file()]
        return
    for member in unpacked.members:
        assert scratch in member.path.parents
        member.path.unlink(missing_ok=True)


def take_header(data: bytes, folder: Path) -> None:
    """Read a DICOM header."""
    path = folder / "a.dcm"
    path.write_bytes(data)
    try:
        header = read_header(path)
        header.text("PatientName")
        header.text("StudyDate")
    except ImageError:
        return


def take_message(data: bytes, folder: Path) -> None:
    """Find messages in a stream, read their orders, and answer each."""
    del folder
    found = [data]
    with contextlib.suppress(NoFrameError):
        found += list(Framer(64 * 1024).feed(data))
    for raw in found:
        message: Message | None = None
        refusal: MessageRefusedError | None = None
        try:
            message = parse(decode(raw))
            orders_told(message)
        except MessageRefusedError as error:
            refusal = error
        assert all(b"\x1c" not in answer for answer in answers(message, refusal, now=_NOW)) or b"\x1c" in raw


def _zipped(*members: tuple[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, member in members:
            bundle.writestr(name, member)
    return content.getvalue()


def _dicom() -> bytes:
    """Write a small file by hand: preamble, meta information, a name, a sequence, pixels."""

    def element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
        value += b"\0" * (len(value) % 2)
        head = struct.pack("<HH2s", group, number, vr)
        is_long = vr in {b"OB", b"OW", b"SQ", b"UT", b"UN"}
        return (
            head + (struct.pack("<HI", 0, len(value)) if is_long else struct.pack("<H", len(value))) + value
        )

    syntax = element(2, 0x10, b"UI", b"1.2.840.10008.1.2.1")
    meta = element(2, 0, b"UL", struct.pack("<I", len(syntax))) + syntax
    item = element(8, 0x100, b"SH", b"T-1")
    sequence = struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item
    body = element(8, 5, b"CS", b"ISO_IR 192") + element(8, 0x20, b"DA", b"20260101")
    body += element(8, 0x2218, b"SQ", sequence) + element(0x10, 0x10, b"PN", "Wang=王".encode())
    body += element(0x28, 0x10, b"US", b"\2\0") + element(0x7FE0, 0x10, b"OW", bytes(8))
    return bytes(128) + b"DICM" + meta + body


_FORM = (
    b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\nbytes\r\n'
    b'--b\r\nContent-Disposition: form-data; name="age"\r\n\r\n71\r\n--b--\r\n'
)
_RELATED = b"--b\r\nContent-Type: application/dicom\r\n\r\nbytes\r\n--b--\r\n"
_ORDER = (
    "MSH|^~\\&|RIS|HOSP|||20260101||ORM^O01|1|P|2.5|||AL|AL||UNICODE UTF-8\r"
    "PID|1||P1^^^HOSP^MR~77||王^小东^^^^^L^I||19800101|M\rORC|NW|PL1|||||^^^^^S\r"
    "OBR|1|PL1||CT^CT head|S||||||||a\\F\\b\\X41\\|||||ACC1|||||||||||||^cough\rNTE|1||x\r"
).encode()

TARGETS: Mapping[str, Target] = {
    "multipart": Target(
        take_multipart,
        (b"\xfe" + _FORM, b"\x06" + _FORM, b"\xff" + _RELATED, b"\x07" + _RELATED),
    ),
    "archive": Target(
        take_archive,
        (_zipped(("a.jpg", b"x" * 99)), _zipped(("b/c.zip", _zipped(("d.jpg", b"y"))), ("../e", b"z"))),
    ),
    "header": Target(take_header, (_dicom(),)),
    "hl7": Target(
        take_message,
        (_ORDER, b"\x0b" + _ORDER + b"\x1c\r", _ORDER.replace(b"UNICODE UTF-8", b"GBK")),
    ),
}
