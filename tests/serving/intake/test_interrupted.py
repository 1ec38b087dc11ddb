import hashlib
from pathlib import Path

import pytest

from serving.intake.interrupted import clear_spool
from serving.store.database import open_database
from serving.store.local_objects import LocalObjects
from serving.store.references import unreferenced
from tests.serving.service_in_process import Service, in_process, photograph


def _send(service: Service, red: int) -> None:
    service.client.post("/api/v1/studies", files={"files": ("a.jpg", photograph(red))})


def _stored(service: Service) -> set[str]:
    return {path.name for path in service.objects.folder.rglob("*") if path.is_file()}


@pytest.fixture
def cut_off(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The process ends while it commits: nothing is written, and nothing is cleared up."""

    def killed(*_args: object, **_more: object) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr("serving.intake.service.record", killed)
    monkeypatch.setattr("serving.intake.upload.Upload.close", lambda _upload: None)
    return monkeypatch


def test_files_of_a_cut_off_upload_go_and_all_that_was_acknowledged_stays(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with in_process(tmp_path) as service:
        _send(service, 10)
        acknowledged = _stored(service)
        cut_off = request.getfixturevalue("cut_off")
        _send(service, 20)
        _send(service, 10)  # cut off too, but its bytes belong to a study that is known
        cut_off.undo()
        assert len(_stored(service)) == 2
        spool = tmp_path / "spool"
        assert len(list(spool.iterdir())) == 2
        (spool / "cut").mkdir()
        (spool / "cut" / "taken").write_bytes(b"0123abc\0\xff")
        assert clear_spool(spool, service.database, service.objects) == 1
        assert _stored(service) == acknowledged
        assert list(spool.iterdir()) == []
        _send(service, 20)
        assert service.client.get("/api/v1/worklist").json()["waiting"] == 2


def test_what_another_process_has_put_and_not_committed_yet_is_not_lost(
    tmp_path: Path, postgresql_address: str
) -> None:
    """A process noted a file and died; its sender sent it to another one, while the first starts again."""
    database, objects = open_database(postgresql_address), LocalObjects(tmp_path / "objects")
    (arrived := tmp_path / "arrived").write_bytes(b"an image")
    sha256 = hashlib.sha256(b"an image").hexdigest()
    note = tmp_path / "spool" / "cut" / "taken"
    note.parent.mkdir(parents=True)
    note.write_text(sha256, encoding="ascii")

    stored = objects.take([arrived])
    assert clear_spool(tmp_path / "spool", database, objects) == 1
    with database.writing() as connection:
        objects.confirm(stored, unreferenced(connection, [sha256]))

    assert b"".join(objects.get(sha256)) == b"an image"
    database.close()
