"""Senders: each sends studies, sends them again, adds to them and asks for more haste, until it is stopped.

What is not acknowledged is sent again, the same bytes, until it is: that is the promise a sender relies on.
"""

import http.client
import json
import random
import threading
import time
from collections.abc import Sequence
from typing import Any

from tests.journeys.kills.ledger import Ledger
from tests.journeys.kills.material import Picture, dicom_image, photograph

# A request that is not answered by then is sent again.
_ANSWER_S = 20.0

# After this long without an acknowledgement something is broken for good.
PATIENCE_S = 120.0

_PRIORITIES = ("routine", "urgent", "stat")


class Client:
    """Talks to the service over one connection a request, as it may be gone at any moment.

    Parameters
    ----------
    port : int
        Where the service listens.
    host : str
        Its address.
    token : str
        Of its site; none is sent if it is empty.
    """

    def __init__(self, port: int, *, host: str = "127.0.0.1", token: str = "") -> None:
        self.port = port
        self.host = host
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=_ANSWER_S)
        try:
            connection.request("GET", path, headers=self._headers | headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def get_json(self, path: str) -> Any:  # noqa: ANN401 - whatever JSON says
        """Give the answer; None if there is none, or an error."""
        try:
            status, body = self.get(path)
        except (OSError, http.client.HTTPException):
            return None
        return json.loads(body) if status == 200 else None

    def post(self, pictures: Sequence[Picture], fields: dict[str, str], key: str | None) -> tuple[int, bytes]:
        boundary = "----a-boundary-of-no-file"
        parts: list[bytes] = []
        for name, value in fields.items():
            parts.append(
                f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            )
        for picture in pictures:
            head = f'Content-Disposition: form-data; name="files"; filename="{picture.name}"'
            parts += [f"--{boundary}\r\n{head}\r\n\r\n".encode(), picture.content, b"\r\n"]
        parts.append(f"--{boundary}--\r\n".encode())
        headers = self._headers | {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        connection = http.client.HTTPConnection(self.host, self.port, timeout=_ANSWER_S)
        try:
            connection.request("POST", "/api/v1/studies", b"".join(parts), headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def send(
    client: Client,
    ledger: Ledger,
    pictures: Sequence[Picture],
    *,
    priority: str = "routine",
    idempotency_key: str | None = None,
    chance: random.Random,
) -> list[str]:
    """Send until acknowledged; gives the studies' keys, none if the service refused or never answered."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            status, body = client.post(pictures, {"priority": priority}, idempotency_key)
        except (OSError, http.client.HTTPException) as error:
            ledger.retry(type(error).__name__)
        else:
            if status in {200, 201}:
                return ledger.acknowledge(pictures, json.loads(body), priority=priority)
            if status < 500:
                ledger.fault(f"{[one.name for one in pictures]} was refused with {status}: {body[:300]!r}")
                return []
            ledger.retry(f"status {status}")
        time.sleep(chance.uniform(0.05, 0.4))
    ledger.fault(f"{[one.name for one in pictures]} was not acknowledged within {PATIENCE_S:.0f} s")
    return []


class Sender(threading.Thread):
    """One sender with its own stream of chance.

    Of ten sendings about four bring a new photograph, two a new study of one to three DICOM images, one
    several photographs at once, and one each repeats one, adds to one, or asks for more haste.
    """

    def __init__(self, client: Client, ledger: Ledger, *, seed: int, number: int, pause_s: float) -> None:
        super().__init__(name=f"sender-{number}", daemon=True)
        self._client = client
        self._ledger = ledger
        self._seed = seed
        self._number = number
        self._pause_s = pause_s
        self._chance = random.Random(f"{seed}/{number}")
        self._stopping = threading.Event()
        self._n_sent = 0
        self._sent: list[tuple[Picture, ...]] = []
        self._dicom: dict[int, int] = {}

    def stop(self) -> None:
        """Send nothing new; what is being sent is sent to its acknowledgement."""
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.is_set():
            self._send_something()
            self._stopping.wait(self._chance.uniform(0, 2 * self._pause_s))

    def _send_something(self) -> None:
        self._n_sent += 1
        what = self._chance.choices(
            [self._photograph, self._study, self._several, self._repeat, self._addition, self._haste],
            [4, 2, 1, 1, 1, 1],
        )[0]
        what()

    def _photograph(self) -> None:
        self._send(photograph(self._seed, self._number, self._n_sent))

    def _several(self) -> None:
        self._send(*(photograph(self._seed, self._number, self._n_sent, n) for n in range(3)))

    def _study(self) -> None:
        n_images = self._chance.randint(1, 3)
        self._dicom[self._n_sent] = n_images
        self._send(*(self._image(self._n_sent, number) for number in range(1, n_images + 1)))

    def _addition(self) -> None:
        if not self._dicom:
            return self._study()
        study = self._chance.choice(list(self._dicom))
        self._dicom[study] += 1
        return self._send(self._image(study, self._dicom[study]))

    def _repeat(self) -> None:
        if not self._sent:
            return self._photograph()
        return self._send(*self._chance.choice(self._sent), is_new=False)

    def _haste(self) -> None:
        if not self._sent:
            return self._photograph()
        priority = self._chance.choice(_PRIORITIES[1:])
        return self._send(*self._chance.choice(self._sent), priority=priority, is_new=False)

    def _image(self, study: int, number: int) -> Picture:
        return dicom_image(self._seed, self._number, study, instance=number)

    def _send(self, *pictures: Picture, priority: str = "routine", is_new: bool = True) -> None:
        key = f"{self._seed}-{self._number}-{self._n_sent}" if self._chance.random() < 0.5 else None
        keys = send(
            self._client,
            self._ledger,
            pictures,
            priority=priority,
            idempotency_key=key,
            chance=self._chance,
        )
        if keys and is_new:
            self._sent.append(pictures)
