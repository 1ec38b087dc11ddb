"""What keeps the service from starting is told in one sentence, with status 1, and touches nothing."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from tests.journeys.process import PATIENCE_S, ROOT, command, environment, started


def start(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command("serve", "--without-sign-in", *(arguments or ("--port", "0"))),
        cwd=ROOT,
        env=environment(home, **variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def is_one_sentence(told: str) -> bool:
    lines = told.strip().splitlines()
    return len(lines) == 1 and lines[0].startswith("firstread: ") and "Traceback" not in told


def test_two_processes_on_one_home_of_sqlite(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with started(
        "serve", "--models", str(tmp_path / "none"), home=tmp_path / "home", log=tmp_path / "log"
    ) as program:
        second = start(tmp_path / "home")
        assert second.returncode == 1
        assert is_one_sentence(second.stderr), second.stderr
        assert f"another firstread works on {tmp_path / 'home'}" in second.stderr
        assert program.get("/readyz")["status"] == "ready"
    after = start(tmp_path / "home", "--port", "0", "--models", "/nowhere-at-all")
    assert "another firstread" not in after.stderr  # the lock went with the process


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = start(tmp_path / "home", "--port", str(port))
    assert done.returncode == 1
    assert is_one_sentence(done.stderr), done.stderr
    assert f"port {port} on 127.0.0.1 cannot be used (Address already in use): name another" in done.stderr
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mysql://u:hunter2@h/x", "FIRSTREAD_DATABASE_URL: it must begin with postgresql://"),
        ("postgresql://u:hunter2@127.0.0.1:1/x", "the database x at 127.0.0.1 cannot be used"),
        ("postgresql://u:hunter2@no-such-host.invalid/x", "the database x at no-such-host.invalid"),
        ("postgresql://u:hunter2@127.0.0.1/x?nonsense=1", "firstread: "),
    ],
)
def test_an_address_of_the_database_that_is_wrong(tmp_path: Path, url: str, told: str) -> None:
    done = start(tmp_path / "home", FIRSTREAD_DATABASE_URL=url)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr + done.stdout


def test_a_file_of_settings_with_a_typing_error(tmp_path: Path) -> None:
    file = tmp_path / "firstread.toml"
    file.write_text("port = 0\nworker = 3\n", encoding="utf-8")
    done = start(tmp_path / "home", FIRSTREAD_CONFIG=str(file))
    assert done.returncode == 1
    assert is_one_sentence(done.stderr), done.stderr
    assert f"{file}:2: there is no setting worker; is workers meant?" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    done = start(tmp_path / "locked" / "home")
    assert done.returncode == 1
    assert "cannot be written (Permission denied)" in done.stderr


def test_a_home_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    done = start(tmp_path / "home")
    assert done.returncode == 1
    assert is_one_sentence(done.stderr), done.stderr
