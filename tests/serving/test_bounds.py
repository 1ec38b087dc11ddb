"""What no request may exceed, on every route; and what every answer carries."""

import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
import uvicorn
from fastapi import FastAPI
from httpx2 import Response
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.app import Manners
from serving.audit.trail import AuditTrail
from serving.bodies import Bounds, RequestLimits
from serving.hosting.connections import BoundedProtocol
from serving.identity.caller import Caller, local_caller
from serving.identity.gate import Gate
from serving.identity.refusals import Refusals
from serving.throttling import Buckets, Throttle, key_of_address
from tests.serving.service_in_process import Service, in_process, photograph

LIMITS = RequestLimits(body_bytes=1024, address_bytes=512, header_bytes=2048, n_headers=20, body_s=0.2)

STREAMED = {
    ("POST", "/api/v1/studies"),
    ("POST", "/send"),
    ("POST", "/dicom-web/studies"),
    ("POST", "/dicom-web/studies/1"),
    ("POST", "/api/v1/uploads"),
    ("PATCH", "/api/v1/uploads/1"),
}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with in_process(tmp_path, manners=Manners(limits=LIMITS)) as service:
        yield service


def code_of(answer: Response) -> str:
    """Give the code of a refusal: of a problem document, or of FHIR's own."""
    body = answer.json()
    found = body["issue"][0]["details"]["coding"][0] if "issue" in body else body
    return str(found["code"])


def routes_of(service: Service) -> list[tuple[str, str]]:
    """Give every method and path of the application, with something in place of its parameters."""
    app = service.client.app
    assert isinstance(app, FastAPI)
    document = app.openapi()
    described = [(method.upper(), path) for path, methods in document["paths"].items() for method in methods]
    pages = [
        ("GET", "/"),
        ("GET", "/send"),
        ("POST", "/send"),
        ("GET", "/studies/{study}"),
        ("GET", "/assets/pages.css"),
    ]
    filled = [
        (method, "/".join("1" if part.startswith("{") else part for part in path.split("/")))
        for method, path in [*described, *pages]
    ]
    assert len(filled) > 10
    return filled


def test_every_route_refuses_a_long_address_many_headers_and_a_large_body(service: Service) -> None:
    for method, path in routes_of(service):
        ask = service.client.request
        long_address = ask(method, f"{path}?a={'x' * 600}")
        assert (long_address.status_code, code_of(long_address)) == (414, "address-too-long"), path
        many = ask(method, path, headers={f"X-{number}": "1" for number in range(30)})
        assert (many.status_code, code_of(many)) == (431, "headers-too-large"), path
        wide = ask(method, path, headers={"X-Wide": "x" * 3000})
        assert (wide.status_code, code_of(wide)) == (431, "headers-too-large"), path
        if (method, path) in STREAMED:
            continue
        declared = ask(method, path, content=b"x" * 1025)
        assert (declared.status_code, code_of(declared)) == (413, "body-too-large"), path
        chunked = ask(method, path, content=iter([b"x" * 600] * 2))
        assert (chunked.status_code, code_of(chunked)) == (413, "body-too-large"), path
        assert chunked.headers["x-request-id"]


def test_an_upload_may_be_larger_than_other_bodies(service: Service) -> None:
    picture = photograph(9, side=256, coding="PNG") + b"\0" * 2000
    answer = service.client.post("/api/v1/studies", files={"files": ("a.png", picture)})
    assert answer.status_code == 201


def test_a_body_that_trickles_is_ended_on_every_route(service: Service) -> None:
    app = service.client.app
    for method, path in routes_of(service):
        if (method, path) in STREAMED:
            continue  # their pace: tests/serving/intake/test_refused_uploads.py
        status, _ = anyio.run(_trickle, app, method, path)
        assert status == 408, path


def test_a_sender_that_hangs_up_while_its_body_comes_is_no_fault() -> None:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        pytest.fail("it was asked")

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        pytest.fail("somebody was answered")

    anyio.run(Bounds(app, LIMITS, streamed=()), _scope("GET", "/"), receive, send)


def test_a_body_in_parts_reaches_the_route_whole() -> None:
    seen = []
    app = FastAPI()

    @app.post("/echo")
    async def take(body: dict[str, int]) -> dict[str, int]:
        seen.append(body)
        return body

    client = TestClient(Bounds(app, LIMITS, streamed=()))
    answer = client.post(
        "/echo", content=iter([b'{"a"', b": 1}"]), headers={"Content-Type": "application/json"}
    )
    assert answer.json() == {"a": 1}
    assert seen == [{"a": 1}]


def test_every_answer_forbids_to_keep_it_unless_it_is_the_same_for_all(service: Service) -> None:
    service.client.post("/api/v1/studies", files={"files": ("a.jpg", photograph(9))})
    entry = service.client.get("/api/v1/worklist").json()["entries"][0]
    real = [("GET", entry["url"]), ("GET", entry["cover"]["rendered"]), ("GET", entry["cover"]["thumbnail"])]
    for method, path in [*routes_of(service), *real, ("GET", "/nothing")]:
        for scheme in ("http", "https"):
            answer = service.client.request(method, f"{scheme}://testserver{path}")
            headers = answer.headers
            if path.startswith("/assets/"):
                assert headers["cache-control"] == "public, max-age=31536000, immutable"
            else:
                assert headers["cache-control"] == "no-store", path
            assert ("strict-transport-security" in headers) == (scheme == "https"), path
            assert "frame-ancestors 'none'" in headers["content-security-policy"], path
            assert headers["x-content-type-options"] == "nosniff", path
            assert headers["x-frame-options"] == "DENY", path
            assert headers["referrer-policy"] == "same-origin", path
            assert "server" not in headers


def test_one_address_that_asks_too_often_is_told_when_to_come_back(tmp_path: Path) -> None:
    moment = [0.0]
    buckets = Buckets(per_s=0.5, burst=3, clock=lambda: moment[0])
    with in_process(tmp_path, manners=Manners(buckets=buckets)) as service:
        app = service.client.app
        busy, calm, here = (
            TestClient(app, "http://localhost", client=(address, 1))
            for address in ("192.0.2.7", "192.0.2.8", "127.0.0.1")
        )
        assert [busy.get("/healthz").status_code for _ in range(4)] == [200, 200, 200, 429]
        refused = busy.get("/api/v1/worklist")
        assert (refused.status_code, code_of(refused)) == (429, "too-many-requests")
        assert refused.headers["retry-after"] == "2"
        assert refused.headers["cache-control"] == "no-store"
        assert calm.get("/healthz").status_code == 200
        assert {here.get("/healthz").status_code for _ in range(9)} == {200}
        moment[0] = 2.0
        assert busy.get("/healthz").status_code == 200


def test_one_account_that_asks_too_often_is_told_so_from_whatever_address_it_asks(tmp_path: Path) -> None:
    class Known:
        challenge: str | None = None

        def __call__(self, request: Request) -> Caller | None:
            name = request.headers.get("x-name")
            return None if name is None else replace(local_caller(request), user=name)

    manners = Manners(caller_buckets=Buckets(per_s=1.0, burst=2, clock=lambda: 0.0))

    def gate(trail: AuditTrail) -> Gate:
        return Gate([Known()], Refusals(trail))

    with in_process(tmp_path, manners=manners, make_gate=gate) as service:
        clients = [
            TestClient(service.client.app, "http://localhost", client=(f"192.0.2.{number}", 1))
            for number in range(3)
        ]
        asked = [client.get("/api/v1/worklist", headers={"X-Name": "u1"}) for client in clients]
        assert [answer.status_code for answer in asked] == [200, 200, 429]
        assert (code_of(asked[2]), asked[2].headers["retry-after"]) == ("too-many-requests", "1")
        assert clients[2].get("/api/v1/worklist", headers={"X-Name": "u2"}).status_code == 200


def test_buckets_of_many_addresses_take_bounded_memory() -> None:
    buckets = Buckets(per_s=1.0, burst=1)
    for number in range(30_000):
        buckets.wait_s(str(number))
    assert len(buckets._filled) == 20_000


def test_a_refused_request_does_not_lengthen_the_wait() -> None:
    moment = [0.0]
    buckets = Buckets(per_s=1.0, burst=1, clock=lambda: moment[0])
    assert buckets.wait_s("a") == 0.0
    assert [buckets.wait_s("a") for _ in range(50)] == [1.0] * 50
    moment[0] = 1.0
    assert buckets.wait_s("a") == 0.0


def test_an_address_of_ipv4_in_ipv6_is_that_of_ipv4() -> None:
    assert key_of_address("::ffff:192.0.2.7") == "192.0.2.7"
    assert key_of_address("::1") is None
    assert key_of_address("testclient") == "testclient"


def test_a_websocket_passes_the_throttle_by() -> None:
    seen: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    async def receive() -> Message:
        return {}

    async def send(_message: Message) -> None:
        return

    anyio.run(Throttle(app, Buckets(per_s=1, burst=1)), {"type": "lifespan"}, receive, send)
    assert seen == ["lifespan"]


def test_a_connection_that_sends_no_head_is_closed(tmp_path: Path) -> None:
    class Impatient(BoundedProtocol):
        seconds_to_a_head = 0.3

    with in_process(tmp_path) as service, _served(service.client.app, Impatient) as address:
        silent, slow, kept = (socket.create_connection(address, timeout=30) for _ in range(3))
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: ")
        kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert kept.recv(65536).startswith(b"HTTP/1.1 200")
        kept.sendall(b"G")  # ends uvicorn's own time-out, not ours
        for connection in (silent, slow, kept):
            while connection.recv(65536):
                pass  # the rest of the answer; then the end
            connection.close()


def test_a_request_whose_answer_takes_long_is_not_cut(tmp_path: Path) -> None:
    class Impatient(BoundedProtocol):
        seconds_to_a_head = 0.1

    app = FastAPI()

    @app.get("/slow")
    def answer_slowly() -> str:
        time.sleep(0.5)
        return "there"

    del tmp_path
    with _served(app, Impatient) as address:
        connection = socket.create_connection(address, timeout=30)
        connection.sendall(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in connection.recv(65536)
        connection.close()


def test_a_client_that_does_not_read_its_answer_is_given_up() -> None:
    class Impatient(BoundedProtocol):
        seconds_to_take = 0.3

    app = FastAPI()
    ended = threading.Event()

    @app.get("/much")
    async def answer_much() -> StreamingResponse:
        async def chunks() -> AsyncIterator[bytes]:
            try:
                for _ in range(1000):
                    yield b"x" * 1024 * 1024
            finally:
                ended.set()

        return StreamingResponse(chunks())

    with _served(app, Impatient) as address:
        connection = socket.create_connection(address, timeout=30)
        connection.sendall(b"GET /much HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert ended.wait(30)
        connection.close()


@contextmanager
def _served(app: ASGIApp, protocol: type[BoundedProtocol]) -> Iterator[tuple[str, int]]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, http=protocol, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[:2]
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()


async def _trickle(app: ASGIApp, method: str, path: str) -> tuple[int, bytes]:
    answer: list[Message] = []

    async def receive() -> Message:
        if answer:
            return {"type": "http.disconnect"}
        await anyio.sleep(0.05)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def send(message: Message) -> None:
        answer.append(message)

    await app(_scope(method, path), receive, send)
    return int(answer[0]["status"]), answer[1]["body"]


def _scope(method: str, path: str) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
