"""A stranger tries what strangers try, over real HTTP: the service refuses, stays well, touches nothing."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.journeys.kills.material import dicom_image, photograph
from tests.journeys.process import Program, started
from tests.journeys.wire import END, exchange, get, part, upload_head
from tests.serving.store.databases import PostgresServer
from tests.tiny_model import write_tiny_artifact

PICTURE = photograph(7, 7)

KEYS = [
    "' OR 1=1 --",
    "x'; DROP TABLE studies; --",
    "../../../../etc/passwd",
    "..\\..\\windows",
    "\0",
    "a" * 32,
    "a" * 4000,
    "学",
    "%s%n{0}${x}",
]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    more = {}
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgresql")
        more["FIRSTREAD_DATABASE_URL"] = server.new_database()
    folder = tmp_path_factory.mktemp("stranger")
    write_tiny_artifact(folder / "models", name="derm-lesion", classes=("nv", "mel"))
    with started(
        "serve", "--models", str(folder / "models"), home=folder / "home", log=folder / "log", **more
    ) as program:
        assert program.post((PICTURE.name, PICTURE.content))[0] == 201
        program.wait_until_scored(1)
        yield program


@pytest.fixture(autouse=True)
def _stays_well(program: Program) -> Iterator[None]:
    before = program.log.read_text(encoding="utf-8")
    yield
    assert [entry["state"] for entry in program.get("/api/v1/worklist")["entries"]].count("scored") >= 1
    assert program.get("/readyz")["status"] == "ready"
    said = program.log.read_text(encoding="utf-8")[len(before) :]
    assert "Traceback" not in said
    assert '"ERROR"' not in said, said


def _port(program: Program) -> int:
    return int(program.address.rstrip("/").rpartition(":")[2])


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/studies/{}",
        "/api/v1/studies/{}/instances/{}/frames/1/rendered",
        "/studies/{}",
        "/assets/{}",
        "/api/v1/worklist?cursor={}",
        "/api/v1/worklist?lang={}",
        "/api/v1/worklist?limit={}",
        "/{}",
    ],
)
def test_no_address_leads_to_what_is_not_there(program: Program, path: str, key: str) -> None:
    status, body = exchange(_port(program), get(path.replace("{}", quote(key, safe=""))))
    assert status in {401, 403, 404, 422}, (status, body[:300])
    assert b"root:" not in body


@pytest.mark.parametrize(
    "value", ["%00", "%27%20OR%201=1", "..%2f..%2fx", "x" * 300, "%F0%9F%98%80", "-1", "*"]
)
def test_no_address_of_the_interface_fails_for_what_stands_in_it(program: Program, value: str) -> None:
    described = program.get("/api/v1/openapi.json")["paths"]
    assert len(described) > 20
    for path, operations in described.items():
        for method, operation in operations.items():
            if method != "get" and "{" not in path:
                continue  # what has no parameter is for the tests of its own
            given = [one["name"] for one in operation.get("parameters", []) if one["in"] == "query"]
            query = "&".join(f"{name}={value}" for name in given)
            address = re.sub(r"\{[^}]+\}", value, path) + (f"?{query}" if query else "")
            status, body = exchange(_port(program), get(address, method=method.upper()))
            assert status < 500, (method, address, body[:300])


@pytest.mark.parametrize("frame", ["0", "-1", "2", "99999999999999999999", "1e3", "%00", "1/../../../x"])
def test_a_frame_that_is_none_is_refused(program: Program, frame: str) -> None:
    entry = program.get("/api/v1/worklist")["entries"][0]
    address = entry["cover"]["rendered"].replace("/frames/1/", f"/frames/{frame}/")
    assert exchange(_port(program), get(address))[0] in {404, 422}


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"\x16\x03\x01\x02\x00garbage\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        upload_head(5, "Content-Length: 6") + b"abcdef",
        upload_head(5, "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        upload_head(-5) + b"abcdef",
        upload_head(10**24) + b"abcdef",
    ],
    ids=[
        "no-host",
        "two-hosts",
        "tls",
        "long-header",
        "two-lengths",
        "length-and-chunks",
        "negative",
        "huge",
    ],
)
def test_a_request_that_is_none_is_refused(program: Program, request_: bytes) -> None:
    assert exchange(_port(program), request_)[0] in {0, 400, 413, 431}


def test_another_name_in_the_host_header_is_told_nothing(program: Program) -> None:
    request = get("/api/v1/worklist").replace(b"Host: localhost", b"Host: evil.example")
    status, body = exchange(_port(program), request)
    assert (status, b"entries" in body) == (421, False)


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "DELETE", "PUT", "PATCH", "PROPFIND", "GETT"])
def test_a_method_that_is_none_is_refused(program: Program, method: str) -> None:
    assert exchange(_port(program), get("/api/v1/worklist", method=method))[0] in {400, 401, 403, 404, 405}


@pytest.mark.parametrize(
    "name",
    [b"../../../../tmp/evil.png", b"..\\\\..\\\\x.png", b"/etc/passwd", b"x\0y.png", b"\xff\xfe", b"taken"],
)
def test_a_file_name_is_text_and_never_a_place(program: Program, name: bytes) -> None:
    body = part(b'name="files"; filename="' + name + b'"', PICTURE.content) + END
    status, _ = exchange(_port(program), upload_head(len(body)) + body)
    assert status == 200  # known already
    home = program.log.parent / "home"
    assert {path.name for path in home.iterdir()} <= {
        "audit",
        "firstread.sqlite",
        "firstread.sqlite-shm",
        "firstread.sqlite-wal",
        "lock",
        "objects",
        "spool",
        "uploads",
    }
    assert not Path("/tmp/evil.png").exists()
    assert not [one for one in (home / "spool").rglob("*") if one.is_file() and one.suffix != ".lock"]


@pytest.mark.parametrize(
    "name", ["../../../../tmp/evil.png", "/tmp/evil.png", "a/../../evil.png", "C:\\evil.png"]
)
def test_an_archive_that_leads_out_of_itself_writes_nothing(program: Program, name: str) -> None:
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr(name, photograph(7, 8).content)
    body = part(b'name="files"; filename="a.zip"', bundle.getvalue()) + END
    status, answer = exchange(_port(program), upload_head(len(body)) + body)
    assert status in {201, 200, 422}, answer
    assert not Path("/tmp/evil.png").exists()


FIELDS = [
    (b"body_site", b"'; DROP TABLE studies; --", 201),
    (b"body_site", b"nul \0 within", 201),
    (b"clinical_question", b"half a surrogate \xed\xa0\x80 and \xff, a nul \0", 201),
    (b"age", b"NaN", 422),
    (b"age", b"1e400", 422),
    (b"skin_type", b"9" * 5000, 422),
    (b"priority", b"stat'; --", 422),
    (b"__class__", b"x", 422),
]


@pytest.mark.parametrize("number", range(len(FIELDS)))
def test_a_field_is_text_or_refused(program: Program, number: int) -> None:
    field, value, expected = FIELDS[number]
    picture = photograph(8, number)
    body = part(b'name="' + field + b'"', value)
    body += part(b'name="files"; filename="a.png"', picture.content) + END
    status, answer = exchange(_port(program), upload_head(len(body)) + body)
    assert status == expected
    if status == 201:
        assert program.fetch(json.loads(answer)["studies"][0]["url"])[0] == 200


@pytest.mark.parametrize("byte", [b"\0", b"\xff", b"\x1b", b"\\"])
def test_the_text_of_a_header_is_text(program: Program, byte: bytes) -> None:
    content = dicom_image(9, byte[0], instance=1).content
    assert content.count(b"P9-") == 1
    body = part(b'name="files"; filename="a.dcm"', content.replace(b"P9-", b"P" + byte + b"-")) + END
    status, answer = exchange(_port(program), upload_head(len(body)) + body)
    assert status in {201, 422}, answer
    if status == 201:
        assert program.fetch(json.loads(answer)["studies"][0]["url"])[0] == 200


@pytest.mark.parametrize("key", ["' OR 1=1 --", "\xff\xfe\x80", "x" * 255, "", "../../x"])
def test_an_idempotency_key_is_text(program: Program, key: str) -> None:
    body = part(b'name="files"; filename="a.png"', PICTURE.content) + END
    request = upload_head(len(body), f"Idempotency-Key: {key}") + body
    assert exchange(_port(program), request)[0] in {200, 201, 400, 422}
    assert exchange(_port(program), request)[0] in {200, 201, 400, 422}
