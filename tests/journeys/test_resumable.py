"""Resumable uploads over real connections: a client from elsewhere, cut lines, a server that is killed."""

import hashlib
import io
import json
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import numpy as np
import pytest
from PIL import Image
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError

from tests.journeys.process import PATIENCE_S, Program, started
from tests.tiny_model import write_tiny_artifact

MEBIBYTE = 1024 * 1024


def _picture(n_mebibytes: int, seed: int = 0) -> bytes:
    side = int((n_mebibytes * MEBIBYTE / 3) ** 0.5)
    noise = np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "TIFF")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_artifact(folder, name="derm-lesion", classes=("nv", "mel"))
    return folder


@pytest.fixture(scope="module")
def program(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    home = tmp_path_factory.mktemp("home")
    with started("serve", "--models", str(models), home=home, log=home / "log") as running:
        yield running


def _client(program: Program) -> TusClient:
    return TusClient(urljoin(program.address, "api/v1/uploads"))


def _at(program: Program, url: str) -> str:
    """Give an upload's address at a server, whichever it was announced to."""
    return urljoin(program.address, "/api/v1/uploads/" + url.rpartition("/")[2])


def _view(program: Program, url: str) -> Any:  # noqa: ANN401 - whatever JSON says
    return program.get("/api/v1/uploads/" + url.rpartition("/")[2])


def _line(program: Program, url: str, offset: int, declared: int) -> socket.socket:
    """Open a connection and send the head of a PATCH."""
    port = int(program.address.rstrip("/").rpartition(":")[2])
    line = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    line.sendall(
        f"PATCH /api/v1/uploads/{url.rpartition('/')[2]} HTTP/1.1\r\n"
        "Host: localhost\r\nTus-Resumable: 1.0.0\r\n"
        f"Upload-Offset: {offset}\r\nContent-Type: application/offset+octet-stream\r\n"
        f"Content-Length: {declared}\r\n\r\n".encode("ascii")
    )
    return line


def _status(line: socket.socket) -> int:
    return int(line.makefile("rb").readline().split()[1])


def _wait_for_offset(program: Program, url: str, at_least: int) -> int:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        offset = int(_view(program, url)["offset"])
        if offset >= at_least:
            return offset
        time.sleep(0.02)
    raise TimeoutError(f"{url} is not at {at_least}")


def test_a_client_from_elsewhere_goes_on_behind_a_line_that_was_cut(program: Program) -> None:
    picture = _picture(3)
    sender = _client(program).uploader(
        file_stream=io.BytesIO(picture), chunk_size=MEBIBYTE, metadata={"filename": "痣.tif", "age": "61"}
    )
    sender.upload_chunk()
    address = str(sender.url)
    with _line(program, address, MEBIBYTE, MEBIBYTE) as line:
        line.sendall(picture[MEBIBYTE : MEBIBYTE + 300_000])
    _wait_for_offset(program, address, MEBIBYTE + 1)

    # as after a reload: nothing is known but the address
    again = _client(program).uploader(file_stream=io.BytesIO(picture), url=address, chunk_size=MEBIBYTE)
    assert MEBIBYTE < again.offset <= MEBIBYTE + 300_000
    again.upload()

    view = _view(program, address)
    assert (view["state"], view["name"]) == ("taken", "痣.tif")
    assert view["sha256"] == hashlib.sha256(picture).hexdigest()
    (study,) = view["answer"]["studies"]
    detail = program.get(study["url"])
    assert (detail["age"], detail["images"][0]["sha256"]) == (61, view["sha256"])


def test_its_checksums_are_believed_and_its_empty_retries_end(program: Program) -> None:
    picture = _picture(1, seed=5)
    sender = _client(program).uploader(
        file_stream=io.BytesIO(picture),
        chunk_size=300_000,
        upload_checksum=True,
        metadata={"filename": "a.tif"},
    )
    sender.upload()
    assert _view(program, str(sender.url))["sha256"] == hashlib.sha256(picture).hexdigest()
    with pytest.raises(TusCommunicationError):
        _client(program).uploader(file_stream=io.BytesIO(picture), url=_at(program, "0" * 32))


def test_files_of_a_batch_are_one_upload_once_their_sender_says_so(program: Program) -> None:
    pictures = {f"disc/{number}.tif": _picture(1, seed=10 + number) for number in range(3)}
    for name, content in pictures.items():
        _client(program).uploader(
            file_stream=io.BytesIO(content),
            chunk_size=500_000,
            metadata={"relativePath": name, "batch": "visit-7", "sex": "F"},
        ).upload()
    request = urllib.request.Request(
        urljoin(program.address, "api/v1/uploads/batches/visit-7/complete"),
        data=json.dumps({"files": 3, "context": {"duration": "1-to-6-months", "change": ["grew"]}}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        done = json.loads(answer.read())
    assert [study["files"] for study in done["studies"]] == [[name] for name in pictures]
    details = [program.get(study["url"]) for study in done["studies"]]
    assert {(one["sex"], one["duration"], tuple(one["change"])) for one in details} == {
        ("F", "1-to-6-months", ("grew",))
    }


@pytest.mark.parametrize("n_mebibytes", [20])
def test_a_server_that_is_killed_in_mid_upload_goes_on_where_it_was(
    tmp_path: Path, models: Path, n_mebibytes: int
) -> None:
    picture = _picture(n_mebibytes, seed=7)
    home = tmp_path / "home"
    with started("serve", "--models", str(models), home=home, log=tmp_path / "log") as program:
        sender = _client(program).uploader(
            file_stream=io.BytesIO(picture), chunk_size=MEBIBYTE, metadata={"filename": "mole.tif"}
        )
        sender.upload_chunk()
        url = str(sender.url)
        with _line(program, url, MEBIBYTE, len(picture) - MEBIBYTE) as line:
            line.sendall(picture[MEBIBYTE : 12 * MEBIBYTE])
            told = _wait_for_offset(program, url, 9 * MEBIBYTE)
            program.process.kill()
            program.process.wait()

    with started("serve", "--models", str(models), home=home, log=tmp_path / "log2") as program:
        again = _client(program).uploader(
            file_stream=io.BytesIO(picture), url=_at(program, url), chunk_size=4 * MEBIBYTE
        )
        assert again.offset == told  # nothing that was told is lost
        again.upload()
        view = _view(program, url)
        assert (view["state"], view["sha256"]) == ("taken", hashlib.sha256(picture).hexdigest())
        (study,) = view["answer"]["studies"]
        assert program.get(study["url"])["images"][0]["sha256"] == view["sha256"]
        assert [path.name for path in (home / "uploads").iterdir() if path.suffix != ".lock"] == []
        assert "Traceback" not in program.log.read_text(encoding="utf-8")


def test_a_server_that_is_killed_while_a_batch_is_taken_takes_it_once(tmp_path: Path, models: Path) -> None:
    pictures = [_picture(1, seed=40 + number) for number in range(4)]
    home = tmp_path / "home"
    with started("serve", "--models", str(models), home=home, log=tmp_path / "log") as program:
        for number, content in enumerate(pictures):
            metadata = {"filename": f"{number}.tif", "batch": "visit"}
            _client(program).uploader(file_stream=io.BytesIO(content), metadata=metadata).upload()
        port = int(program.address.rstrip("/").rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as line:
            line.sendall(
                b"POST /api/v1/uploads/batches/visit/complete HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Length: 0\r\n\r\n"
            )
            while program.get("/api/v1/uploads/batches/visit")["state"] == "open":
                time.sleep(0.005)
            program.process.kill()
            program.process.wait()

    with started("serve", "--models", str(models), home=home, log=tmp_path / "log2") as program:
        # its sender said that it is whole: nobody has to say so again
        deadline = time.monotonic() + PATIENCE_S
        while (view := program.get("/api/v1/uploads/batches/visit"))["state"] != "taken":
            assert time.monotonic() < deadline, view
            time.sleep(0.1)
        assert [study["files"] for study in view["answer"]["studies"]] == [[f"{n}.tif"] for n in range(4)]
        assert program.get("/api/v1/worklist")["waiting"] == 4
        hashes = {program.get(one["url"])["images"][0]["sha256"] for one in view["answer"]["studies"]}
        assert hashes == {hashlib.sha256(content).hexdigest() for content in pictures}


def test_of_two_at_once_one_wins_and_the_other_is_told_to_come_again(program: Program) -> None:
    picture = _picture(1, seed=20)
    url = _client(program).uploader(file_stream=io.BytesIO(picture)).create_url()
    half = len(picture) // 2
    with _line(program, url, 0, len(picture)) as first, _line(program, url, 0, len(picture)) as second:
        first.sendall(picture[:half])
        second.sendall(picture[:half])
        first.settimeout(1.0)
        try:
            refused, winner = _status(first), second
        except TimeoutError:
            second.settimeout(PATIENCE_S)
            refused, winner = _status(second), first
        assert refused == 423
        winner.settimeout(PATIENCE_S)
        winner.sendall(picture[half:])
        assert _status(winner) == 204
    assert _view(program, url)["sha256"] == hashlib.sha256(picture).hexdigest()


def test_a_length_that_is_wrong_breaks_nothing(program: Program) -> None:
    picture = _picture(1, seed=30)
    url = _client(program).uploader(file_stream=io.BytesIO(picture)).create_url()
    with _line(program, url, 0, 5000) as longer:
        longer.sendall(picture[:9000])  # what is behind the length is no request
        assert _status(longer) == 204
    assert _view(program, url)["offset"] == 5000
    with _line(program, url, 5000, len(picture)) as beyond:
        assert _status(beyond) == 413
    with _line(program, url, 5000, 9000) as shorter:
        shorter.sendall(picture[5000:7000])
    # what the server had not read when the line ended may be lost, and may not be told
    assert 5000 <= _view(program, url)["offset"] <= 7000
    _client(program).uploader(file_stream=io.BytesIO(picture), url=url, retries=20, retry_delay=1).upload()
    assert _view(program, url)["sha256"] == hashlib.sha256(picture).hexdigest()
    assert "Traceback" not in program.log.read_text(encoding="utf-8")
