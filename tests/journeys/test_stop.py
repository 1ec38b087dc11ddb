"""SIGTERM while the service is at work: what was let in is finished, what was acknowledged is there."""

import http.client
import json
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.journeys.process import PATIENCE_S, Program, started
from tests.serving.service_in_process import photograph
from tests.tiny_model import write_tiny_artifact

BOUNDARY = "a-boundary-that-no-file-holds"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_artifact(folder, name="derm-lesion", classes=("nv", "mel"))
    return folder


def body_of(name: str, content: bytes) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    return head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


def begin(address: str, body: bytes) -> socket.socket:
    """Send the head of an upload and half of its body."""
    parts = urlsplit(address)
    connection = socket.create_connection((str(parts.hostname), parts.port or 80), timeout=PATIENCE_S)
    head = (
        "POST /api/v1/studies HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body[: len(body) // 2])
    return connection


def answer_of(connection: socket.socket) -> tuple[int, object]:
    with http.client.HTTPResponse(connection) as response:
        response.begin()
        return response.status, json.loads(response.read())


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.02)
    raise TimeoutError(what)


def refuses(address: str) -> bool:
    parts = urlsplit(address)
    try:
        socket.create_connection((str(parts.hostname), parts.port or 80), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def ids_after_restart(home: Path, models: Path, log: Path) -> set[str]:
    with started("serve", "--models", str(models), home=home, log=log) as program:
        entries = program.get("/api/v1/worklist?limit=200")["entries"]
        for entry in entries:
            assert program.get(entry["url"])["images"]
        return {entry["id"] for entry in entries}


def test_uploads_under_way_at_a_sigterm_are_finished_and_acknowledged(tmp_path: Path, models: Path) -> None:
    home = tmp_path / "home"
    spool = home / "spool"
    with started("serve", "--models", str(models), home=home, log=tmp_path / "log1") as program:
        bodies = [body_of(f"{red}.jpg", photograph(red)) for red in (10, 90, 200)]
        connections = [begin(program.address, body) for body in bodies]
        idle = socket.create_connection(connections[0].getpeername(), timeout=PATIENCE_S)
        wait_for(lambda: sum(path.is_dir() for path in spool.iterdir()) >= 3, "the uploads did not begin")

        program.process.send_signal(signal.SIGTERM)

        wait_for(lambda: refuses(program.address), "somebody is still let in")
        assert idle.recv(1) == b""  # a connection without a request is closed at once
        for connection, body in zip(connections, bodies, strict=True):
            connection.sendall(body[len(body) // 2 :])
        answers = [answer_of(connection) for connection in connections]
        for connection in (*connections, idle):
            connection.close()
        assert [status for status, _ in answers] == [201, 201, 201]
        assert program.process.wait(PATIENCE_S) == 0
        assert "Traceback" not in program.log.read_text(encoding="utf-8")
    sent = {answer["studies"][0]["id"] for _, answer in answers if isinstance(answer, dict)}
    assert ids_after_restart(home, models, tmp_path / "log2") == sent


def test_an_upload_that_never_ends_does_not_keep_the_service_from_stopping(
    tmp_path: Path, models: Path
) -> None:
    home = tmp_path / "home"
    with started(
        "serve",
        "--models",
        str(models),
        home=home,
        log=tmp_path / "log1",
        FIRSTREAD_SECONDS_TO_STOP="1",
    ) as program:
        connection = begin(program.address, body_of("a.jpg", photograph(10)))
        wait_for(
            lambda: any(path.is_dir() for path in (home / "spool").iterdir()), "the upload did not begin"
        )
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(PATIENCE_S) == 0
        received = b""
        try:
            while chunk := connection.recv(65536):
                received += chunk
        except ConnectionResetError:
            pass
        connection.close()
        assert b" 201 " not in received
        assert "Traceback" not in program.log.read_text(encoding="utf-8")
    assert ids_after_restart(home, models, tmp_path / "log2") == set()


def test_nothing_acknowledged_under_load_is_lost_by_a_sigterm(tmp_path: Path, models: Path) -> None:
    home = tmp_path / "home"
    acknowledged: set[str] = set()
    n_cut: list[int] = []
    with started("serve", "--models", str(models), home=home, log=tmp_path / "log1") as program:
        is_over = threading.Event()

        def send_on_and_on(sender: int) -> None:
            number = 0
            while not is_over.is_set():
                number += 1
                sent, cut = _send(program, photograph(sender * 60, blue=number % 250))
                acknowledged.update(sent)
                if cut:
                    n_cut.append(cut)
                    return

        with ThreadPoolExecutor(4) as senders:
            for sender in range(4):
                senders.submit(send_on_and_on, sender)
            wait_for(lambda: len(acknowledged) >= 20, "nothing was sent")
            program.process.send_signal(signal.SIGTERM)
            assert program.process.wait(PATIENCE_S) == 0
            is_over.set()
        assert n_cut == [1] * 4  # each was refused a connection in the end; nobody was cut in an answer
    kept = ids_after_restart(home, models, tmp_path / "log2")
    assert acknowledged <= kept
    assert len(kept - acknowledged) == 0  # every request that was let in got its answer


def _send(program: Program, content: bytes) -> tuple[set[str], int]:
    """Send one photograph by itself: gives the studies acknowledged, and 1 if it was not let in."""
    parts = urlsplit(program.address)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=PATIENCE_S)
    try:
        connection.connect()
    except ConnectionRefusedError:
        return set(), 1
    try:
        connection.request(
            "POST",
            "/api/v1/studies",
            body=body_of("a.jpg", content),
            headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
        )
        answer = connection.getresponse()
        document = json.loads(answer.read())
        assert answer.status in {200, 201}, document
        return {study["id"] for study in document["studies"]}, 0
    except (ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected):
        # The system took the connection and the service, which was told to stop, had not yet.
        return set(), 1
    finally:
        connection.close()
