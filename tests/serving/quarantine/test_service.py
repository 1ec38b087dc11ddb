"""From the list to the worklist: refused files are shown, corrected, taken in or given up, over HTTP."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from PIL import Image
from sqlalchemy import insert

from serving.store.audit import read_rows
from serving.store.audit_chain import AuditRow
from serving.store.tables import sites
from tests.serving.dicomweb.sent import BASE, INSTANCE, STUDY, parts_of
from tests.serving.quarantine.refusing import (
    allow,
    bytes_of,
    commented,
    entries,
    image_of_ct,
    n_rows,
    without_pixels,
    written,
)
from tests.serving.service_in_process import Service, in_process, photograph, zipped

LIST = "/api/v1/quarantine"
TEXT = b"no image at all"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with in_process(tmp_path) as running:
        yield running


def _send(service: Service, *files: tuple[str, bytes]) -> dict[str, Any]:
    answer = service.client.post("/api/v1/studies", files=[("files", file) for file in files])
    sent: dict[str, Any] = answer.json()
    return sent


def _refused(service: Service, name: str, content: bytes) -> str:
    """Send a file that is refused, and give the address of its entry."""
    (line,) = _send(service, (name, content))["rejected"]
    return f"{LIST}/{line['quarantine']}"


def _rows(service: Service) -> list[AuditRow]:
    with service.database.reading() as connection:
        return list(read_rows(connection))


def _duplicate(service: Service, folder: Path) -> tuple[str, bytes, bytes]:
    """Send two images of one UID: the address of the second's entry, and the bytes of both."""
    dataset = image_of_ct(folder)
    first, other = written(dataset), commented(dataset, "other")
    _send(service, ("first.dcm", first))
    return _refused(service, "other.dcm", other), first, other


def test_the_list_is_read_a_page_at_a_time_and_by_reason_door_and_time(service: Service) -> None:
    for number in range(5):
        _send(service, (f"{number}.txt", b"letter %d" % number))
    _send(service, ("empty.dcm", b""))
    first = service.client.get(LIST, params={"limit": 4}).json()
    assert (first["found"], [one["file"] for one in first["entries"]][:2]) == (6, ["empty.dcm", "4.txt"])
    following = service.client.get(LIST, params={"limit": 4, "cursor": first["cursor"]}).json()
    assert ([one["file"] for one in following["entries"]], following["cursor"]) == (["1.txt", "0.txt"], None)

    def found(**query: str) -> int:
        return int(service.client.get(LIST, params=query).json()["found"])

    assert (found(reason="empty-file"), found(door="stow"), found(site="local")) == (1, 0, 6)
    assert (found(since="2100-01-01T00:00:00Z"), found(since="2020-01-01T00:00:00Z")) == (0, 6)
    assert found(state="discarded") == 0
    assert service.client.get(LIST, params={"cursor": "f" * 32}).status_code == 422


def test_an_entry_shows_what_of_its_header_can_be_read(service: Service, tmp_path: Path) -> None:
    shown = service.client.get(_refused(service, "report.dcm", without_pixels(tmp_path / "ct"))).json()
    assert (shown["reason"], shown["kept"], shown["header"]["patient"]) == ("no-pixels", True, "P1")
    assert shown["dicom"]["00100010"]["Value"] == [{"Alphabetic": "Wang^Fang", "Ideographic": "王^芳"}]
    text = service.client.get(_refused(service, "letter.txt", TEXT)).json()
    assert (text["dicom"], text["header"]["patient"]) == (None, "")


def test_an_entry_shows_its_picture_if_it_has_one(service: Service, tmp_path: Path) -> None:
    address, _, _ = _duplicate(service, tmp_path / "ct")
    answer = service.client.get(f"{address}/rendered")
    assert answer.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(answer.content)).size == (24, 32)
    answer = service.client.get(f"{_refused(service, 'letter.txt', TEXT)}/rendered")
    assert answer.json()["code"] == "frame-unreadable"


def test_a_duplicate_is_taken_in_as_an_image_of_its_own(service: Service, tmp_path: Path) -> None:
    address, first, other = _duplicate(service, tmp_path / "ct")
    assert service.client.post(f"{address}/retry").json()["code"] == "nothing-taken"  # it is one still
    corrected = service.client.post(f"{address}/corrections", json={"new_uid": True})
    assert corrected.json()["corrections"]["new_uid"] is True
    answer = service.client.post(f"{address}/retry").json()
    assert answer["entry"]["state"] == "taken"
    (study,) = answer["studies"]
    assert service.client.get(study).json()["uid"] == STUDY
    given = service.client.get(f"{BASE}/studies/{STUDY}")
    images = [
        pydicom.dcmread(io.BytesIO(part))
        for _, part in parts_of(given.headers["content-type"], given.content)
    ]
    assert [image.SOPInstanceUID == INSTANCE for image in images] == [True, False]
    assert images[1].OriginalAttributesSequence[0].ModifiedAttributesSequence[0].SOPInstanceUID == INSTANCE
    (entry,) = entries(service)
    assert bytes_of(service, entry) == other  # what came is kept as it came
    assert entry.corrected_sha256 is not None
    _send(service, ("first.dcm", first), ("other.dcm", other))  # both known by now
    assert n_rows(service) == 1
    assert service.client.post(f"{address}/retry").status_code == 409


def test_a_patient_is_entered_and_the_image_taken_in(service: Service, tmp_path: Path) -> None:
    allow(service, "upload/CT")
    address = _refused(service, "ct.dcm", written(image_of_ct(tmp_path / "ct", patient_id="")))
    assert service.client.post(f"{address}/retry").status_code == 422  # it is demanded here, too
    service.client.post(f"{address}/corrections", json={"edits": {"PatientID": "P7"}})
    (study,) = service.client.post(f"{address}/retry").json()["studies"]
    assert service.client.get(study).json()["patient"] == "P7"


def test_a_name_in_another_character_set_is_seen_before_and_after_and_comes_out_right(
    service: Service, tmp_path: Path
) -> None:
    allow(service, "upload/CT")
    dataset = image_of_ct(tmp_path / "ct", patient_id="")
    dataset.SpecificCharacterSet = "GB18030"
    dataset.PatientName = "王^小东"
    content = written(dataset).replace(b"CS\x08\x00GB18030 ", b"CS\x0a\x00ISO_IR 100", 1)
    address = _refused(service, "ct.dcm", content)
    preview = service.client.post(
        f"{address}/corrections", json={"character_set": "GBK", "preview": True}
    ).json()
    assert preview["texts"][0]["after"] == "王^小东"
    assert preview["texts"][0]["before"] == "王^小东".encode("gb18030").decode("latin-1")
    assert preview["corrections"]["character_set"] is None  # nothing is kept of a preview
    assert "王" not in str(service.client.get(address).json()["dicom"])

    service.client.post(f"{address}/corrections", json={"character_set": "GBK", "edits": {"PatientID": "P7"}})
    (study,) = service.client.post(f"{address}/retry").json()["studies"]
    assert service.client.get(study).json()["patient_name"] == "王^小东"
    (found,) = service.client.get(f"{BASE}/studies", params={"PatientID": "P7"}).json()
    assert found["00100010"]["Value"] == [{"Alphabetic": "王^小东"}]


def test_a_file_is_assigned_to_another_site_and_taken_in_there(service: Service, tmp_path: Path) -> None:
    with service.database.writing() as connection:
        connection.execute(insert(sites).values(id="north", name="North"))
    allow(service, issuers={"N": "north"})
    address = _refused(service, "ct.dcm", written(image_of_ct(tmp_path / "ct", issuer="N")))
    assert service.client.post(f"{address}/corrections", json={"site": "nowhere"}).status_code == 404
    assert service.client.post(f"{address}/corrections", json={"site": "north"}).json()["site"] == "north"
    assert len(service.client.post(f"{address}/retry").json()["studies"]) == 1
    with service.database.reading() as connection:
        rows = connection.exec_driver_sql("SELECT site_id FROM studies").all()
    assert [row[0] for row in rows] == ["north"]


def test_a_site_that_refused_the_same_is_assigned_nothing(service: Service) -> None:
    with service.database.writing() as connection:
        connection.execute(insert(sites).values(id="north", name="North"))
    first = _refused(service, "letter.txt", TEXT)
    service.client.post(f"{first}/corrections", json={"site": "north"})
    second = _refused(service, "letter.txt", TEXT)
    answer = service.client.post(f"{second}/corrections", json={"site": "north"})
    assert (second != first, answer.status_code) == (True, 409)


@pytest.mark.parametrize(
    "asked",
    [
        {"edits": {"PatientBirthDate": "tomorrow"}},
        {"edits": {"NoSuchThing": "x"}},
        {"edits": {"PixelData": "x"}},
        {"character_set": "KOI8"},
        {"unknown": 1},
    ],
)
def test_a_correction_that_no_file_could_have_is_refused(
    service: Service, tmp_path: Path, asked: dict[str, object]
) -> None:
    address, _, _ = _duplicate(service, tmp_path / "ct")
    assert service.client.post(f"{address}/corrections", json=asked).status_code == 422
    assert service.client.get(address).json()["corrections"]["edits"] == {}


def test_what_is_no_dicom_has_nothing_to_correct(service: Service) -> None:
    address = _refused(service, "letter.txt", TEXT)
    assert (
        service.client.post(f"{address}/corrections", json={"edits": {"PatientID": "x"}}).status_code == 422
    )


def test_what_is_discarded_says_why_and_stays_until_it_is_old(service: Service) -> None:
    address = _refused(service, "letter.txt", TEXT)
    assert service.client.post(f"{address}/discard", json={"reason": " "}).status_code == 422
    given_up = service.client.post(f"{address}/discard", json={"reason": "a letter"}).json()
    assert (given_up["state"], given_up["ending"], given_up["ended_by"]) == ("discarded", "a letter", "local")
    assert service.client.get(LIST).json()["found"] == 0
    _send(service, ("letter.txt", TEXT))  # the same bytes again are given up already
    (entry,) = entries(service)
    assert (entry.state, entry.n_times) == ("discarded", 2)
    for verb in ("retry", "corrections", "discard"):
        body = {"reason": "x"} if verb == "discard" else {}
        assert service.client.post(f"{address}/{verb}", json=body).status_code == 409

    assert service.client.post(f"{LIST}/purge", json={}).json() == {"entries": 0, "bytes": 0}
    purged = service.client.post(f"{LIST}/purge", json={"older_than_days": 0}).json()
    assert purged == {"entries": 1, "bytes": len(TEXT)}
    assert entries(service) == []


def test_a_purge_leaves_the_originals_of_corrected_images(service: Service, tmp_path: Path) -> None:
    address, _, other = _duplicate(service, tmp_path / "ct")
    service.client.post(f"{address}/corrections", json={"new_uid": True})
    service.client.post(f"{address}/retry")
    _send(service, ("letter.txt", TEXT))
    assert service.client.post(f"{LIST}/purge", json={"older_than_days": 0}).json()["entries"] == 1
    (entry,) = entries(service)
    assert bytes_of(service, entry) == other


def test_many_are_taken_in_or_given_up_by_a_filter(service: Service, tmp_path: Path) -> None:
    allow(service, "upload/CT")
    for seed in ("a", "b"):
        _send(service, (f"{seed}.dcm", written(image_of_ct(tmp_path / seed, patient_id="", seed=seed))))
    _send(service, ("letter.txt", TEXT))
    allow(service)
    answer = service.client.post(f"{LIST}/retry", json={"filter": {"door": "upload"}}).json()
    assert (len(answer["done"]), [line["reason"] for line in answer["rejected"]]) == (2, ["not-an-image"])
    answer = service.client.post(
        f"{LIST}/discard", json={"filter": {"reason": "not-an-image"}, "reason": "letters"}
    ).json()
    assert (len(answer["done"]), answer["left"]) == (1, 0)
    assert service.client.post(f"{LIST}/retry", json={"filter": {}}).status_code == 422
    assert service.client.get(LIST).json()["found"] == 0


def test_an_archive_of_which_a_part_is_refused_again_stays(service: Service) -> None:
    content = bytearray(zipped(**{"a.jpg": photograph(1), "b.jpg": photograph(2)}))
    at = content.rindex(b"a.jpg") - 46 + 16
    content[at : at + 4] = b"\0\0\0\0"
    address = _refused(service, "study.zip", bytes(content))
    answer = service.client.post(f"{address}/retry").json()
    assert (answer["entry"]["state"], len(answer["studies"])) == ("held", 1)
    assert [line["file"] for line in answer["rejected"]] == ["study.zip/a.jpg"]


def test_what_is_done_stands_in_the_trail_without_a_value_or_a_name(service: Service, tmp_path: Path) -> None:
    address, _, _ = _duplicate(service, tmp_path / "ct")
    n_before = len(_rows(service))
    service.client.get(LIST)
    service.client.get(address)
    service.client.post(f"{address}/corrections", json={"new_uid": True, "edits": {"PatientName": "Li^Na"}})
    service.client.post(f"{address}/retry")
    service.client.post(f"{_refused(service, 'letter.txt', TEXT)}/discard", json={"reason": "a letter"})
    service.client.post(f"{LIST}/purge", json={"older_than_days": 0})
    service.client.get(f"{LIST}/{'f' * 32}")
    rows = _rows(service)[n_before:]
    assert [row.action for row in rows] == [
        "viewed-list",
        "quarantine-viewed",
        "quarantine-corrected",
        "received",
        "quarantine-retried",
        "received",
        "quarantine-discarded",
        "quarantine-purged",
        "quarantine-viewed",
    ]
    assert rows[-1].result == "refused"
    assert rows[4].study_uid == STUDY
    assert '"PatientName"' in rows[2].details
    assert not any("Li^Na" in row.details or "Wang" in row.details for row in rows)
