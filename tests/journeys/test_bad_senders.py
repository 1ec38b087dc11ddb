"""Senders that hang up, trickle, or come all at once."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.journeys.kills.ledger import Ledger
from tests.journeys.kills.material import photograph
from tests.journeys.kills.sending import Client
from tests.journeys.process import PATIENCE_S, Program, started
from tests.journeys.wire import END, answer_of, connected, part, upload_head
from tests.tiny_model import write_tiny_artifact

N_SENDERS = 200


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_artifact(folder, name="derm-lesion", classes=("nv", "mel"))
    return folder


def _port(program: Program) -> int:
    return int(program.address.rstrip("/").rpartition(":")[2])


def _wait_for_an_empty_spool(home: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while list((home / "spool").iterdir()):
        assert time.monotonic() < deadline, list((home / "spool").rglob("*"))
        time.sleep(0.05)


def test_uploads_that_break_off_anywhere_leave_nothing_and_keep_nobody_waiting(
    tmp_path: Path, models: Path
) -> None:
    picture = photograph(3, 1)
    body = part(b'name="files"; filename="a.png"', picture.content) + END
    home = tmp_path / "home"
    with started("serve", "--models", str(models), home=home, log=tmp_path / "log") as program:
        for n_bytes in (0, 1, 40, 90, len(body) // 2, len(body) - 9, len(body) - 1):
            with connected(_port(program)) as line:
                line.sendall(upload_head(len(body)) + body[:n_bytes])
        _wait_for_an_empty_spool(home)
        assert program.get("/api/v1/worklist")["entries"] == []
        assert program.post((picture.name, picture.content))[0] == 201
        assert "Traceback" not in program.log.read_text(encoding="utf-8")


def test_senders_that_trickle_are_ended_with_408_and_take_nobodys_place(tmp_path: Path, models: Path) -> None:
    body = part(b'name="files"; filename="a.png"', photograph(3, 2).content) + END
    home = tmp_path / "home"
    with started(
        "serve",
        "--models",
        str(models),
        home=home,
        log=tmp_path / "log",
        FIRSTREAD_MAX_UPLOAD_S="3",
    ) as program:
        lines = [connected(_port(program)) for _ in range(60)]
        for line in lines:
            line.sendall(upload_head(len(body)) + body[:50])
        assert program.post(("b.png", photograph(3, 3).content))[0] == 201  # while the others trickle
        answers = {answer_of(line)[0] for line in lines}
        for line in lines:
            line.close()
        assert answers == {408}
        _wait_for_an_empty_spool(home)


def test_two_hundred_senders_at_once_are_each_taken_or_told_to_come_again(
    tmp_path: Path, models: Path
) -> None:
    ledger = Ledger()
    with started("serve", "--models", str(models), home=tmp_path / "home", log=tmp_path / "log") as program:
        client = Client(_port(program))
        together = threading.Barrier(N_SENDERS)

        def send_one(number: int) -> int:
            picture = photograph(4, number)
            together.wait()
            while True:
                status, body = client.post([picture], {}, None)
                if status in {200, 201}:
                    ledger.acknowledge([picture], json.loads(body), priority="routine")
                    return status
                assert status in {429, 503}, (status, body)
                time.sleep(0.2)

        with ThreadPoolExecutor(N_SENDERS) as senders:
            statuses = list(senders.map(send_one, range(N_SENDERS)))

        assert set(statuses) == {201}
        assert ledger.faults == []
        assert len(ledger.studies) == N_SENDERS
        entries = program.wait_until_scored(N_SENDERS)
        assert {entry["id"] for entry in entries} == set(ledger.studies)
        assert "Traceback" not in program.log.read_text(encoding="utf-8")
