"""The whole corpus by each door: every file is stored or in quarantine, byte for byte, and none is both."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from sqlalchemy import select

from data.errors import Reason
from serving.dimse.calling import Calling, Place
from serving.dimse.part10 import data_set_of
from serving.dimse.sending import send
from serving.intake.upload import UploadLimits
from serving.store.tables import instances
from tests.serving.dimse.service_by_dicom import called
from tests.serving.quarantine.refusing import entries
from tests.serving.service_in_process import MEBIBYTE, Service, in_process

_AT_ONCE = 40


def _upload(service: Service, contents: Sequence[bytes]) -> None:
    files = [("files", (f"{number}.dcm", content)) for number, content in enumerate(contents)]
    assert service.client.post("/api/v1/studies", files=files).status_code in {200, 201, 422}


def _stow(service: Service, contents: Sequence[bytes]) -> None:
    boundary = b"a-boundary-that-no-file-of-the-corpus-holds"
    parts = [
        b"--" + boundary + b"\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n"
        for content in contents
    ]
    answer = service.client.post(
        "/dicom-web/studies",
        content=b"".join([*parts, b"--" + boundary + b"--\r\n"]),
        headers={
            "content-type": f'multipart/related; type="application/dicom"; boundary={boundary.decode()}'
        },
    )
    assert answer.status_code in {200, 202, 409}


@pytest.mark.datasets
@pytest.mark.parametrize("send", [_upload, _stow], ids=["upload", "stow"])
def test_every_file_of_the_corpus_is_stored_or_in_quarantine(
    tmp_path: Path, datasets: Path, send: Callable[[Service, Sequence[bytes]], None]
) -> None:
    files = sorted(path for path in (datasets / "dicom_corpus").rglob("*") if path.is_file())
    sent = [path.read_bytes() for path in files]
    hashes = Counter(hashlib.sha256(content).hexdigest() for content in sent)
    with in_process(tmp_path, limits=UploadLimits(64 * MEBIBYTE, 400, 0)) as service:
        for start in range(0, len(sent), _AT_ONCE):
            send(service, sent[start : start + _AT_ONCE])
        with service.database.reading() as connection:
            stored = list(connection.execute(select(instances.c.sha256)).scalars())
        held = entries(service)
        quarantined = [entry.sha256 for entry in held]
        n_known = sum(hashes.values()) - len(hashes)
        assert len(stored) + len(quarantined) + n_known == len(sent) == 290
        assert {*stored, *quarantined} == set(hashes)
        of_hash = {hashlib.sha256(content).hexdigest(): content for content in sent}
        for sha256 in hashes:
            assert b"".join(service.objects.get(sha256)) == of_hash[sha256]
        for entry in held:
            address = f"/api/v1/quarantine/{entry.key}"
            assert service.client.get(address).status_code == 200, entry.file_name
            assert service.client.get(f"{address}/rendered").status_code in {200, 422}, entry.file_name
            assert service.client.get(f"/quarantine/{entry.key}").status_code == 200, entry.file_name
    assert {entry.reason for entry in held} <= set(Reason)
    assert Counter(entry.reason for entry in held)["duplicate-uid"] > 0
    assert all(entry.object_sha256 == entry.sha256 for entry in held)
    assert sum(bool(entry.header.sop_instance_uid) for entry in held) > len(held) / 2
    assert len(stored) > 150  # many are the same image in another transfer syntax


@pytest.mark.datasets
def test_every_object_of_the_corpus_that_c_store_can_send_is_stored_or_in_quarantine(
    tmp_path: Path, datasets: Path
) -> None:
    files = sorted((datasets / "dicom_corpus").rglob("*.dcm"))
    with called(tmp_path / "service") as running:
        place = Place("FIRSTREAD", "127.0.0.1", running.port)
        sent = list(send(files, lambda wanted: Calling("SENDER")(place, wanted)))
        answered = [one for one in sent if one.status is not None]
        with running.service.database.reading() as connection:
            stored = list(connection.execute(select(instances.c.sha256)).scalars())
        held = entries(running.service)
        kept = {
            _data_set_hash(b"".join(running.service.objects.get(sha256)))
            for sha256 in [*stored, *(entry.sha256 for entry in held)]
        }
    hashes = {one.path: _data_set_hash(one.path.read_bytes()) for one in answered}
    # A file without its own head is sent as the same data set as one with it.
    assert set(hashes.values()) == kept
    assert len(stored) + len(held) == len(kept)
    assert Counter(entry.reason for entry in held)["duplicate-uid"] > 0
    assert {entry.arrived.door for entry in held} == {"c-store"}
    of_stored = [one for one in answered if one.status == 0]
    assert len({hashes[one.path] for one in of_stored}) == len(stored)
    assert len(answered) > 250  # the others name no class, no instance, or are no DICOM file


def _data_set_hash(content: bytes) -> str:
    return hashlib.sha256(b"".join(data_set_of([content]))).hexdigest()
