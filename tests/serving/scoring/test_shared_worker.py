"""A scoring process that is at several studies at once, as on a GPU; here it runs on the CPU."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from serving.scoring.pool import ScoringPool
from serving.scoring.result import Status
from tests.serving.scoring.test_pool import failure, study
from tests.tiny_model import write_tiny_artifact


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_artifact(folder)
    return folder


@pytest.fixture
def pool(models: Path) -> Iterator[ScoringPool]:
    with ScoringPool([models], workers=1, at_once=4) as pool:
        yield pool


def test_many_studies_go_through_one_process_and_each_gets_its_own_score(pool: ScoringPool) -> None:
    futures = [pool.submit(study(f"1.{number}")) for number in range(30)]
    scores = [future.result(60) for future in futures]
    assert [score.study_uid for score in scores] == [f"1.{number}" for number in range(30)]
    assert {score.status for score in scores} == {Status.SCORED}
    assert len(pool.process_ids) == 1


def test_a_study_that_kills_the_process_interrupts_those_beside_it_and_another_is_started(
    pool: ScoringPool,
) -> None:
    pool.submit(study("1")).result(60)
    (before,) = pool.process_ids
    fatal = pool.submit(study("2", "die"))
    assert fatal.result(60).was_interrupted
    assert "worker died" in failure(fatal.result(60)).problem
    assert pool.submit(study("3")).result(60).status is Status.SCORED
    assert pool.process_ids != (before,)
    assert not psutil.pid_exists(before)


def test_one_who_has_the_process_to_himself_takes_nobody_with_him(pool: ScoringPool) -> None:
    beside = [pool.submit(study(f"1.{number}")) for number in range(8)]
    fatal = pool.submit(study("2", "die"), is_alone=True)
    after = [pool.submit(study(f"3.{number}")) for number in range(8)]
    assert fatal.result(60).was_interrupted
    scores = [future.result(60) for future in beside + after]
    assert {score.status for score in scores} == {Status.SCORED}


def test_a_study_that_hangs_is_stopped_and_those_beside_it_are_interrupted(models: Path) -> None:
    with ScoringPool([models], workers=1, at_once=2, seconds_per_study=2.0) as pool:
        pool.submit(study("1")).result(60)
        error = failure(pool.submit(study("2", "hang")).result(60))
        assert "took longer" in error.problem
        assert pool.submit(study("3")).result(60).status is Status.SCORED


def test_a_file_that_is_cut_fails_alone(pool: ScoringPool) -> None:
    cut, good = pool.submit(study("1", "cut")), pool.submit(study("2"))
    assert failure(cut.result(60)).reason == "truncated"
    assert good.result(60).status is Status.SCORED


def test_no_process_is_left_when_it_is_closed(models: Path) -> None:
    pool = ScoringPool([models], workers=1, at_once=3)
    pool.submit(study("1")).result(60)
    (process,) = pool.process_ids
    pool.close()
    assert not psutil.pid_exists(process)
