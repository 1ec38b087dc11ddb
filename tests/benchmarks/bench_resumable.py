"""A photograph sent in pieces (tus) beside the same sent in one request: what being able to go on costs."""

import hashlib
import http.client
import io
import json
import tempfile
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image

from tests.benchmarks.measuring import Figure, in_turn
from tests.journeys.process import Program, started
from tests.tiny_model import write_tiny_artifact

MEBIBYTE = 1024 * 1024
ROUNDS = 9
# A photograph of a phone, and a series that comes as one archive or enhanced object.
SIZES = {4: (MEBIBYTE, 4 * MEBIBYTE), 64: (4 * MEBIBYTE, 64 * MEBIBYTE)}
_TUS = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}


def measure() -> list[Figure]:
    """Send by both ways in turn, over one kept connection each, to a server of its own."""
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        write_tiny_artifact(models, name="derm-lesion", classes=("nv", "mel"))
        home = Path(folder) / "home"
        with started(
            *("serve", "--models", str(models)), home=home, log=Path(folder) / "log", FIRSTREAD_WORKERS="0"
        ) as program:
            for n_mebibytes, pieces in SIZES.items():
                figures += [_measured(program, n_mebibytes, n_bytes) for n_bytes in pieces]
    return figures


def _measured(program: Program, n_mebibytes: int, piece_bytes: int) -> Figure:
    numbers = count(piece_bytes)
    side = int((n_mebibytes * MEBIBYTE / 3) ** 0.5)
    noise = np.random.default_rng(n_mebibytes).integers(0, 255, (side, side, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "TIFF")
    picture = buffer.getvalue()
    port = int(program.address.rstrip("/").rpartition(":")[2])
    resumable, plain = (http.client.HTTPConnection("127.0.0.1", port, timeout=300) for _ in range(2))

    def different() -> bytes:
        return picture + next(numbers).to_bytes(8, "big") * 2  # behind the picture's end: another file

    def send_in_pieces() -> None:
        content = different()
        answer = _ask(
            resumable,
            "POST",
            "/api/v1/uploads",
            b"",
            headers={**_TUS, "Upload-Length": str(len(content))},
            status=201,
        )
        address = str(answer.headers["Location"])
        for start in range(0, len(content), piece_bytes):
            piece = content[start : start + piece_bytes]
            _ask(
                resumable, "PATCH", address, piece, headers={**_TUS, "Upload-Offset": str(start)}, status=204
            )
        view = json.loads(_ask(resumable, "GET", address, b"", headers={}, status=200).content)
        assert view["sha256"] == hashlib.sha256(content).hexdigest()
        assert view["state"] == "taken"

    def send_at_once() -> None:
        content = different()
        head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.tif"\r\n\r\n'
        kind = {"Content-Type": "multipart/form-data; boundary=b"}
        _ask(plain, "POST", "/api/v1/studies", head + content + b"\r\n--b--\r\n", headers=kind, status=201)
        hashlib.sha256(content).hexdigest()  # as the other way checks it

    pair = in_turn(send_in_pieces, send_at_once, rounds=ROUNDS)
    for connection in (resumable, plain):
        connection.close()
    ours, at_once = (n_mebibytes / one for one in (pair.ours_median_s, pair.peer_median_s))
    return Figure(
        f"upload of {n_mebibytes} MiB in pieces of {piece_bytes // MEBIBYTE} MiB, each flushed (tus)",
        f"{ours:.0f} MiB/s",
        f"one plain POST: {at_once:.0f} MiB/s; {pair.speed_up:.2f}x",
        ">= .5x of the plain POST",
        pair.speed_up >= 0.5,
    )


class _Answer:
    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.content = answer.read()
        self.headers = answer.headers
        self.status = answer.status


def _ask(
    line: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes,
    *,
    headers: dict[str, str],
    status: int,
) -> _Answer:
    line.request(method, path, body, headers)
    answer = _Answer(line.getresponse())
    assert answer.status == status, answer.content
    return answer
