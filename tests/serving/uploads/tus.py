"""A sender of the tus protocol in the tests' own words, one request at a time."""

import base64
import hashlib
import io
from dataclasses import dataclass

import numpy as np
from httpx2 import Response
from PIL import Image
from starlette.testclient import TestClient

VERSION = {"Tus-Resumable": "1.0.0"}
UPLOADS = "/api/v1/uploads"


def noisy_photograph(red: int, *, side: int = 160, seed: int = 0) -> bytes:
    """Make a photograph of some 20 KB: noise does not become smaller."""
    noise = np.random.default_rng(seed).integers(0, 60, (side, side, 3), np.uint8)
    noise[..., 0] += np.uint8(min(red, 195))
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG")
    return buffer.getvalue()


def encoded(**said: str) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in said.items())


def checksum_of(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"


@dataclass
class Tus:
    """A sender over a client."""

    client: TestClient

    def announce(self, n_bytes: int, **said: str) -> Response:
        headers = VERSION | {"Upload-Length": str(n_bytes), "Upload-Metadata": encoded(**said)}
        return self.client.post(UPLOADS, headers=headers)

    def address(self, n_bytes: int, **said: str) -> str:
        answer = self.announce(n_bytes, **said)
        assert answer.status_code == 201, answer.text
        return str(answer.headers["Location"])

    def patch(self, address: str, offset: int, data: bytes, **headers: str) -> Response:
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        kind = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(offset)}
        return self.client.patch(address, content=data, headers=VERSION | kind | said)

    def offset(self, address: str) -> int:
        answer = self.client.head(address, headers=VERSION)
        assert answer.status_code == 200, answer.headers
        return int(answer.headers["Upload-Offset"])

    def send(self, data: bytes, **said: str) -> str:
        """Send a file in one piece, and give its address."""
        address = self.address(len(data), **said)
        answer = self.patch(address, 0, data)
        assert answer.status_code == 204, answer.text
        return address

    def complete(self, batch: str, **said: object) -> Response:
        return self.client.post(f"{UPLOADS}/batches/{batch}/complete", json=said)
