"""An end of the process in the middle of a refusal: nothing told is lost, nothing half-told stays."""

import random
import signal
import threading
from http.client import HTTPException
from pathlib import Path

import pytest

from serving.intake.interrupted import clear_spool
from tests.journeys.process import started
from tests.serving.quarantine.refusing import bytes_of, entries
from tests.serving.service_in_process import Service, in_process
from tests.tiny_model import write_tiny_artifact


def _send(service: Service, content: bytes) -> int:
    return service.client.post("/api/v1/studies", files={"files": ("letter.txt", content)}).status_code


def test_a_refusal_that_was_cut_off_is_made_anew_when_the_file_is_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_args: object, **_more: object) -> None:
        raise RuntimeError("killed")

    with in_process(tmp_path) as service:
        assert _send(service, b"told") == 422
        with monkeypatch.context() as ending:
            ending.setattr("serving.intake.service.keep", killed)
            ending.setattr("serving.intake.upload.Upload.close", lambda _upload: None)
            assert _send(service, b"cut off") == 500
            assert _send(service, b"told") == 500  # its bytes belong to the first
        assert clear_spool(tmp_path / "spool", service.database, service.objects) == 1
        (entry,) = entries(service)
        assert (bytes_of(service, entry), entry.n_times) == (b"told", 1)
        assert _send(service, b"cut off") == 422
        assert [bytes_of(service, one) for one in entries(service)] == [b"cut off", b"told"]


def test_kill_9_in_the_middle_loses_no_refusal_that_was_told(tmp_path: Path) -> None:
    models, home = tmp_path / "models", tmp_path / "home"
    write_tiny_artifact(models, name="derm-lesion", classes=("nv", "mel"))
    told: dict[str, str] = {}
    dice = random.Random(5)
    for attempt in range(3):
        with started("serve", "--models", str(models), home=home, log=tmp_path / f"log{attempt}") as program:
            for key, content in told.items():
                status, shown = program.fetch(f"/api/v1/quarantine/{key}")
                assert (status, shown["kept"], shown["bytes"]) == (200, True, len(content))

            def send(sender: int, attempt: int = attempt) -> None:
                for number in range(1000):
                    content = f"letter {attempt} {sender} {number}"
                    try:
                        _, answer = program.post((f"{number}.txt", content.encode()))
                    except (OSError, HTTPException):
                        return
                    told[answer["rejected"][0]["quarantine"]] = content

            senders = [threading.Thread(target=send, args=(number,)) for number in range(3)]
            enough = len(told) + dice.randrange(5, 15)
            for one in senders:
                one.start()
            while len(told) < enough and any(one.is_alive() for one in senders):
                threading.Event().wait(0.005)
            program.process.send_signal(signal.SIGKILL)
            for one in senders:
                one.join()
    with started("serve", "--models", str(models), home=home, log=tmp_path / "log") as program:
        page = program.get("/api/v1/quarantine?limit=200")
        assert set(told) <= {entry["id"] for entry in page["entries"]}
        assert all(entry["kept"] for entry in page["entries"])
    objects = {path.name for path in (home / "objects").rglob("*") if path.is_file()}
    assert {entry["sha256"] for entry in page["entries"]} <= objects
