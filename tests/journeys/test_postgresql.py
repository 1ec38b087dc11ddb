"""The whole service on a PostgreSQL database: one process, one that is killed, two at a time."""

import signal
import subprocess
from pathlib import Path

import pytest

from tests.journeys.process import PATIENCE_S, command, environment, started
from tests.serving.service_in_process import photograph
from tests.tiny_model import write_tiny_artifact


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_artifact(folder, name="derm-lesion", classes=("nv", "mel"))
    return folder


def _audit(home: Path, address: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command("audit", "verify"),
        env=environment(home, FIRSTREAD_DATABASE_URL=address),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_from_upload_to_a_ranked_list_over_a_kill(
    tmp_path: Path, models: Path, postgresql_address: str
) -> None:
    home, url = tmp_path / "home", {"FIRSTREAD_DATABASE_URL": postgresql_address}
    with started("serve", "--models", str(models), home=home, log=tmp_path / "log1", **url) as program:
        sent = [program.post((f"{red}.jpg", photograph(red)), age="70")[1] for red in (10, 120, 250)]
        program.process.send_signal(signal.SIGKILL)
        program.process.wait()
    with started("serve", "--models", str(models), home=home, log=tmp_path / "log2", **url) as program:
        entries = program.wait_until_scored(3)
        assert {entry["state"] for entry in entries} == {"scored"}
        assert {entry["id"] for entry in entries} == {one["studies"][0]["id"] for one in sent}
        assert program.get(entries[0]["url"])["images"][0]["file"] == "250.jpg"
        ready = program.get("/readyz")
        assert ready["status"] == "ready", ready
    assert not (home / "firstread.sqlite").exists()
    checked = _audit(home, postgresql_address)
    assert checked.returncode == 0, checked.stderr


def test_two_processes_share_a_database_and_a_home(
    tmp_path: Path, models: Path, postgresql_address: str
) -> None:
    home, url = tmp_path / "home", {"FIRSTREAD_DATABASE_URL": postgresql_address}
    with (
        started("serve", "--models", str(models), home=home, log=tmp_path / "log1", **url) as one,
        started("serve", "--models", str(models), home=home, log=tmp_path / "log2", **url) as other,
    ):
        for number, program in enumerate((one, other, one, other)):
            status, _ = program.post((f"{number}.jpg", photograph(60 * number)))
            assert status == 201
        assert one.post(("again.jpg", photograph(0)))[0] == 200  # known already, from the other process too
        seen = [[entry["id"] for entry in program.wait_until_scored(4)] for program in (one, other)]
        assert seen[0] == seen[1]
        assert len(seen[0]) == 4
    checked = _audit(home, postgresql_address)
    assert checked.returncode == 0, checked.stderr


def test_a_password_in_the_address_stands_in_no_message(tmp_path: Path) -> None:
    for address in (f"postgresql://me:hushhush@/x?host={tmp_path}", "mysql://me:hushhush@host/x"):
        done = subprocess.run(
            command("serve", "--port", "0"),
            env=environment(tmp_path / "home", FIRSTREAD_DATABASE_URL=address),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 1
        assert "hushhush" not in done.stderr + done.stdout
        assert len(done.stderr.strip().splitlines()) == 1
