"""What an upload is told that cannot be taken, or not whole: sent over HTTP, with nothing left behind."""

import asyncio
import errno
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pydicom
import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from data.phantoms import write_sample_studies
from serving.errors import Problem, ServiceError
from serving.intake.archive import ArchiveLimits
from serving.intake.endpoints import receive
from serving.intake.gather import Limits
from serving.intake.upload import Upload, UploadLimits
from serving.settings import Settings
from serving.store.audit_chain import ActorKind, Who
from serving.store.sites import LOCAL_SITE
from tests.serving.service_in_process import MEBIBYTE, Service, in_process, photograph, zipped

SENDER = Who(ActorKind.ANONYMOUS, "anonymous", address="192.0.2.7", request_id="r1")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with in_process(tmp_path, found_limits=Limits(4, ArchiveLimits())) as running:
        yield running


def _rejected(answer: object) -> list[tuple[str, str]]:
    assert isinstance(answer, dict)
    assert all(line["problem"] and line["remedy"] for line in answer["rejected"])
    return [(line["file"], line["reason"]) for line in answer["rejected"]]


def _radiograph(folder: Path) -> pydicom.Dataset:
    (path,) = write_sample_studies(folder / "phantoms", seed=1, n_skin=0, n_chest=1, n_head=0)
    return pydicom.dcmread(path)


def _written(dataset: pydicom.Dataset, folder: Path) -> bytes:
    path = folder / "written.dcm"
    dataset.save_as(path)
    return path.read_bytes()


def _slices(folder: Path, n_slices: int) -> list[tuple[str, bytes]]:
    dataset = _radiograph(folder)
    made = []
    for number in range(1, n_slices + 1):
        dataset.SOPInstanceUID = f"1.2.3.{number}"
        made.append((f"{number}.dcm", _written(dataset, folder)))
    return made


def _send(service: Service, *files: tuple[str, bytes], **headers: str) -> tuple[int, dict[str, object]]:
    answer = service.client.post(
        "/api/v1/studies", files=[("files", file) for file in files], headers=headers
    )
    return answer.status_code, answer.json()


def test_a_dicom_file_without_pixels_is_named_and_the_others_are_taken(
    service: Service, tmp_path: Path
) -> None:
    dataset = _radiograph(tmp_path)
    del dataset.PixelData
    status, answer = _send(service, ("report.dcm", _written(dataset, tmp_path)), ("mole.jpg", photograph(90)))
    assert status == 201
    assert _rejected(answer) == [("report.dcm", "no-pixels")]


def test_a_thousand_million_declared_frames_are_refused_at_the_header(
    service: Service, tmp_path: Path
) -> None:
    dataset = _radiograph(tmp_path)
    dataset.NumberOfFrames = 10**9
    status, answer = _send(service, ("film.dcm", _written(dataset, tmp_path)))
    assert (status, _rejected(answer)) == (422, [("film.dcm", "too-many-frames")])


def test_a_study_of_too_many_files_is_refused_whole_however_it_is_packed(
    service: Service, tmp_path: Path
) -> None:
    slices = _slices(tmp_path, 5)
    for files in (slices, [("study.zip", zipped(**dict(slices)))]):
        status, answer = _send(service, *files)
        assert status == 422
        assert {reason for _, reason in _rejected(answer)} == {"too-many-files"}
        assert len(_rejected(answer)) == 5


def test_a_study_that_grows_too_large_keeps_what_it_has_and_names_what_it_does_not_take(
    service: Service, tmp_path: Path
) -> None:
    slices = _slices(tmp_path, 5)
    assert _send(service, *slices[:3])[0] == 201
    status, answer = _send(service, *slices[3:], ("mole.jpg", photograph(90)))
    assert status == 201
    assert _rejected(answer) == [("4.dcm", "too-many-files"), ("5.dcm", "too-many-files")]
    assert _send(service, *slices[3:])[0] == 422
    assert _send(service, *slices[:3])[0] == 200  # what is known already is no more
    states = service.client.get("/api/v1/worklist").json()
    assert sorted(entry["images"] for entry in states["entries"]) == [1, 3]


def test_an_upload_takes_as_many_files_as_a_study_may_have() -> None:
    assert Settings().max_upload_files == Limits().max_files_per_study


def test_a_copy_in_the_same_upload_is_accounted_for(service: Service, tmp_path: Path) -> None:
    ((_, content),) = _slices(tmp_path, 1)
    _, answer = _send(service, ("a.dcm", content), ("b.dcm", content))
    assert isinstance(answer["studies"], list)
    (study,) = answer["studies"]
    assert (study["images"], study["files"]) == (1, ["a.dcm", "b.dcm"])


def test_the_same_request_sent_at_once_by_many_gets_one_answer(service: Service) -> None:
    def send(_number: int) -> tuple[int, dict[str, object]]:
        return _send(service, ("a.jpg", photograph(9)), **{"Idempotency-Key": "k"})

    with ThreadPoolExecutor(8) as senders:
        answers = list(senders.map(send, range(16)))
    assert answers == [(201, answers[0][1])] * 16


def test_a_disk_that_fills_up_under_an_upload_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = Upload(
        tmp_path,
        content_type="multipart/form-data; boundary=x",
        limits=UploadLimits(MEBIBYTE, 9, min_free_bytes=0),
    )

    def full(_data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(upload._parser, "write", full)
    with pytest.raises(ServiceError) as caught:
        upload.feed(b"x")
    upload.close()
    assert caught.value.problem is Problem.STORAGE_FULL
    assert list(tmp_path.iterdir()) == []


def test_an_upload_whose_sender_goes_away_leaves_nothing(service: Service, tmp_path: Path) -> None:
    messages = iter([{"type": "http.request", "body": b"--x\r\n", "more_body": True}])

    async def arrive() -> Message:
        return next(messages, {"type": "http.disconnect"})

    request = Request(
        {
            "type": "http",
            "method": "POST",
            "headers": [(b"content-type", b"multipart/form-data; boundary=x")],
        },
        arrive,
    )
    with pytest.raises(ServiceError, match="connection ended") as caught:
        asyncio.run(receive(request, service.intake, site=LOCAL_SITE, who=SENDER))
    assert isinstance(caught.value.__cause__, ClientDisconnect)
    assert list((tmp_path / "spool").iterdir()) == []
