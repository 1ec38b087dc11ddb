"""Senders that lie about lengths and boundaries, at both doors of images: each is told, none waited for."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.journeys.kills.material import photograph
from tests.journeys.process import Program, started
from tests.journeys.wire import connected, exchange

FORM, RELATED = "/api/v1/studies", "/dicom-web/studies"
PICTURE = photograph(5, 1).content
MEBIBYTE = 1024 * 1024

# What a service may grow by under 200 senders of 256 KiB and all the lies: 800 connections may hold a
# megabyte each, and most of this is the interpreter's threads.
MOST_GROWTH_BYTES = 400 * MEBIBYTE


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("service")
    with started(
        "serve", "--workers", "0", home=folder / "home", log=folder / "log", FIRSTREAD_MAX_UPLOAD_S="4"
    ) as running:
        yield running


def port_of(program: Program) -> int:
    return int(program.address.rstrip("/").rpartition(":")[2])


def part(path: str, content: bytes, boundary: bytes = b"b") -> bytes:
    head = (
        b'Content-Disposition: form-data; name="files"; filename="a.png"'
        if path == FORM
        else b"Content-Type: application/dicom"
    )
    return b"--" + boundary + b"\r\n" + head + b"\r\n\r\n" + content + b"\r\n"


def request(
    path: str, body: bytes, *, boundary: str | None = "b", lengths: tuple[str, ...] | None = None
) -> bytes:
    media = "multipart/form-data" if path == FORM else 'multipart/related; type="application/dicom"'
    named = media if boundary is None else f"{media}; boundary={boundary}"
    given = (str(len(body)),) if lengths is None else lengths
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Type: {named}", "Connection: close"]
    lines += [f"Content-Length: {length}" for length in given]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


END = b"--b--\r\n"
LONG = "x" * 71


def tricks(path: str, content: bytes) -> dict[str, bytes]:
    whole = part(path, content) + END
    return {
        "no boundary": request(path, whole, boundary=None),
        "an empty boundary": request(path, whole, boundary='""'),
        "a long boundary": request(
            path, part(path, content, LONG.encode()) + f"--{LONG}--\r\n".encode(), boundary=LONG
        ),
        "a quoted boundary": request(path, part(path, content, b"a b") + b"--a b--\r\n", boundary='"a b"'),
        "a boundary that never comes": request(path, whole, boundary="c"),
        "the boundary inside the content": request(
            path, part(path, content + b"\r\n--b" + b"\r\n\r\nmore") + END
        ),
        "nearly the boundary inside the content": request(path, part(path, content + b"\r\n--a\r\n--") + END),
        "a message within a part": request(
            path, b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n" + END
        ),
        "a preamble and an epilogue": request(path, b"preamble\r\n" + whole + b"epilogue"),
        "no end": request(path, part(path, content)),
        "headers without an end": request(path, b"--b\r\n" + b"X: y\r\n" * 20_000),
        "an endless header": request(path, b"--b\r\nX: " + b"y" * 200_000),
        "a length that is negative": request(path, whole, lengths=("-1",)),
        "a length that is no number": request(path, whole, lengths=("many",)),
        "two lengths": request(path, whole, lengths=(str(len(whole)), "5")),
        "a length that is too short": request(path, whole, lengths=(str(len(whole) // 2),)),
        "a length of petabytes": request(path, whole, lengths=("9" * 15,)),
        "a length beyond any": request(path, whole, lengths=("9" * 400,)),
    }


@pytest.mark.parametrize("path", [FORM, RELATED])
@pytest.mark.parametrize("name", tricks(FORM, b""))
def test_a_trick_is_told_what_is_wrong_or_taken_for_what_it_is(
    program: Program, path: str, name: str
) -> None:
    status, body = exchange(port_of(program), tricks(path, PICTURE)[name])
    assert status in {200, 201, 400, 409, 413, 415, 422, 507}, body[:300]
    if status >= 400 and body.startswith(b"{") and path == FORM:
        problem = json.loads(body)
        assert problem["status"] == status
        assert problem["code"]
    assert program.get("/healthz")
    assert "Traceback" not in program.log.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", [FORM, RELATED])
def test_a_length_that_is_too_long_ends_with_the_time_for_an_upload(program: Program, path: str) -> None:
    whole = part(path, PICTURE) + END
    status, body = exchange(port_of(program), request(path, whole, lengths=(str(len(whole) + 1000),)))
    assert (status, json.loads(body)["code"]) == (408, "upload-too-slow")


@pytest.mark.parametrize("path", [FORM, RELATED])
def test_a_connection_that_is_cut_in_mid_part_leaves_nothing(program: Program, path: str) -> None:
    whole = request(path, part(path, PICTURE) + END)
    for n_bytes in range(1, len(whole), max(1, len(whole) // 12)):
        with connected(port_of(program)) as line:
            line.sendall(whole[:n_bytes])
    assert program.get("/healthz")
    assert "Traceback" not in program.log.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", [FORM, RELATED])
def test_two_hundred_senders_of_rubbish_are_each_told_and_memory_stays_bounded(
    program: Program, path: str
) -> None:
    process = psutil.Process(program.process.pid)
    before = process.memory_info().rss
    together = threading.Barrier(200)
    sent = request(path, part(path, b"\x00rubbish" * (256 * 1024 // 8)) + END)

    def send(_number: int) -> int:
        together.wait()
        return exchange(port_of(program), sent)[0]

    with ThreadPoolExecutor(200) as senders:
        statuses = list(senders.map(send, range(200)))
    assert set(statuses) <= {409, 415, 422, 429, 503}
    assert process.memory_info().rss - before < MOST_GROWTH_BYTES
    assert program.get("/healthz")
    assert "Traceback" not in program.log.read_text(encoding="utf-8")
