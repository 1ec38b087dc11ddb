"""STOW-RS: what is stored, what is not and why, and that no sender brings the service down."""

import io
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pydicom
import pytest
from httpx2 import Response

from data.dicom.xml_model import NAMESPACE
from serving.intake.upload import UploadLimits
from serving.store.audit import read_rows
from tests.serving.dicomweb.sent import BASE, INSTANCE, PATH, STUDY, ct, parts_of, photograph
from tests.serving.service_in_process import MEBIBYTE, Service, in_process

RELATED = 'multipart/related; type="application/dicom"; boundary=here'


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with in_process(tmp_path, limits=UploadLimits(64 * MEBIBYTE, 400, 0)) as running:
        yield running


def body_of(contents: Sequence[bytes], head: bytes = b"Content-Type: application/dicom\r\n") -> bytes:
    parts = [b"--here\r\n" + head + b"\r\n" + content + b"\r\n" for content in contents]
    return b"".join([*parts, b"--here--\r\n"])


def _post(
    service: Service, body: bytes, *, path: str = "studies", kind: str = RELATED, accept: str = "*/*"
) -> Response:
    return service.client.post(
        f"{BASE}/{path}", content=body, headers={"content-type": kind, "accept": accept}
    )


def _items(answer: Response, tag: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = answer.json().get(tag, {"Value": []})["Value"]
    return items


def _reasons(answer: Response, tag: str = "00081198") -> list[int]:
    return [item["00081197"]["Value"][0] for item in _items(answer, tag)]


def _n_rows(service: Service) -> int:
    with service.database.reading() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM instances").scalar_one())


def test_instances_are_stored_byte_for_byte_and_queued(service: Service, tmp_path: Path) -> None:
    sent = [path.read_bytes() for path in ct(tmp_path / "ct")]
    answer = _post(service, body_of(sent))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/dicom+json"
    assert set(answer.json()) == {"00081190", "00081199"}
    assert answer.json()["00081190"]["Value"][0].endswith(f"/dicom-web/studies/{STUDY}")
    references = _items(answer, "00081199")
    assert len(references) == 3
    given = [service.client.get(one["00081190"]["Value"][0]) for one in references]
    stored = [parts_of(one.headers["content-type"], one.content)[0][1] for one in given]
    assert sorted(stored) == sorted(sent)
    assert service.client.get("/api/v1/worklist").json()["entries"][0]["state"] == "received"
    with service.database.reading() as connection:
        actions = [row.action for row in read_rows(connection)]
    assert "received" in actions


def test_the_same_bytes_again_are_stored_already(service: Service, tmp_path: Path) -> None:
    body = body_of([path.read_bytes() for path in ct(tmp_path / "ct")])
    first, again = _post(service, body), _post(service, body)
    assert (again.status_code, again.json()) == (200, first.json())
    assert _n_rows(service) == 3


def test_an_instance_twice_in_one_request_is_answered_twice_and_stored_once(
    service: Service, tmp_path: Path
) -> None:
    (path,) = ct(tmp_path / "ct", n_slices=1)
    answer = _post(service, body_of([path.read_bytes()] * 2))
    assert (answer.status_code, len(_items(answer, "00081199")), _n_rows(service)) == (200, 2, 1)


def test_other_bytes_under_a_known_uid_fail_as_a_duplicate_and_overwrite_nothing(
    service: Service, tmp_path: Path
) -> None:
    (path,) = ct(tmp_path / "ct", n_slices=1)
    assert _post(service, body_of([path.read_bytes()])).status_code == 200
    other = pydicom.dcmread(path)
    other.ImageComments = "other"
    buffer = io.BytesIO()
    other.save_as(buffer)
    answer = _post(service, body_of([buffer.getvalue()]))
    assert answer.status_code == 409
    (failed,) = _items(answer, "00081198")
    assert (failed["00081197"]["Value"], failed["00081155"]["Value"]) == ([0x0111], [INSTANCE])
    first = service.client.get(PATH, headers={"accept": "application/dicom"})
    assert first.content == path.read_bytes()


def test_what_fails_has_its_reason_and_the_others_are_stored(service: Service, tmp_path: Path) -> None:
    good, cut = (path.read_bytes() for path in ct(tmp_path / "ct", n_slices=2))
    without_pixels = pydicom.dcmread(io.BytesIO(good))
    del without_pixels.PixelData
    buffer = io.BytesIO()
    without_pixels.save_as(buffer)
    answer = _post(service, body_of([good, cut[:-900], buffer.getvalue(), photograph(), b"", b"text"]))
    assert answer.status_code == 202
    assert len(_items(answer, "00081199")) == 1
    assert sorted(_reasons(answer)) == [0x0122, 0xC000]
    assert all(item["00081155"]["Value"] for item in _items(answer, "00081198"))
    assert _reasons(answer, "0008119A") == [0xC000] * 3
    assert len(answer.headers.get_list("warning")) == 5


def test_nothing_stored_is_a_conflict(service: Service) -> None:
    answer = _post(service, body_of([b"nothing", b"at all"]))
    assert answer.status_code == 409
    assert _reasons(answer, "0008119A") == [0xC000] * 2
    assert _n_rows(service) == 0


def test_an_address_with_a_study_takes_that_study_alone(service: Service, tmp_path: Path) -> None:
    ours, theirs = (ct(tmp_path / seed, n_slices=1, seed=seed)[0].read_bytes() for seed in ("ct", "other"))
    answer = _post(service, body_of([ours, theirs]), path=f"studies/{STUDY}")
    assert answer.status_code == 202
    assert _reasons(answer) == [0xA900]
    assert _n_rows(service) == 1
    assert _post(service, body_of([theirs]), path=f"studies/{STUDY}").status_code == 409


def test_an_instance_may_come_by_itself(service: Service, tmp_path: Path) -> None:
    (path,) = ct(tmp_path / "ct", n_slices=1)
    answer = _post(service, path.read_bytes(), kind="application/dicom")
    assert answer.status_code == 200
    again = service.client.get(PATH, headers={"accept": "application/dicom"})
    assert again.content == path.read_bytes()


def test_the_answer_comes_in_xml_too(service: Service, tmp_path: Path) -> None:
    (path,) = ct(tmp_path / "ct", n_slices=1)
    answer = _post(service, body_of([path.read_bytes()]), accept="application/dicom+xml")
    assert answer.headers["content-type"] == "application/dicom+xml"
    items = ET.fromstring(answer.content).findall(
        f".//{{{NAMESPACE}}}DicomAttribute[@keyword='ReferencedSOPSequence']/*"
    )
    assert len(items) == 1


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("", b"", 415),
        ("text/plain", b"x", 415),
        ("multipart/form-data; boundary=here", body_of([b"x"]), 415),
        ('multipart/related; type="application/dicom+json"; boundary=here', body_of([b"[]"]), 415),
        (RELATED, body_of([b"x"], b"Content-Type: application/dicom+xml\r\n"), 415),
        (RELATED, body_of([b"x"], b"Content-Type: multipart/related; boundary=there\r\n"), 415),
        ("multipart/related", b"x", 400),
        ("multipart/related; boundary=", b"x", 400),
        (f"multipart/related; boundary={'b' * 300}", b"x", 400),
        (RELATED, b"", 400),
        (RELATED, b"--here--\r\n", 400),
        (RELATED, b"no boundary at all", 400),
        (RELATED, body_of([b"x"])[:-20], 400),
        (RELATED, body_of([b"x"]).replace(b"--here--", b"--there--"), 400),
        (RELATED, b"--here\r\nContent-Type: application/dicom", 400),
        (RELATED, body_of([b"x"], b"A" * 10_000 + b": b\r\n"), 400),
        (RELATED, body_of([b"x"], b"".join(b"h%d: x\r\n" % number for number in range(500))), 400),
        (RELATED, body_of([b"x"], b"no colon\r\n"), 400),
        (RELATED, body_of([b""] * 500), 413),
        (RELATED, body_of([b""] * 300), 409),
        (RELATED, body_of([b"x"], b""), 409),
        (RELATED, body_of([b"\r\n--her", b"--here", b"\r\n--herE\r\n"]), 409),
        ("application/dicom", b"", 409),
    ],
)  # fmt: skip
def test_a_hostile_message_is_refused_and_leaves_nothing_behind(
    service: Service, kind: str, body: bytes, status: int
) -> None:
    answer = _post(service, body, kind=kind)
    assert answer.status_code == status, answer.text
    assert list(service.intake.spool.iterdir()) == []
    assert _n_rows(service) == 0
    assert service.client.get("/healthz").status_code == 200


def test_a_message_larger_than_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with in_process(tmp_path, limits=UploadLimits(10_000, 60, 0)) as service:
        assert _post(service, body_of([bytes(20_000)])).status_code == 413
        assert _post(service, bytes(20_000), kind="application/dicom").status_code == 413


def test_a_cut_at_any_byte_of_the_boundary_is_the_same(service: Service, tmp_path: Path) -> None:
    (path,) = ct(tmp_path / "ct", n_slices=1)
    tricky = path.read_bytes() + b"\r\n--her" + b"\r\n--" + b"\r\n--here"[:-1]
    body = body_of([tricky])

    def chunks() -> Iterator[bytes]:
        yield body[: len(body) - 40]
        yield from (body[at : at + 1] for at in range(len(body) - 40, len(body)))

    answer = service.client.post(f"{BASE}/studies", content=chunks(), headers={"content-type": RELATED})
    assert answer.status_code == 200, answer.text
    assert service.client.get(PATH, headers={"accept": "application/dicom"}).content == tricky


@pytest.mark.datasets
def test_the_whole_corpus_comes_back_byte_for_byte_or_is_refused_with_a_reason(
    service: Service, datasets: Path
) -> None:
    outcomes: Counter[str] = Counter()
    for path in sorted((datasets / "dicom_corpus").rglob("*.dcm")):
        content = path.read_bytes()
        answer = _post(service, body_of([content]))
        assert answer.status_code in {200, 202, 409}, (path, answer.text)
        outcomes[str(answer.status_code)] += 1
        if answer.status_code == 409:
            assert _reasons(answer) + _reasons(answer, "0008119A"), path
            continue
        (reference,) = _items(answer, "00081199")
        given = service.client.get(reference["00081190"]["Value"][0], headers={"accept": "application/dicom"})
        assert given.status_code == 200, (path, given.text)
        if answer.status_code == 200:
            assert given.content == content, path
        else:  # kept under a UID of its own, with which it is given
            header = pydicom.dcmread(io.BytesIO(given.content), stop_before_pixels=True)
            assert header.SOPInstanceUID == reference["00081155"]["Value"][0]
        metadata = service.client.get(f"{reference['00081190']['Value'][0]}/metadata")
        assert metadata.status_code == 200, path
    assert outcomes["200"] > 150
    assert outcomes["200"] + outcomes["202"] > outcomes["409"]
