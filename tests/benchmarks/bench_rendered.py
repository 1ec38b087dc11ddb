"""The first picture of a radiograph of 1760 x 1760, by HTTP, in each encoding that devices send.

Every request asks for a study that nobody has looked at, so nothing is at hand. Beside it, the bare cost:
the file read, decoded and windowed by pydicom, the JPEG made by Pillow.
"""

import http.client
import io
import statistics
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.pixels.processing import apply_windowing

from data.dicom.writing import Encoding, ObjectInfo, write_radiograph
from data.phantoms import chest_radiograph
from tests.benchmarks.listening import listening
from tests.benchmarks.measuring import Figure, seconds

SIDE_PX = 1760
N_STUDIES = 9
LIMIT_MS = 120
BOUNDARY = "bench"


def measure() -> list[Figure]:
    """Render the first frame of each study once."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with listening(folder / "service") as port:
            return [_measured(port, folder, encoding) for encoding in Encoding]


def _measured(port: int, folder: Path, encoding: Encoding) -> Figure:
    paths = [
        _radiograph(folder / f"{encoding}-{number}.dcm", number, encoding) for number in range(N_STUDIES)
    ]
    connection = http.client.HTTPConnection("127.0.0.1", port)
    addresses = [_address(connection, path) for path in paths]
    _get(connection, addresses[0])  # what a process does once
    ours_ms = 1000 * statistics.median(seconds(partial(_get, connection, one)) for one in addresses[1:])
    bare_ms = 1000 * statistics.median(seconds(partial(_bare, one)) for one in paths)
    return Figure(
        f"first picture of a radiograph of {SIDE_PX} x {SIDE_PX}, {encoding}, by HTTP",
        f"{ours_ms:.0f} ms",
        f"pydicom and Pillow, no HTTP: {bare_ms:.0f} ms",
        f"<= {LIMIT_MS} ms",
        ours_ms <= LIMIT_MS,
    )


def _radiograph(path: Path, number: int, encoding: Encoding) -> Path:
    seen: NDArray[np.uint8] = chest_radiograph(number, has_opacity=False, side_px=SIDE_PX)
    noise = np.random.default_rng(number).normal(0, 20, seen.shape)
    picture = np.clip(seen.astype(np.float64) * 16 + noise, 0, 4095).astype(np.uint16)
    write_radiograph(path, picture, info=ObjectInfo(f"{encoding} {number}", "BENCHMARK"), encoding=encoding)
    return path


def _address(connection: http.client.HTTPConnection, path: Path) -> str:
    head = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    kind = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
    body = head + path.read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode()
    connection.request("POST", "/dicom-web/studies", body, {"Content-Type": kind})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200, answer.status
    sent = pydicom.dcmread(path, stop_before_pixels=True)
    return (
        f"/dicom-web/studies/{sent.StudyInstanceUID}/series/{sent.SeriesInstanceUID}"
        f"/instances/{sent.SOPInstanceUID}/frames/1/rendered"
    )


def _get(connection: http.client.HTTPConnection, address: str) -> None:
    connection.request("GET", address, headers={"Accept": "image/jpeg"})
    answer = connection.getresponse()
    picture = answer.read()
    assert answer.status == 200, (answer.status, picture[:300])
    assert Image.open(io.BytesIO(picture)).size == (SIDE_PX, SIDE_PX)


def _bare(path: Path) -> None:
    dataset = pydicom.dcmread(path)
    shown = apply_windowing(dataset.pixel_array, dataset)
    low, high = float(shown.min()), float(shown.max())
    grey = ((shown - low) * (255 / (high - low))).astype(np.uint8)
    Image.fromarray(grey).save(io.BytesIO(), "JPEG", quality=90)
