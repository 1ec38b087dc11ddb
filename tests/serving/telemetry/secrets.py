"""Studies full of what must never be in a log, whole ones and broken ones; each value occurs nowhere else."""

import io
import struct
import zipfile
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

SECRETS = (
    "张三丰",
    "欧阳娜娜",
    "Zhangsanfeng",
    "Schlagintweit",
    "MRN8675309",
    "19330817",
    "1933-08-17",
    "ACC4242777",
    "Müllerstraße",
    "Verdacht auf Melanom",
    "左肩黑痣增大",
    "geheimer-befund",
    "秘密照片",
    "1.2.826.0.1.3680043.8.498.777",
    "HospitalOfSecrets",
    "Dr^Verschwiegen",
    "nonsense-value-of-a-header",
    "artist-of-the-exif",
)


@dataclass(frozen=True)
class Sent:
    """One upload."""

    files: tuple[tuple[str, bytes], ...]
    fields: dict[str, str] = field(default_factory=dict)


def uploads() -> list[Sent]:
    """Give uploads of which some are taken, some refused, and some fail on the way."""
    whole = dicom(1)
    broken: list[tuple[str, bytes]] = [
        ("geheimer-befund-cut.dcm", whole[: len(whole) // 2]),
        ("秘密照片-header.dcm", whole[:200]),
        ("geheimer-befund-slope.dcm", dicom(2, slope=b"nonsense-value-of-a-header")),
        ("geheimer-befund-window.dcm", dicom(3, window=b"Zhangsanfeng\\Schlagintweit")),
        ("geheimer-befund-date.dcm", dicom(4, birth_date=b"1933-08-17 MRN8675309")),
        ("geheimer-befund-charset.dcm", dicom(5, character_set=b"nonsense-value-of-a-header")),
        ("geheimer-befund-frames.dcm", dicom(6, n_frames=b"nonsense-value-of-a-header")),
        ("geheimer-befund-pixels.dcm", dicom(7, n_pixels=7)),
        ("geheimer-befund-uid.dcm", dicom(8, uid=b"1.2.826.0.1.3680043.8.498.777.not/a/uid")),
        ("geheimer-befund-age.dcm", dicom(9, age=b"MRN8675309")),
        ("geheimer-befund-jpeg.dcm", dicom(10, syntax=JPEGBaseline8Bit)),
        ("geheimer-befund-jpeg2000.dcm", dicom(11, syntax=JPEG2000Lossless)),
        ("geheimer-befund-rle.dcm", dicom(12, syntax=RLELossless)),
        ("秘密照片.jpg", photograph()[:300]),
        ("秘密照片.tif", b"II*\0" + "张三丰".encode() * 40),
        ("秘密照片.zip", zipped({"geheimer-befund/张三丰.jpg": photograph()})[:-30]),
    ]
    fields = {
        "clinical_question": "Verdacht auf Melanom 左肩黑痣增大",
        "body_site": "Müllerstraße",
        "age": "70",
    }
    return [
        Sent((("geheimer-befund.dcm", whole),), fields),
        Sent(
            (
                ("秘密照片.jpg", photograph()),
                ("秘密照片.zip", zipped({"张三丰/欧阳娜娜.jpg": photograph(2)})),
            ),
            fields,
        ),
        *(Sent((one,), fields) for one in broken),
        Sent(tuple(broken)),
        Sent((("秘密照片.jpg", photograph(3)),), {"age": "MRN8675309"}),
        Sent((("秘密照片.jpg", photograph(3)),), {"Schlagintweit": "Zhangsanfeng"}),
        Sent((("秘密照片.jpg", photograph(3)),), {"sex": "张三丰"}),
    ]


def addresses() -> list[str]:
    """Give paths that somebody may ask for."""
    return [
        "/api/v1/studies/%E5%BC%A0%E4%B8%89%E4%B8%B0",
        "/api/v1/studies/MRN8675309/instances/1.2.826.0.1.3680043.8.498.777/frames/1/rendered",
        "/api/v1/worklist?limit=MRN8675309",
        "/api/v1/worklist?cursor=Zhangsanfeng",
        "/Schlagintweit?name=Zhangsanfeng",
        "/assets/geheimer-befund",
    ]


def photograph(red: int = 1) -> bytes:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[..., 0] = red * 40
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x013B] = "artist-of-the-exif"
    exif[0x010E] = "Zhangsanfeng"
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif, comment=b"HospitalOfSecrets")
    return buffer.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        for name, content in members.items():
            bundle.writestr(name, content)
    return buffer.getvalue()


def dicom(
    number: int,
    *,
    slope: bytes = b"1",
    window: bytes = b"128",
    birth_date: bytes = b"19330817",
    character_set: bytes = b"GB18030",
    n_frames: bytes = b"1",
    n_pixels: int = 64 * 64,
    uid: bytes = b"1.2.826.0.1.3680043.8.498.777",
    age: bytes = b"070Y",
    syntax: str = ExplicitVRLittleEndian,
) -> bytes:
    """Write a radiograph whose elements hold the very bytes that are given."""
    uid_here = uid + f".{number}".encode()
    elements: list[tuple[int, str, bytes]] = [
        (0x00080005, "CS", character_set),
        (0x00080016, "UI", ComputedRadiographyImageStorage.encode()),
        (0x00080018, "UI", uid_here + b".1"),
        (0x00080020, "DA", b"20260101"),
        (0x00080050, "SH", b"ACC4242777"),
        (0x00080060, "CS", b"CR"),
        (0x00080080, "LO", b"HospitalOfSecrets"),
        (0x00080081, "ST", "Müllerstraße".encode("gb18030")),
        (0x00080090, "PN", b"Dr^Verschwiegen"),
        (0x00081030, "LO", "左肩黑痣增大".encode("gb18030")),
        (0x00100010, "PN", "Zhangsanfeng^=张三丰^=欧阳娜娜".encode("gb18030")),
        (0x00100020, "LO", b"MRN8675309"),
        (0x00100030, "DA", birth_date),
        (0x00100040, "CS", b"M"),
        (0x00101010, "AS", age),
        (0x0020000D, "UI", uid_here),
        (0x0020000E, "UI", uid_here + b".2"),
        (0x00200013, "IS", b"1"),
        (0x00280002, "US", b"\x01\x00"),
        (0x00280004, "CS", b"MONOCHROME2"),
        (0x00280008, "IS", n_frames),
        (0x00280010, "US", b"\x40\x00"),
        (0x00280011, "US", b"\x40\x00"),
        (0x00280100, "US", b"\x08\x00"),
        (0x00280101, "US", b"\x08\x00"),
        (0x00280102, "US", b"\x07\x00"),
        (0x00280103, "US", b"\x00\x00"),
        (0x00281050, "DS", window),
        (0x00281051, "DS", window),
        (0x00281052, "DS", b"0"),
        (0x00281053, "DS", slope),
    ]
    pixels = bytes(number % 251 for _ in range(n_pixels))
    body = b"".join(_element(*one) for one in elements)
    meta = b"".join(
        _element(tag, "UI", value)
        for tag, value in (
            (0x00020002, ComputedRadiographyImageStorage.encode()),
            (0x00020003, b"1.2.3"),
            (0x00020010, syntax.encode()),
        )
    )
    return (
        bytes(128)
        + b"DICM"
        + _element(0x00020000, "UL", struct.pack("<I", len(meta)))
        + meta
        + body
        + _pixels(pixels, syntax)
    )


def _pixels(pixels: bytes, syntax: str) -> bytes:
    if syntax == ExplicitVRLittleEndian:
        return _element(0x7FE00010, "OB", pixels)
    head = struct.pack("<HH", 0x7FE0, 0x0010) + b"OB" + struct.pack("<HI", 0, 0xFFFFFFFF)
    items = (b"", b"\xff\xd8 Zhangsanfeng MRN8675309 no picture " + pixels)  # an empty table of offsets first
    return (
        head
        + b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(one)) + one for one in items)
        + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    )


def _element(tag: int, vr: str, value: bytes) -> bytes:
    padded = value + (b"\0" if vr in {"UI", "OB"} else b" ") * (len(value) % 2)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    length = struct.pack("<HI", 0, len(padded)) if vr == "OB" else struct.pack("<H", len(padded))
    return head + length + padded


def found_in(text: str) -> list[str]:
    """Give the secrets that a text holds, in whatever spelling a log may have."""
    spelled = {secret: {secret, ascii(secret)[1:-1], repr(secret.encode())[2:-1]} for secret in SECRETS}
    return [secret for secret, forms in spelled.items() if any(form in text for form in forms)]
