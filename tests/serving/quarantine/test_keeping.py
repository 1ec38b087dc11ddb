"""What cannot be taken is kept: every byte of it, once, with its reason, and within its site's quota."""

import hashlib
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from serving.errors import StartError
from serving.housekeeping.collection import Collection, Terms
from serving.intake.gather import Limits
from serving.quarantine.admission import Admission, read_admission
from serving.quarantine.keeping import Quota
from serving.store.audit import read_rows
from serving.store.quarantine import HeldState
from tests.serving.dicomweb.sent import INSTANCE, SERIES, STUDY
from tests.serving.quarantine.refusing import (
    bytes_of,
    commented,
    entries,
    image_of_ct,
    n_rows,
    without_pixels,
    written,
)
from tests.serving.service_in_process import Service, in_process, photograph, zipped

TEXT = b"no image at all"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with in_process(tmp_path) as running:
        yield running


def _with(service: Service, **changes: object) -> None:
    """Have the service's intake go by other rules."""
    for name, value in changes.items():
        object.__setattr__(service.intake, name, value)


def _send(service: Service, *files: tuple[str, bytes]) -> tuple[int, dict[str, list[dict[str, object]]]]:
    answer = service.client.post("/api/v1/studies", files=[("files", file) for file in files])
    return answer.status_code, answer.json()


def test_what_cannot_be_read_is_kept_with_its_reason_beside_what_is_taken(service: Service) -> None:
    status, answer = _send(service, ("letter.txt", TEXT), ("mole.jpg", photograph(9)))
    assert status == 201
    (entry,) = entries(service)
    assert (entry.reason, entry.state, entry.site) == ("not-an-image", HeldState.HELD, "local")
    assert (entry.file_name, entry.n_bytes) == ("letter.txt", len(TEXT))
    assert entry.sha256 == hashlib.sha256(TEXT).hexdigest()
    assert (entry.arrived.door, entry.arrived.sender, entry.arrived.address) == (
        "upload",
        "local",
        "testclient",
    )
    assert bytes_of(service, entry) == TEXT
    (line,) = answer["rejected"]
    assert (line["quarantine"], line["kept"]) == (entry.key, True)


def test_also_where_nothing_of_an_upload_can_be_taken(service: Service) -> None:
    status, answer = _send(service, ("letter.txt", TEXT))
    assert status == 422
    (entry,) = entries(service)
    assert bytes_of(service, entry) == TEXT
    assert answer["rejected"][0]["quarantine"] == entry.key
    with service.database.reading() as connection:
        row = list(read_rows(connection))[-1]
    assert (row.action, row.result) == ("received", "refused")


def test_what_the_header_says_is_kept_as_far_as_it_can_be_read(service: Service, tmp_path: Path) -> None:
    _send(service, ("report.dcm", without_pixels(tmp_path / "ct")))
    (entry,) = entries(service)
    header = entry.header
    assert (header.patient, header.study_uid, header.series_uid) == ("P1", STUDY, SERIES)
    assert (header.sop_instance_uid, header.modality) == (INSTANCE, "CT")


def test_the_same_bytes_again_are_counted_and_not_repeated(service: Service) -> None:
    for name in ("letter.txt", "again.txt"):
        _send(service, (name, TEXT))
    _send(service, ("one.txt", TEXT), ("two.txt", TEXT))
    (entry,) = entries(service)
    assert (entry.n_times, entry.file_name) == (3, "letter.txt")


def test_other_bytes_under_a_known_uid_overwrite_nothing_and_wait(service: Service, tmp_path: Path) -> None:
    dataset = image_of_ct(tmp_path / "ct")
    first, other = written(dataset), commented(dataset, "other")
    assert _send(service, ("first.dcm", first))[0] == 201
    status, answer = _send(service, ("other.dcm", other), ("mole.jpg", photograph(9)))
    assert status == 201
    assert [line["reason"] for line in answer["rejected"]] == ["duplicate-uid"]
    assert [study["files"] for study in answer["studies"]] == [["mole.jpg"]]
    (entry,) = entries(service)
    assert bytes_of(service, entry) == other
    assert _send(service, ("first.dcm", first))[0] == 200  # the same bytes are no more than known
    assert n_rows(service) == 1


def test_of_two_files_of_one_upload_under_one_uid_the_first_is_taken(
    service: Service, tmp_path: Path
) -> None:
    dataset = image_of_ct(tmp_path / "ct")
    first, other = written(dataset), commented(dataset, "other")
    _, answer = _send(service, ("a.dcm", first), ("b.dcm", other), ("c.dcm", first), ("d.dcm", other))
    assert [study["files"] for study in answer["studies"]] == [["a.dcm", "c.dcm"]]
    assert [line["file"] for line in answer["rejected"]] == ["b.dcm", "d.dcm"]
    (entry,) = entries(service)
    assert bytes_of(service, entry) == other


def test_a_hostile_archive_is_kept_as_the_one_object_that_came(service: Service) -> None:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as bundle:
        bundle.writestr("../../etc/passwd", "root")
        bundle.writestr("mole.jpg", photograph(9))
    assert _send(service, ("evil.zip", packed.getvalue()))[0] == 422
    (entry,) = entries(service)
    assert (entry.reason, entry.file_name) == ("archive-unsafe-path", "evil.zip")
    assert bytes_of(service, entry) == packed.getvalue()


def test_members_that_do_not_come_out_leave_their_archive_once_and_those_that_do_themselves(
    service: Service,
) -> None:
    content = bytearray(zipped(**{"a.jpg": photograph(1), "b.jpg": photograph(2), "note.txt": TEXT}))
    for name in (b"a.jpg", b"b.jpg"):  # a wrong checksum in the central directory
        at = content.rindex(name) - 46 + 16
        content[at : at + 4] = b"\0\0\0\0"
    status, answer = _send(service, ("study.zip", bytes(content)))
    assert status == 422
    assert len(answer["rejected"]) == 3
    text, archive = entries(service)
    assert (archive.file_name, archive.n_files, archive.reason) == ("study.zip", 2, "archive-corrupt")
    assert bytes_of(service, archive) == bytes(content)
    assert (text.file_name, bytes_of(service, text)) == ("study.zip/note.txt", TEXT)


def test_an_empty_file_is_listed_and_there_is_nothing_to_keep(service: Service) -> None:
    _send(service, ("empty.dcm", b""))
    (entry,) = entries(service)
    assert (entry.reason, entry.object_sha256) == ("empty-file", None)


def test_a_study_that_grows_too_large_waits_file_by_file(tmp_path: Path) -> None:
    with in_process(tmp_path, found_limits=Limits(2)) as service:
        dataset = image_of_ct(tmp_path / "ct")
        files = []
        for number in range(1, 5):
            dataset.SOPInstanceUID = f"1.2.3.{number}"
            files.append((f"{number}.dcm", written(dataset)))
        assert _send(service, *files[:2])[0] == 201
        assert _send(service, *files[2:])[0] == 422
        kept = {bytes_of(service, entry) for entry in entries(service)}
        assert kept == {content for _, content in files[2:]}
        assert {entry.header.study_uid for entry in entries(service)} == {STUDY}


def test_over_the_quota_a_refusal_is_listed_without_its_bytes_and_says_so(service: Service) -> None:
    _with(service, quota=Quota(max_bytes=20, max_files=10))
    _send(service, ("first.txt", TEXT))
    _, answer = _send(service, ("second.txt", b"another letter"))
    second, first = entries(service)
    assert (first.object_sha256, second.object_sha256) == (first.sha256, None)
    assert (answer["rejected"][0]["quarantine"], answer["rejected"][0]["kept"]) == (second.key, False)
    _with(service, quota=Quota(max_bytes=100, max_files=10))
    _send(service, ("second.txt", b"another letter"))  # there is room by now
    assert bytes_of(service, entries(service)[0]) == b"another letter"


def test_neither_files_nor_listings_grow_without_bound(service: Service) -> None:
    _with(service, quota=Quota(max_bytes=1000, max_files=1))
    _send(service, *((f"{number}.txt", b"letter %d" % number) for number in range(30)))
    found = entries(service)
    assert sum(entry.object_sha256 is not None for entry in found) == 1
    assert len(found) == 11
    assert found[0].file_name == "29.txt"


def test_the_collection_takes_nothing_that_waits(service: Service) -> None:
    _send(service, ("letter.txt", TEXT))
    collection = Collection(service.database, service.objects, Terms(grace_h=-1, aside_h=-1))
    assert collection.run().n_set_aside == 0
    (entry,) = entries(service)
    assert bytes_of(service, entry) == TEXT


def test_a_site_that_demands_a_patient_gets_none_without_by_the_doors_it_means(
    service: Service, tmp_path: Path
) -> None:
    content = written(image_of_ct(tmp_path / "ct", patient_id=""))
    assert _send(service, ("ct.dcm", content))[0] == 201  # by default nothing is demanded
    other = written(image_of_ct(tmp_path / "other", patient_id="", seed="other"))
    _with(service, admission=Admission({"*": ("stow/*",)}))
    assert _send(service, ("ct.dcm", other))[0] == 201
    third = written(image_of_ct(tmp_path / "third", patient_id="", seed="third"))
    _with(service, admission=Admission({"*": ("stow/*",), "local": ("upload/CT",)}))
    status, answer = _send(service, ("ct.dcm", third), ("mole.jpg", photograph(9)))
    assert (status, [line["reason"] for line in answer["rejected"]]) == (201, ["no-patient-id"])
    (entry,) = entries(service)
    assert bytes_of(service, entry) == third


def test_a_patient_of_another_site_is_not_taken_here(service: Service, tmp_path: Path) -> None:
    _with(service, admission=Admission(site_of_issuer={"NORTH": "north", "HERE": "local"}))
    theirs = written(image_of_ct(tmp_path / "ct", issuer="NORTH"))
    assert _send(service, ("ct.dcm", theirs))[1]["rejected"][0]["reason"] == "wrong-site"
    ours = written(image_of_ct(tmp_path / "ours", issuer="HERE", seed="ours"))
    assert _send(service, ("ct.dcm", ours))[0] == 201


def test_the_rules_of_sites_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "admission.toml"
    file.write_text(
        'demand_patient_id = ["c-store/*"]\n'
        '[sites.north]\nissuers = ["N"]\ndemand_patient_id = ["*/CT", "upload/photograph"]\n',
        "utf-8",
    )
    assert read_admission(file) == Admission(
        {"*": ("c-store/*",), "north": ("*/CT", "upload/photograph")}, {"N": "north"}
    )
    assert read_admission(None) == Admission()


@pytest.mark.parametrize(
    "text",
    [
        "demand_patient_id = 3",
        'demand_patient_id = ["CT"]',
        'issuers = ["N"]',
        '[sites.a]\nissuers = ["N"]\n[sites.b]\nissuers = ["N"]',
        "unknown = 1",
        "not toml",
    ],
)
def test_rules_that_mean_nothing_keep_the_service_from_starting(tmp_path: Path, text: str) -> None:
    file = tmp_path / "admission.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(StartError, match="FIRSTREAD_ADMISSION"):
        read_admission(file)
