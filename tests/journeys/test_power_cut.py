"""What a cut of power or a worn-out disk can leave of the files, and what the next start makes of it."""

import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.journeys.kills.material import photograph
from tests.journeys.process import PATIENCE_S, Program, command, environment, started
from tests.tiny_model import write_tiny_artifact

N_STUDIES = 6


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_artifact(folder, name="derm-lesion", classes=("nv", "mel"))
    return folder


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Path:
    """Give the home of a service that was killed with all its studies scored."""
    home = tmp_path_factory.mktemp("killed") / "home"
    with started("serve", "--models", str(models), home=home, log=home.parent / "log") as program:
        for number in range(N_STUDIES):
            assert _send(program, number) == (201, 1)
        program.wait_until_scored(N_STUDIES)
        program.process.send_signal(signal.SIGKILL)
        program.process.wait()
    return home


@pytest.fixture
def home(left_behind: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(left_behind, tmp_path / "home"))


def _send(program: Program, number: int) -> tuple[int, int]:
    picture = photograph(1, number)
    status, answer = program.post((picture.name, picture.content))
    return status, answer["studies"][0]["new_images"]


def _truncate(file: Path, n_bytes: int) -> None:
    file.chmod(0o640)
    with file.open("r+b") as stream:
        stream.truncate(n_bytes)


def _verified(home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command("audit", "verify"),
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def _half_a_transaction(home: Path) -> None:
    with (home / "firstread.sqlite-wal").open("ab") as log:
        log.write(os.urandom(5_000))


def _index_of_another_time(home: Path) -> None:
    (home / "firstread.sqlite-shm").write_bytes(os.urandom(32_768))


def _half_an_upload(home: Path) -> None:
    folder = home / "spool" / "tmpabc"
    folder.mkdir()
    (folder / "000001").write_bytes(photograph(2, 2).content[:900])
    (home / "objects" / ".writing-abc").write_bytes(b"half")


@pytest.mark.parametrize("damage", [_half_a_transaction, _index_of_another_time, _half_an_upload])
def test_what_a_power_cut_leaves_half_written_costs_nothing_that_was_acknowledged(
    home: Path, models: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    damage(home)
    with started("serve", "--models", str(models), home=home, log=tmp_path / "log") as program:
        entries = program.wait_until_scored(N_STUDIES)
        assert [entry["state"] for entry in entries] == ["scored"] * N_STUDIES
        assert [_send(program, number) for number in range(N_STUDIES)] == [(200, 0)] * N_STUDIES
        assert program.get("/readyz")["status"] == "ready"
        assert not list((home / "spool").iterdir())
    assert _verified(home).returncode == 0


def test_objects_that_are_cut_or_gone_are_never_shown_and_healed_by_sending_them_again(
    home: Path, models: Path, tmp_path: Path
) -> None:
    empty, cut, gone = sorted(one for one in (home / "objects").glob("??/*") if one.is_file())[:3]
    _truncate(empty, 0)
    _truncate(cut, 700)
    gone.unlink()
    with started("serve", "--models", str(models), home=home, log=tmp_path / "log") as program:
        entries = program.wait_until_scored(N_STUDIES)
        codes = []
        for entry in entries:
            status, problem = program.fetch(entry["cover"]["rendered"])
            codes.append(problem["code"] if status != 200 else "shown")
        assert sorted(codes) == ["object-damaged"] * 3 + ["shown"] * 3

        assert [_send(program, number) for number in range(N_STUDIES)] == [(200, 0)] * N_STUDIES

        assert {program.fetch(entry["cover"]["rendered"])[0] for entry in entries} == {200}


def _lost_log(home: Path) -> None:
    (home / "firstread.sqlite-wal").unlink()
    _truncate(home / "firstread.sqlite", 0)


def _other_bytes(home: Path) -> None:
    (home / "firstread.sqlite-wal").unlink()
    (home / "firstread.sqlite").write_bytes(os.urandom(40_960))


def _half_a_database(home: Path) -> None:
    file = home / "firstread.sqlite"
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    _truncate(file, file.stat().st_size // 8192 * 4096)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_lost_log, "the database is empty, and "),
        (_other_bytes, "cannot be used: file is not a database"),
        (_half_a_database, "cannot be used: database disk image is malformed"),
    ],
)
def test_a_database_that_is_lost_is_said_in_one_sentence_and_is_no_new_beginning(
    home: Path, models: Path, damage: Callable[[Path], None], said: str
) -> None:
    damage(home)
    done = subprocess.run(
        command("serve", "--without-sign-in", "--port", "0", "--models", str(models)),
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(list((home / "objects").glob("??/*"))) == N_STUDIES
