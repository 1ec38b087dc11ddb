"""A bucket that fails, is slow or breaks off under a whole service: said, nothing lost, taken up again."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.journeys.kills.material import Picture, photograph
from tests.journeys.process import PATIENCE_S, Program, started
from tests.serving.store.bucket import Faults, bucket_server, failing_proxy
from tests.tiny_model import write_tiny_artifact

_SECRET = "a-secret-of-nobody"


class Outage(Faults):
    """Fails every request in one way, or none; and those that read alone, if `of` says so."""

    kind: str = ""
    of: frozenset[str] = frozenset()

    def next(self) -> str:
        method = self.seen[-1][0]
        return self.kind if not self.of or method in self.of else ""


@pytest.fixture
def bucket() -> Iterator[tuple[str, Outage]]:
    """Give the address of a bucket's server, and what fails of it."""
    outage = Outage(wait_s=4.0)
    with bucket_server("studies") as server, failing_proxy(server, outage) as address:
        yield address, outage


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with one folder of a model and one of none."""
    write_tiny_artifact(tmp_path / "models", name="derm-lesion", classes=("nv", "mel"))
    (tmp_path / "none").mkdir()
    return tmp_path


@contextmanager
def _served(folder: Path, address: str, models: str) -> Iterator[Program]:
    with started(
        "serve",
        "--models",
        str(folder / models),
        home=folder / "home",
        log=folder / f"log-{models}",
        FIRSTREAD_OBJECTS_URL="s3://studies/images",
        FIRSTREAD_OBJECTS_ENDPOINT=address,
        FIRSTREAD_OBJECTS_REQUEST_S="2",
        FIRSTREAD_OBJECTS_RETRY_S="2",
        AWS_ACCESS_KEY_ID="tests",
        AWS_SECRET_ACCESS_KEY=_SECRET,
        AWS_REGION="eu-central-1",
    ) as program:
        yield program
        assert _SECRET not in program.log.read_text(encoding="utf-8")


def _post(program: Program, picture: Picture) -> tuple[int, str]:
    status, answer = program.post((picture.name, picture.content))
    return status, answer.get("code", "")


@pytest.mark.parametrize("kind", ["500", "slow"])
def test_a_bucket_that_fails_is_told_to_the_sender_and_takes_the_same_upload_once_it_is_back(
    bucket: tuple[str, Outage], folder: Path, kind: str
) -> None:
    address, outage = bucket
    before, during = photograph(5, 1), photograph(5, 2)
    with _served(folder, address, "models") as program:
        assert _post(program, before) == (201, "")
        program.wait_until_scored(1)

        outage.kind = kind
        assert _post(program, during) == (503, "storage-unavailable")
        status, readiness = program.fetch("/readyz")
        assert (status, [one["name"] for one in readiness["checks"] if not one["good"]]) == (503, ["storage"])
        assert len(program.get("/api/v1/worklist")["entries"]) == 1  # the list does not need the bucket

        outage.kind = ""
        assert _post(program, during) == (201, "")
        assert [entry["state"] for entry in program.wait_until_scored(2)] == ["scored"] * 2


@pytest.mark.parametrize("kind", ["500", "cut"])
def test_studies_that_cannot_be_read_from_the_bucket_wait_and_are_scored_once_they_can(
    bucket: tuple[str, Outage], folder: Path, kind: str
) -> None:
    address, outage = bucket
    with _served(folder, address, "none") as program:
        assert [_post(program, photograph(6, number)) for number in range(3)] == [(201, "")] * 3
        program.wait_until_scored(3)
    shutil.rmtree(folder / "home" / "cache")
    outage.kind, outage.of = kind, frozenset({"GET"})
    outage.seen.clear()
    with _served(folder, address, "models") as program:
        _wait_until(lambda: sum(method == "GET" for method, _, _ in outage.seen) >= 3)
        states = {entry["state"] for entry in program.get("/api/v1/worklist")["entries"]}
        assert states <= {"received", "scoring"}
        outage.kind = ""
        assert [entry["state"] for entry in program.wait_until_scored(3)] == ["scored"] * 3


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)
