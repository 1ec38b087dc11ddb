"""What the tests of DICOMweb send: a small CT and a photograph, and how their answers are taken apart."""

from collections.abc import Sequence
from datetime import UTC, datetime
from email import message_from_bytes
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from data.dicom.writing import ObjectInfo, uid_of, write_ct_series
from tests.serving.service_in_process import Service

BASE = "/dicom-web"
STUDY, SERIES = uid_of("ct", "study"), uid_of("ct", "series", "CT", 1)
INSTANCE = uid_of("ct", "instance", "CT", 1, 1)
PATH = f"{BASE}/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}"


def ct(folder: Path, *, n_slices: int = 3, seed: str = "ct", **facts: object) -> tuple[Path, ...]:
    """Write a CT of 32 x 24 pixels whose values say slice, row and column."""
    row, column = np.mgrid[0:32, 0:24]
    slices = np.stack([number * 100 + row - column - 500 for number in range(n_slices)]).astype(np.int16)
    info = ObjectInfo(
        seed,
        "TEST",
        patient_id="P1",
        patient_name="Wang^Fang=王^芳",
        performed_at=datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
        **facts,  # type: ignore[arg-type]  # fields of ObjectInfo
    )
    return write_ct_series(folder, slices, info=info, spacing_mm=(1.0, 1.0), thickness_mm=5.0)


def photograph(*, size: tuple[int, int] = (64, 48), **options: object) -> bytes:
    """Give a JPEG of a gradient."""
    x = np.linspace(0, 255, size[0], dtype=np.uint8)
    pixels = np.broadcast_to(x[None, :, None], (size[1], size[0], 3)).copy()
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()


def upload(service: Service, files: Sequence[tuple[str, bytes]], **fields: str) -> list[dict[str, object]]:
    """Send files by the service's own interface."""
    answer = service.client.post(
        "/api/v1/studies", files=[("files", (name, content)) for name, content in files], data=fields
    )
    assert answer.status_code in {200, 201}, answer.text
    studies: list[dict[str, object]] = answer.json()["studies"]
    return studies


def send_ct(service: Service, folder: Path, **options: object) -> tuple[Path, ...]:
    paths = ct(folder, **options)  # type: ignore[arg-type]  # those of `ct`
    upload(service, [(path.name, path.read_bytes()) for path in paths])
    return paths


def parts_of(content_type: str, body: bytes) -> list[tuple[str, bytes]]:
    """Take a multipart message apart by another parser than ours: media type and bytes of each part."""
    message = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    boundary = message.get_boundary()
    assert boundary is not None
    pieces = body.split(b"--" + boundary.encode())
    assert pieces[-1].strip() == b"--"
    parts: list[tuple[str, bytes]] = []
    for piece in pieces[1:-1]:
        head, _, content = piece.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().strip().split("\r\n"))
        parts.append((headers["Content-Type"], content.removesuffix(b"\r\n")))
    return parts
