"""A disk that fills up under the whole service, and has room again: said, nothing lost, no restart."""

import contextlib
import io
import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.journeys.kills.material import photograph
from tests.journeys.process import PATIENCE_S, Program, command, environment, started
from tests.tiny_model import write_tiny_artifact


@pytest.fixture
def models(tmp_path: Path) -> Path:
    write_tiny_artifact(tmp_path / "models", name="derm-lesion", classes=("nv", "mel"))
    return tmp_path / "models"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a disk of 16 MB of its own, or skip."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a disk of its own can be mounted by root alone")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _large(number: int) -> bytes:
    """Make a PNG of about 270 KB."""
    noise = np.random.default_rng(number).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


def _send(program: Program, name: str, content: bytes) -> tuple[int, str]:
    """Give the status and the study's key, or the problem's code."""
    status, answer = program.post((name, content))
    return status, answer["studies"][0]["id"] if status in {200, 201} else answer["code"]


def _fill(folder: Path) -> Path:
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as stream:
        while True:
            stream.write(b"\0" * 4096)
    return filler


def _verified(home: Path) -> str:
    done = subprocess.run(
        command("audit", "verify"),
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.stdout + done.stderr


def test_a_full_disk_refuses_uploads_by_name_shows_the_list_and_is_well_once_there_is_room(
    small_disk: Path, models: Path, tmp_path: Path
) -> None:
    home = small_disk / "home"
    taken: list[str] = []
    with started(
        "serve",
        "--models",
        str(models),
        home=home,
        log=tmp_path / "log",
        FIRSTREAD_MIN_FREE_BYTES="0",  # so that the very last byte is fought for
    ) as program:
        for number in range(100):
            status, said = _send(program, f"{number}.png", _large(number))
            if status != 201:
                break
            taken.append(said)
        assert (status, said) == (507, "storage-full")
        filler = _fill(small_disk)
        assert _send(program, "one-more.png", photograph(1).content) == (507, "storage-full")
        entries = program.wait_until_scored(len(taken))
        assert {entry["id"] for entry in entries} == set(taken)
        status, readiness = program.fetch("/readyz")
        assert (status, readiness["status"]) == (503, "not ready")

        filler.unlink()
        subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)

        status, said = _send(program, "again.png", photograph(2).content)
        assert status == 201
        entries = program.wait_until_scored(len(taken) + 1)
        assert {entry["id"] for entry in entries} == {*taken, said}
        assert {entry["state"] for entry in entries} == {"scored"}
        assert "Traceback" not in program.log.read_text(encoding="utf-8")
    assert "the audit trail is whole" in _verified(home)
    assert not [one for one in (home / "spool").rglob("*") if one.is_file()]


def test_a_database_that_cannot_grow_refuses_uploads_by_name_and_is_well_once_it_can(
    models: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    with started("serve", "--models", str(models), home=home, log=tmp_path / "log") as program:
        first = _send(program, "first.png", photograph(3, 0).content)[1]
        program.wait_until_scored(1)
        _limit_files(program, (home / "firstread.sqlite-wal").stat().st_size)
        refusals = {_send(program, f"{n}.png", photograph(3, n).content) for n in range(1, 4)}
        assert refusals <= {(503, "database-unavailable"), (507, "storage-full")}
        _wait_until_it_says(program, 503)
        assert [entry["id"] for entry in program.get("/api/v1/worklist")["entries"]] == [first]

        _limit_files(program, None)

        later = [_send(program, f"{n}.png", photograph(3, n).content)[1] for n in range(1, 4)]
        entries = program.wait_until_scored(4)
        assert {entry["id"] for entry in entries} == {first, *later}
        assert {entry["state"] for entry in entries} == {"scored"}
        assert program.get("/readyz")["status"] == "ready"
    assert "the audit trail is whole" in _verified(home)


def _wait_until_it_says(program: Program, status: int) -> None:
    """Ask whether it is ready; a change that was written a moment ago is not tried again at once."""
    deadline = time.monotonic() + PATIENCE_S
    while program.fetch("/readyz")[0] != status:
        assert time.monotonic() < deadline, f"/readyz never said {status}"
        time.sleep(0.2)


def _limit_files(program: Program, n_bytes: int | None) -> None:
    """Let no file of the service grow beyond so many bytes: what a quota does, without one."""
    _, hardest = resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE)
    limit = hardest if n_bytes is None else n_bytes
    resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE, (limit, hardest))
