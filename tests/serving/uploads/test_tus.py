"""The tus protocol, request by request; real clients and a server that dies: tests/journeys."""

import hashlib
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import Message

from serving.intake.pace import Pace
from serving.intake.upload import UploadLimits
from serving.store.audit import read_rows
from serving.uploads.service import UploadTerms
from tests.serving.service_in_process import MEBIBYTE, Service, in_process
from tests.serving.uploads.tus import UPLOADS, VERSION, Tus, checksum_of, encoded, noisy_photograph

MOLE = noisy_photograph(200)
HOUR_US = 3600 * 1_000_000


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with in_process(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture
def tus(service: Service) -> Tus:
    return Tus(service.client)


def _left(service: Service) -> list[str]:
    """Give what lies in the folder of uploads, but for locks."""
    names = sorted(path.name for path in service.uploads.kept.folder.iterdir())
    return [name for name in names if not name.endswith(".lock")]


def _is_kept(service: Service, address: str) -> bool:
    return address.rpartition("/")[2] in _left(service)


def test_a_photograph_in_three_pieces_is_the_photograph(service: Service, tus: Tus) -> None:
    mole = noisy_photograph(99, seed=1)
    address = tus.address(len(mole), filename="mole.jpg", age="61")
    cuts = [0, 100, 4000, len(mole)]
    for start, end in pairwise(cuts):
        assert tus.offset(address) == start
        answer = tus.patch(address, start, mole[start:end])
        assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, str(end))
        assert answer.headers["Tus-Resumable"] == "1.0.0"
        assert answer.content == b""
    view = service.client.get(address).json()
    assert (view["state"], view["offset"], view["length"]) == ("taken", len(mole), len(mole))
    assert view["sha256"] == hashlib.sha256(mole).hexdigest()
    (study,) = view["answer"]["studies"]
    detail = service.client.get(study["url"]).json()
    assert (detail["age"], detail["images"][0]["file"]) == (61, "mole.jpg")
    assert detail["images"][0]["sha256"] == hashlib.sha256(mole).hexdigest()
    assert study["quality"] is not None
    assert not _is_kept(service, address)
    with service.database.reading() as connection:
        *_, row = (row for row in read_rows(connection) if row.action == "received")
    assert '"door":"resumable"' in row.details


def test_the_quality_answer_is_that_of_a_plain_upload(service: Service, tus: Tus) -> None:
    address = tus.send(MOLE, filename="mole.jpg")
    resumed = service.client.get(address).json()["answer"]
    plain = service.client.post("/api/v1/studies", files={"files": ("mole.jpg", MOLE)}).json()
    assert resumed["studies"][0]["quality"] == plain["studies"][0]["quality"]
    assert plain["studies"][0]["new_images"] == 0


def test_what_the_service_can_do_is_told_to_everybody(service: Service) -> None:
    answer = service.client.options(UPLOADS)
    assert answer.status_code == 204
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert answer.headers["Tus-Max-Size"] == str(64 * MEBIBYTE)
    assert set(answer.headers["Tus-Extension"].split(",")) == {
        "creation",
        "creation-with-upload",
        "expiration",
        "checksum",
        "termination",
    }
    assert {"sha1", "sha256"} <= set(answer.headers["Tus-Checksum-Algorithm"].split(","))


def test_an_announced_file_says_where_it_is_and_until_when(service: Service, tus: Tus) -> None:
    answer = tus.announce(10, filename="痣.jpg")
    assert answer.headers["Upload-Offset"] == "0"
    assert answer.headers["Upload-Expires"].endswith(" GMT")
    head = service.client.head(answer.headers["Location"], headers=VERSION)
    assert head.headers["Upload-Length"] == "10"
    assert head.headers["Upload-Metadata"] == encoded(filename="痣.jpg")
    assert head.headers["Cache-Control"] == "no-store"
    assert service.client.get(answer.headers["Location"]).json()["name"] == "痣.jpg"


def test_the_first_bytes_may_come_with_the_announcement(service: Service, tus: Tus) -> None:
    headers = VERSION | {"Upload-Length": str(len(MOLE)), "Content-Type": "application/offset+octet-stream"}
    answer = service.client.post(UPLOADS, headers=headers, content=MOLE[:500])
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "500")
    assert tus.patch(answer.headers["Location"], 500, MOLE[500:]).status_code == 204
    whole = service.client.post(UPLOADS, headers=headers, content=MOLE)
    assert (whole.status_code, whole.headers["Upload-Offset"]) == (201, str(len(MOLE)))
    assert service.client.get(whole.headers["Location"]).json()["state"] == "taken"


@pytest.mark.parametrize(("offset", "n_bytes"), [(0, 10), (150, 10), (99, 1)])
def test_a_chunk_out_of_order_is_told_where_to_go_on(tus: Tus, offset: int, n_bytes: int) -> None:
    address = tus.address(200)
    tus.patch(address, 0, MOLE[:100])
    answer = tus.patch(address, offset, bytes(n_bytes))
    assert (answer.status_code, answer.json()["code"]) == (409, "offset-mismatch")
    assert answer.headers["Upload-Offset"] == "100"
    assert tus.offset(address) == 100


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_a_checksum_that_lies_is_refused_and_nothing_of_the_chunk_is_kept(
    service: Service, tus: Tus, algorithm: str
) -> None:
    address = tus.address(len(MOLE), filename="mole.jpg")
    first, rest = MOLE[:1000], MOLE[1000:]
    assert (
        tus.patch(address, 0, first, Upload_Checksum=checksum_of(first, algorithm)).headers["Upload-Offset"]
        == "1000"
    )
    lied = tus.patch(address, 1000, bytes(len(rest)), Upload_Checksum=checksum_of(rest, algorithm))
    assert (lied.status_code, lied.json()["code"]) == (460, "checksum-mismatch")
    assert lied.headers["Upload-Offset"] == "1000"
    assert tus.offset(address) == 1000
    assert tus.patch(address, 1000, rest, Upload_Checksum=checksum_of(rest, algorithm)).status_code == 204
    assert service.client.get(address).json()["sha256"] == hashlib.sha256(MOLE).hexdigest()


@pytest.mark.parametrize("said", ["md5 Zm9v", "sha256 Zm9v", "sha256", "sha1 !!!", ""])
def test_a_checksum_that_cannot_be_read_is_refused(tus: Tus, said: str) -> None:
    address = tus.address(10)
    assert tus.patch(address, 0, b"x", Upload_Checksum=said).status_code == 400
    assert tus.offset(address) == 0


def test_a_file_that_is_not_the_one_that_was_announced_is_sent_from_the_beginning(
    service: Service, tus: Tus
) -> None:
    address = tus.address(len(MOLE), sha256=hashlib.sha256(MOLE).hexdigest())
    lied = tus.patch(address, 0, bytes(len(MOLE)))
    assert (lied.status_code, lied.headers["Upload-Offset"]) == (460, "0")
    assert tus.offset(address) == 0
    assert tus.patch(address, 0, MOLE[:5]).status_code == 204
    assert tus.patch(address, 5, MOLE[5:]).status_code == 204
    assert service.client.get(address).json()["state"] == "taken"


def test_of_two_requests_at_once_the_second_is_told_to_come_back(service: Service, tus: Tus) -> None:
    address = tus.address(len(MOLE))
    with service.uploads.kept.alone_at(address.rpartition("/")[2]):  # as a request does while it lasts
        busy = tus.patch(address, 0, MOLE)
        assert (busy.status_code, busy.json()["code"]) == (423, "upload-busy")
        assert busy.headers["Retry-After"] == "1"
        assert service.client.delete(address, headers=VERSION).status_code == 423
        assert tus.offset(address) == 0
    assert tus.patch(address, 0, MOLE).status_code == 204


def test_no_byte_is_told_before_it_was_flushed_and_what_lies_behind_is_dropped(
    service: Service, tus: Tus, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: dict[int, int] = {}
    flush = os.fsync

    def noted(descriptor: int) -> None:
        flush(descriptor)
        status = os.fstat(descriptor)
        flushed[status.st_ino] = status.st_size

    monkeypatch.setattr("os.fsync", noted)
    address = tus.address(len(MOLE), batch="flushed")
    path = service.uploads.kept.path_of(address.rpartition("/")[2])
    for start, end in pairwise([0, 500, 3000, len(MOLE)]):
        told = int(tus.patch(address, start, MOLE[start:end]).headers["Upload-Offset"])
        assert told == end == flushed[path.stat().st_ino]
        if end < len(MOLE):
            with path.open("ab") as stream:  # of a request that a killed server had begun to write
                stream.write(b"never told")
    assert service.uploads.kept.folder.stat().st_ino in flushed  # so is the name of the file
    assert service.client.get(address).json()["sha256"] == hashlib.sha256(MOLE).hexdigest()
    assert path.read_bytes() == MOLE


def test_a_line_that_is_cut_keeps_what_came_and_none_that_cannot_be_checked(
    service: Service, tus: Tus
) -> None:
    plain, checked = tus.address(len(MOLE)), tus.address(len(MOLE))
    _send_and_hang_up(service, plain, MOLE[:3000])
    _send_and_hang_up(service, checked, MOLE[:3000], checksum_of(MOLE))
    assert tus.offset(plain) == 3000
    assert tus.offset(checked) == 0
    assert tus.patch(plain, 3000, MOLE[3000:]).status_code == 204
    assert service.client.get(plain).json()["sha256"] == hashlib.sha256(MOLE).hexdigest()


def _send_and_hang_up(service: Service, path: str, data: bytes, checksum: str | None = None) -> None:
    messages: list[Message] = [
        {"type": "http.request", "body": data, "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        return

    headers = [
        (b"host", b"testserver"),
        (b"tus-resumable", b"1.0.0"),
        (b"upload-offset", b"0"),
        (b"content-type", b"application/offset+octet-stream"),
        *([] if checksum is None else [(b"upload-checksum", checksum.encode())]),
    ]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "PATCH",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    anyio.run(service.client.app, scope, receive, send)


def test_a_line_that_brings_nothing_is_ended_and_what_came_counts(tmp_path: Path) -> None:
    limits = UploadLimits(MEBIBYTE, 9, 0, Pace(start_s=30))
    with in_process(tmp_path, limits=limits, upload_terms=UploadTerms(idle_s=0.2)) as service:
        tus = Tus(service.client)
        address = tus.address(len(MOLE))
        status = _trickle(service, address, MOLE[:700])
        assert status == 408
        assert tus.offset(address) == 700


def test_a_sender_that_trickles_is_ended(tmp_path: Path) -> None:
    limits = UploadLimits(MEBIBYTE, 9, 0, Pace(start_s=0.3, min_bytes_per_s=1e9))
    with in_process(tmp_path, limits=limits) as service:
        tus = Tus(service.client)
        address = tus.address(len(MOLE))
        assert _trickle(service, address, MOLE, at_a_time=1) == 408
        assert 0 < tus.offset(address) < len(MOLE)


def _trickle(service: Service, path: str, data: bytes, at_a_time: int = 1 << 20) -> int:
    answer: list[Message] = []
    pieces = [data[start : start + at_a_time] for start in range(0, len(data), at_a_time)]

    async def receive() -> Message:
        if answer:
            return {"type": "http.disconnect"}
        if not pieces:
            await anyio.sleep(30)
        await anyio.sleep(0.01)
        return {"type": "http.request", "body": pieces.pop(0), "more_body": True}

    async def send(message: Message) -> None:
        answer.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "PATCH",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"host", b"testserver"),
            (b"tus-resumable", b"1.0.0"),
            (b"upload-offset", b"0"),
            (b"content-type", b"application/offset+octet-stream"),
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    anyio.run(service.client.app, scope, receive, send)
    return int(answer[0]["status"])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Upload-Length": "5"}, 412),
        ({"Upload-Length": "5", "Tus-Resumable": "0.2.2"}, 412),
        (VERSION, 400),
        (VERSION | {"Upload-Length": "-1"}, 400),
        (VERSION | {"Upload-Length": "1e3"}, 400),
        (VERSION | {"Upload-Length": "9" * 30}, 400),
        (VERSION | {"Upload-Length": str(65 * MEBIBYTE)}, 413),
        (VERSION | {"Upload-Length": "5", "Upload-Metadata": "filename !!!"}, 400),
        (VERSION | {"Upload-Length": "5", "Upload-Metadata": "a YQ==,a YQ=="}, 400),
        (VERSION | {"Upload-Length": "5", "Upload-Metadata": encoded(bodysite="arm")}, 422),
        (VERSION | {"Upload-Length": "5", "Upload-Metadata": encoded(age="200")}, 422),
        (VERSION | {"Upload-Length": "5", "Upload-Metadata": encoded(batch="../x")}, 422),
        (VERSION | {"Upload-Length": "5", "Upload-Metadata": encoded(sha256="abc")}, 422),
    ],
)
def test_what_cannot_be_announced_is_refused_before_a_byte_comes(
    service: Service, headers: dict[str, str], status: int
) -> None:
    before = _left(service)
    answer = service.client.post(UPLOADS, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert ("Tus-Version" in answer.headers) == (status == 412)
    assert _left(service) == before


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Tus-Resumable": "2.0.0"}, 412),
        ({"Content-Type": "application/octet-stream"}, 415),
        ({"Upload-Offset": "x"}, 400),
        ({"Upload-Offset": ""}, 400),
    ],
)
def test_a_chunk_without_its_headers_is_refused(
    service: Service, tus: Tus, changed: dict[str, str], status: int
) -> None:
    address = tus.address(5)
    headers = VERSION | {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"} | changed
    assert service.client.patch(address, content=b"x", headers=headers).status_code == status
    assert tus.offset(address) == 0


def test_more_than_was_announced_is_refused_and_the_file_stays_as_it_was(service: Service, tus: Tus) -> None:
    address = tus.address(5)
    declared = tus.patch(address, 0, b"123456")
    assert (declared.status_code, declared.json()["code"]) == (413, "upload-too-large")
    headers = VERSION | {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    chunked = service.client.patch(address, content=iter([b"1234", b"56"]), headers=headers)
    assert chunked.status_code == 413
    assert tus.offset(address) == 0


def test_an_upload_that_is_ended_is_gone_with_its_bytes(service: Service, tus: Tus) -> None:
    address = tus.address(1000)
    tus.patch(address, 0, bytes(100))
    assert _is_kept(service, address)
    assert service.client.delete(address).status_code == 412
    assert service.client.delete(address, headers=VERSION).status_code == 204
    assert not _is_kept(service, address)
    assert service.client.head(address, headers=VERSION).status_code == 410
    assert tus.patch(address, 100, bytes(10)).status_code == 410
    assert service.client.delete(address, headers=VERSION).status_code == 410


def test_what_was_taken_cannot_be_ended(service: Service, tus: Tus) -> None:
    address = tus.send(MOLE)
    assert service.client.delete(address, headers=VERSION).status_code == 409
    assert tus.offset(address) == len(MOLE)


def test_a_last_chunk_that_comes_again_changes_nothing(service: Service, tus: Tus) -> None:
    address = tus.send(MOLE)
    waiting = service.client.get("/api/v1/worklist").json()["waiting"]
    assert tus.patch(address, len(MOLE), b"").status_code == 204
    assert tus.patch(address, len(MOLE), b"x").status_code == 413
    assert tus.patch(address, 0, MOLE).status_code == 409
    assert service.client.get("/api/v1/worklist").json()["waiting"] == waiting


def test_an_upload_that_nobody_goes_on_with_is_given_up(tmp_path: Path) -> None:
    moment = [1_800_000_000_000_000]
    with in_process(tmp_path, clock=lambda: moment[0], upload_terms=UploadTerms(keep_h=1)) as service:
        tus = Tus(service.client)
        address, other = tus.address(1000), tus.address(1000)
        tus.patch(address, 0, bytes(100))
        moment[0] += HOUR_US // 2
        tus.patch(other, 0, bytes(100))
        moment[0] += HOUR_US // 2
        assert service.client.head(address, headers=VERSION).status_code == 410
        assert tus.offset(other) == 100  # whatever comes keeps it for an hour more
        service.uploads.keep_house()
        assert len(_left(service)) == 1
        moment[0] += 3 * HOUR_US
        service.uploads.keep_house()
        assert _left(service) == []
        assert service.client.head(other, headers=VERSION).status_code == 410
        moment[0] += 8 * 24 * HOUR_US
        service.uploads.keep_house()
        assert service.client.head(other, headers=VERSION).status_code == 404


def test_a_site_may_have_so_much_on_its_way_and_no_more(tmp_path: Path) -> None:
    terms = UploadTerms(max_unfinished_bytes=1000, max_unfinished_files=3)
    with in_process(tmp_path, upload_terms=terms) as service:
        tus = Tus(service.client)
        first = tus.address(600)
        refused = tus.announce(600)
        assert (refused.status_code, refused.json()["code"]) == (507, "too-much-unfinished")
        service.client.delete(first, headers=VERSION)
        tus.address(600)
        tus.address(1)
        tus.address(1)
        assert tus.announce(1).status_code == 507


def test_a_disk_without_room_is_said_before_a_byte_comes(tmp_path: Path) -> None:
    with in_process(tmp_path, limits=UploadLimits(MEBIBYTE, 9, min_free_bytes=2**60)) as service:
        answer = Tus(service.client).announce(10)
    assert (answer.status_code, answer.json()["code"]) == (507, "storage-full")


@pytest.mark.parametrize("override", ["PATCH", "patch"])
def test_a_line_that_lets_post_alone_through_is_no_hindrance(service: Service, override: str) -> None:
    tus = Tus(service.client)
    address = tus.address(len(MOLE))
    kind = {"Content-Type": "application/offset+octet-stream", "X-HTTP-Method-Override": override}
    sent = service.client.post(address, content=MOLE, headers=VERSION | kind | {"Upload-Offset": "0"})
    assert sent.status_code == 204
    asked = service.client.post(address, headers=VERSION | {"X-HTTP-Method-Override": "HEAD"})
    assert (asked.status_code, asked.headers["Upload-Offset"]) == (200, str(len(MOLE)))
    assert service.client.post(address, headers=VERSION).status_code == 405
    second = tus.address(9)
    ended = service.client.post(second, headers=VERSION | {"X-HTTP-Method-Override": "DELETE"})
    assert ended.status_code == 204


def test_a_method_is_overridden_nowhere_else(service: Service) -> None:
    answer = service.client.post("/api/v1/worklist", headers={"X-HTTP-Method-Override": "HEAD"})
    assert answer.status_code == 405


def test_a_file_that_is_no_image_is_refused_with_its_reason_at_its_last_byte(
    service: Service, tus: Tus
) -> None:
    text = b"This is no image. " * 50
    address = tus.address(len(text), filename="text.dcm")
    answer = tus.patch(address, 0, text)
    assert (answer.status_code, answer.json()["code"]) == (422, "nothing-taken")
    assert [line["reason"] for line in answer.json()["rejected"]] == ["not-an-image"]
    view = service.client.get(address).json()
    assert (view["state"], view["problem"]["rejected"][0]["file"]) == ("refused", "text.dcm")
    assert tus.offset(address) == len(text)
    assert not _is_kept(service, address)


def test_an_empty_file_is_whole_as_it_is_announced(tus: Tus) -> None:
    answer = tus.announce(0, filename="empty.jpg")
    assert (answer.status_code, answer.json()["rejected"][0]["reason"]) == (422, "empty-file")


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(0, len(MOLE)), max_size=4).map(sorted),
    lies=st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_however_a_file_is_cut_it_arrives_as_it_was(
    service: Service, cuts: list[int], lies: list[bool]
) -> None:
    tus = Tus(service.client)
    address = tus.address(
        len(MOLE), filename="mole.jpg", batch=f"b-{len(cuts)}-{hash(tuple(cuts))}-{hash(tuple(lies))}"
    )
    bounds = [0, *cuts, len(MOLE)]
    for start, end, lie in zip(bounds, bounds[1:], [*lies, False], strict=False):
        piece = MOLE[start:end]
        if lie:
            wrong = tus.patch(address, start, piece, Upload_Checksum=checksum_of(piece + b"x"))
            assert wrong.status_code == 460
            out_of_order = tus.patch(address, start + 1, piece)
            assert out_of_order.status_code == 409
        assert tus.patch(address, start, piece, Upload_Checksum=checksum_of(piece)).status_code == 204
        assert tus.offset(address) == end
    assert service.client.get(address).json()["sha256"] == hashlib.sha256(MOLE).hexdigest()
    service.client.delete(address, headers=VERSION)


def test_the_description_of_the_interface_tells_the_headers(service: Service) -> None:
    paths = service.client.get("/api/v1/openapi.json").json()["paths"]
    announced, appended = paths[UPLOADS]["post"], paths[f"{UPLOADS}/{{upload}}"]["patch"]
    asked = {one["name"].lower() for one in announced["parameters"] if one["in"] == "header"}
    assert {"tus-resumable", "upload-length", "upload-metadata", "upload-checksum"} <= asked
    asked = {one["name"].lower() for one in appended["parameters"] if one["in"] == "header"}
    assert {"tus-resumable", "upload-offset", "upload-checksum", "x-http-method-override"} <= asked
    assert "application/offset+octet-stream" in appended["requestBody"]["content"]
    assert {"Upload-Offset", "Upload-Expires"} <= set(appended["responses"]["204"]["headers"])
    assert "460" in appended["responses"]
    assert "Location" in announced["responses"]["201"]["headers"]
    told = paths[UPLOADS]["options"]["responses"]["204"]["headers"]
    assert {"Tus-Version", "Tus-Extension", "Tus-Max-Size", "Tus-Checksum-Algorithm"} <= set(told)
