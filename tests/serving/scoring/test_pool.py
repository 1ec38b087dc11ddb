import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from data.errors import ImageError, Reason
from data.study import Frame, Instance, Modality, Series, Study
from serving.scoring.pool import ScoringPool
from serving.scoring.result import Status, StudyScore
from tests.tiny_model import write_tiny_artifact


@dataclass(frozen=True)
class GreyReader:
    """A picture of one shade; what else it does to its process is said by its name."""

    what: str = ""

    def displayed(self, index: int, *, at_least_px: int | None = None) -> NDArray[np.uint8]:
        match self.what:
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "crash":
                os.abort()
            case "hang":
                time.sleep(600)
            case "no memory":
                raise MemoryError
            case "bug":
                raise KeyError("a mistake of ours")
            case "cut":
                raise ImageError("cut.jpg", Reason.TRUNCATED, "ends early", "send the file again")
        return np.full((at_least_px or 32, 32, 3), index + 30, np.uint8)

    def quantities(self, index: int) -> NDArray[np.float32]:
        raise ValueError(f"frame {index} has no quantities")


def study(uid: str, what: str = "") -> Study:
    instance = Instance(
        path=Path(f"{uid}.jpg"),
        sop_instance_uid=uid,
        sop_class_uid=None,
        number=None,
        n_frames=1,
        rows=32,
        columns=32,
        is_colour=True,
        unit=None,
        reader=GreyReader(what),
    )
    return Study(uid, (Series(uid, Modality.PHOTOGRAPH, (Frame(instance, 0),)),))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_artifact(folder)
    return folder


@pytest.fixture(scope="module")
def pool(models: Path) -> Iterator[ScoringPool]:
    with ScoringPool([models], workers=2) as pool:
        yield pool


def failure(score: StudyScore) -> ImageError:
    assert score.status is Status.REJECTED
    assert score.error is not None
    return score.error


def wait_until(condition: Callable[[], object]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("it did not happen within 30 s")


def test_every_study_gets_its_own_score(pool: ScoringPool) -> None:
    futures = [pool.submit(study(f"1.{number}")) for number in range(30)]

    scores = [future.result(60) for future in futures]

    assert [score.study_uid for score in scores] == [f"1.{number}" for number in range(30)]
    assert {score.status for score in scores} == {Status.SCORED}


@pytest.mark.parametrize("what", ["die", "crash"])
def test_a_study_that_kills_its_worker_fails_alone(pool: ScoringPool, what: str) -> None:
    before = pool.submit(study("1"))
    fatal = pool.submit(study("2", what))
    after = [pool.submit(study(f"3.{number}")) for number in range(6)]

    error = failure(fatal.result(60))

    assert error.reason is Reason.MODEL_FAILED
    assert "worker died" in error.problem
    assert error.source == "2.jpg"
    assert before.result(60).status is Status.SCORED
    assert {future.result(60).status for future in after} == {Status.SCORED}


def test_a_worker_that_is_killed_from_outside_is_replaced(models: Path) -> None:
    with ScoringPool([models], workers=1) as pool:
        pool.submit(study("1")).result(60)
        (killed,) = pool.process_ids
        os.kill(killed, signal.SIGKILL)

        scores = [pool.submit(study(f"2.{number}")).result(60) for number in range(3)]

        assert scores[-1].status is Status.SCORED
        assert sum(score.status is Status.REJECTED for score in scores) <= 1
        assert pool.process_ids != (killed,)


def test_a_study_that_takes_too_long_is_stopped(models: Path) -> None:
    with ScoringPool([models], workers=1, seconds_per_study=0.5) as pool:
        pool.submit(study("1")).result(60)

        error = failure(pool.submit(study("2", "hang")).result(60))

        assert error.reason is Reason.MODEL_FAILED
        assert "longer than" in error.problem


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("no memory", Reason.MODEL_FAILED),
        ("bug", Reason.MODEL_FAILED),
        ("cut", Reason.TRUNCATED),
    ],
)
def test_what_goes_wrong_inside_a_worker_is_a_coded_reason(
    pool: ScoringPool, what: str, reason: Reason
) -> None:
    assert failure(pool.submit(study("1", what)).result(60)).reason is reason
    assert pool.submit(study("2")).result(60).status is Status.SCORED


def test_a_closed_pool_takes_no_study_and_has_no_process(models: Path) -> None:
    pool = ScoringPool([models], workers=1)
    first = pool.submit(study("1"))
    wait_until(lambda: pool.process_ids)

    pool.close()

    assert first.result(1).status is Status.SCORED
    assert pool.process_ids == ()
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit(study("2"))


def test_a_pool_that_is_closed_at_once_leaves_no_study_without_an_answer(models: Path) -> None:
    pool = ScoringPool([models], workers=1)
    futures = [pool.submit(study("1", "hang")), *(pool.submit(study(f"2.{number}")) for number in range(3))]
    wait_until(futures[0].running)

    pool.close(finish=False)

    assert failure(futures[0].result(1)).reason is Reason.MODEL_FAILED
    assert all(future.cancelled() for future in futures[1:])
    assert pool.process_ids == ()


def test_submitting_waits_while_too_many_studies_wait(models: Path) -> None:
    pool = ScoringPool([models], workers=1)
    submitted: list[int] = []

    def submit_many() -> None:
        with contextlib.suppress(RuntimeError):  # it is closed in the end
            for number in range(100):
                pool.submit(study(f"1.{number}", "hang" if number == 0 else ""))
                submitted.append(number)

    thread = threading.Thread(target=submit_many, daemon=True)
    thread.start()
    wait_until(lambda: len(submitted) >= 9)
    time.sleep(0.2)

    assert len(submitted) == 9  # one is being scored, eight wait
    pool.close(finish=False)
    thread.join(30)
    assert not thread.is_alive()
