"""What is done for a job, with a pool whose results the test decides; the database is each of the two."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from data.errors import ImageError, Reason
from data.photo import read_photo
from data.study import Study
from models.registry import Registry
from serving.audit.opening import open_trail
from serving.errors import Problem, ServiceError
from serving.scoring.adoption import adopt
from serving.scoring.durable import HandedBackError
from serving.scoring.pipeline import Pipeline
from serving.scoring.result import StudyScore, rejected_score
from serving.scoring.scorer import Scorer
from serving.store.database import Database
from serving.store.failures import DatabaseUnavailableError
from serving.store.jobs import Job
from serving.store.local_objects import LocalObjects
from serving.store.receipt import ArrivedInstance
from serving.store.scores import newest_score
from serving.store.studies import StoredStudy, find_study
from serving.store.switch import Switch, set_switch
from serving.worklist.placement import Placer
from serving.worklist.policy import read_policy
from tests.serving.service_in_process import JobsInMemory, photograph, recorder_of
from tests.serving.store.databases import Place
from tests.serving.store.stored import LOCAL, opened, receive, study
from tests.tiny_model import write_tiny_artifact


class PoolOfTheTest:
    """Scores each study as the test says: by default well."""

    def __init__(self, models: Path) -> None:
        self.scorer = Scorer([models])
        self.answer: Callable[[Study], StudyScore] = self.scorer.score
        self.due: list[int] = []
        self.alone: list[bool] = []

    def submit(
        self, study: Study, model: str | None = None, *, due_at_us: int = 0, is_alone: bool = False
    ) -> Future[StudyScore]:
        assert model is None
        self.due.append(due_at_us)
        self.alone.append(is_alone)
        future: Future[StudyScore] = Future()
        future.set_result(self.answer(study))
        return future


class Setting:
    def __init__(self, folder: Path, database: Database) -> None:
        models = folder / "models"
        write_tiny_artifact(models, name="derm-lesion", classes=("nv", "mel"))
        self.folder = folder
        self.database = database
        self.pool = PoolOfTheTest(models)
        self.queue = JobsInMemory()
        self.objects = LocalObjects(folder / "objects")
        self.trail = open_trail(database, folder)
        self.registry = Registry([models])
        self.pipeline = self.of_worker("a-worker")

    def of_worker(self, name: str) -> Pipeline:
        recorder = recorder_of(
            self.trail, self.registry, Placer(read_policy()), worker=name, clock=lambda: 77
        )
        return Pipeline(
            database=self.database,
            objects=self.objects,
            queue=self.queue,
            pool=self.pool,
            recorder=recorder,
            clock=lambda: 77,
        )

    def arrive(self, red: int, *, priority: str = "routine", uid: str | None = None) -> str:
        file = self.folder / "incoming.jpg"
        file.write_bytes(photograph(red))
        found = read_photo(file)
        (instance,) = found.series[0].instances
        stored = self.objects.take([file])[file]
        image = ArrivedInstance(
            instance.sop_instance_uid, None, "s", "XC", 1, 64, 64, stored.sha256, stored.n_bytes, f"{red}.jpg"
        )
        jobs: list[Job] = []
        with self.database.writing() as connection:
            key = receive(connection, study(uid or found.uid, image, priority=priority), jobs=jobs).study_key
            for job in jobs:
                self.queue.enqueue(connection, job)
        return key

    def job(self) -> Job:
        (job,) = self.queue.take()
        return job

    def study(self, key: str) -> StoredStudy:
        with self.database.reading() as connection:
            found = find_study(connection, scope=LOCAL, key=key)
        assert found is not None
        return found

    def fail_by(self, reason: Reason, *, was_interrupted: bool = False) -> None:
        def answer(study: Study) -> StudyScore:
            error = ImageError("a.jpg", reason, "could not be scored", "read it unscored")
            return replace(rejected_score(study, error, elapsed_ms=1.0), was_interrupted=was_interrupted)

        self.pool.answer = answer

    def pause(self, *, is_paused: bool) -> None:
        with self.database.writing() as connection:
            set_switch(connection, Switch(is_paused, "a test", "me", 1))


@pytest.fixture
def setting(place: Place, tmp_path: Path) -> Iterator[Setting]:
    with opened(place) as database:
        yield Setting(tmp_path, database)


def test_a_score_is_kept_whole_and_moves_its_study(setting: Setting) -> None:
    key = setting.arrive(250)
    before = setting.study(key).placement
    setting.pipeline.run(setting.job())
    after = setting.study(key)
    assert after.state == "scored"
    assert after.placement.due_at_us < before.due_at_us
    assert setting.pool.due == [before.due_at_us]
    with setting.database.reading() as connection:
        score = newest_score(connection, scope=LOCAL, study_id=after.id)
    assert score is not None
    assert (score.model_name, score.provider, score.scored_at_us) == (
        "derm-lesion",
        "CPUExecutionProvider",
        77,
    )
    assert score.operating_point["flagged"] == ["mel"]
    assert [image.sop_instance_uid for image in score.key_images] == [after.instances[0].sop_instance_uid]


def test_a_job_that_is_run_twice_gives_one_score_and_one_row_of_the_trail(setting: Setting) -> None:
    key = setting.arrive(250)
    job = setting.job()
    setting.pipeline.run(job)
    after = setting.study(key)
    setting.pipeline.run(job)
    setting.of_worker("another").run(job)
    assert setting.study(key) == after
    assert len(setting.pool.due) == 1


def test_a_failed_study_keeps_its_place_and_says_why(setting: Setting) -> None:
    key = setting.arrive(10)
    due = setting.study(key).placement.due_at_us
    setting.fail_by(Reason.MODEL_FAILED)
    setting.pipeline.run(setting.job())
    failed = setting.study(key)
    assert (failed.state, failed.reason, failed.problem) == ("failed", "model-failed", "could not be scored")
    assert failed.placement.due_at_us == due
    assert failed.placement.reason_en == "scoring failed: read within 4 h"
    assert setting.queue.take() == []


@pytest.mark.parametrize("reason", [Reason.MODEL_FAILED, Reason.NO_MODEL])
def test_a_failure_never_takes_away_the_place_that_an_earlier_score_gave(
    setting: Setting, reason: Reason, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = setting.arrive(250, uid="s")
    setting.pipeline.run(setting.job())
    critical = setting.study(key).placement
    setting.arrive(240, uid="s")  # a late image opens the study again
    file = setting.folder / "both.jpg"
    file.write_bytes(photograph(240))
    monkeypatch.setattr("serving.scoring.pipeline.assemble", lambda *_: read_photo(file))
    setting.fail_by(reason)
    setting.pipeline.run(setting.job())
    after = setting.study(key)
    assert after.reason == reason
    assert after.placement == critical


def test_a_study_without_a_model_waits_for_one_over_any_number_of_starts(setting: Setting) -> None:
    key = setting.arrive(10)
    setting.fail_by(Reason.NO_MODEL)
    for _ in range(5):
        setting.pipeline.run(setting.job())
        assert (setting.study(key).state, setting.study(key).reason) == ("abstained", "no-model")
        assert adopt(setting.database, setting.queue, clock=lambda: 78) == 1  # as a start does
    setting.pool.answer = setting.pool.scorer.score
    setting.pipeline.run(setting.job())
    assert setting.study(key).state == "scored"


def test_a_stat_that_comes_while_a_study_is_scored_still_counts(setting: Setting) -> None:
    key = setting.arrive(10)

    def answer(study: Study) -> StudyScore:
        setting.arrive(10, priority="stat")
        return setting.pool.scorer.score(study)

    setting.pool.answer = answer
    setting.pipeline.run(setting.job())
    assert setting.study(key).placement.tier == "critical"
    assert setting.study(key).state == "scored"


def test_a_study_whose_files_are_damaged_is_left_to_a_person_at_once(setting: Setting) -> None:
    key = setting.arrive(10)
    path = setting.objects.path_of(setting.study(key).instances[0].sha256)
    path.chmod(0o600)
    path.write_bytes(b"other bytes")
    setting.pipeline.run(setting.job())
    assert (setting.study(key).state, setting.study(key).reason) == ("failed", "object-damaged")
    assert setting.queue.take() == []


def test_a_store_that_is_away_puts_a_study_off_longer_each_time_and_never_fails_it(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = setting.arrive(10)

    def unavailable(_name: str) -> Path:
        raise ServiceError(Problem.STORAGE_UNAVAILABLE, "the bucket answers 503")

    delays = []
    with monkeypatch.context() as patched:
        patched.setattr(setting.objects, "checked", unavailable)
        for _ in range(12):
            ((job, delay_s),) = setting.queue.jobs
            setting.queue.jobs.clear()
            delays.append(delay_s)
            setting.pipeline.run(job)
            assert setting.study(key).state == "received"
            assert setting.study(key).problem == "the bucket answers 503"
    assert delays[:5] == [0, 2, 4, 8, 16]
    assert delays[-1] == 300
    setting.pipeline.run(setting.job())
    assert (setting.study(key).state, setting.study(key).problem) == ("scored", None)


def test_a_study_whose_process_died_is_tried_again_and_fails_the_fourth_time(setting: Setting) -> None:
    key = setting.arrive(10)
    setting.fail_by(Reason.MODEL_FAILED, was_interrupted=True)
    for _ in range(3):
        setting.pipeline.run(setting.job())
        assert setting.study(key).state == "received"
    setting.pipeline.run(setting.job())
    assert (setting.study(key).state, setting.study(key).reason) == ("failed", "model-failed")
    assert setting.queue.take() == []
    assert setting.pool.alone == [False, True, True, True]


class WorkerDiedError(BaseException):
    """Stands for a kill -9: nothing of what should follow happens."""


def test_a_study_in_whose_midst_workers_die_waits_longer_and_is_left_to_a_person_in_the_end(
    setting: Setting,
) -> None:
    key = setting.arrive(10)

    def die(_study: Study) -> StudyScore:
        raise WorkerDiedError

    setting.pool.answer = die
    job, delays, n_deaths = setting.job(), [], 0
    while setting.study(key).state != "failed":
        try:
            setting.of_worker(f"worker-{n_deaths}").run(job)  # whoever takes the job over
        except WorkerDiedError:
            n_deaths += 1
        for later, delay_s in setting.queue.jobs:
            job = later
            delays.append(delay_s)
        setting.queue.jobs.clear()
    assert n_deaths == 10
    assert delays == [5, 10, 20, 30, 30, 30, 30]
    assert setting.study(key).problem == "was begun 10 times, and each time its worker died"


def test_while_scoring_is_paused_nothing_is_begun_and_then_it_goes_on(setting: Setting) -> None:
    key = setting.arrive(10)
    setting.pause(is_paused=True)
    thread = threading.Thread(target=setting.pipeline.run, args=(setting.job(),))
    thread.start()
    thread.join(0.7)
    assert thread.is_alive()
    assert setting.study(key).state == "received"
    setting.pause(is_paused=False)
    thread.join(30)
    assert setting.study(key).state == "scored"


def test_a_job_is_handed_back_if_its_worker_stops_while_scoring_is_paused(setting: Setting) -> None:
    key = setting.arrive(10)
    setting.pause(is_paused=True)
    job = setting.job()
    raised: list[BaseException] = []

    def run() -> None:
        try:
            setting.pipeline.run(job)
        except HandedBackError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    setting.pipeline.stop(grace_s=0.0)
    thread.join(30)
    assert len(raised) == 1
    assert setting.study(key).state == "received"


def test_what_is_under_way_at_a_stop_waits_again_and_is_not_called_failed(setting: Setting) -> None:
    key = setting.arrive(10)
    job = setting.job()

    def answer(study: Study) -> StudyScore:
        setting.pipeline.stop(grace_s=0.0)  # and the owner ends the scoring process
        error = ImageError("a.jpg", Reason.MODEL_FAILED, "its worker died", "read it unscored")
        return replace(rejected_score(study, error, elapsed_ms=1.0), was_interrupted=True)

    setting.pool.answer = answer
    with pytest.raises(HandedBackError):
        setting.pipeline.run(job)
    assert setting.study(key).state == "received"

    setting.pool.answer = setting.pool.scorer.score
    setting.of_worker("the-next").run(job)
    assert setting.study(key).state == "scored"


def test_a_result_that_cannot_be_written_now_is_written_later(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = setting.arrive(10)
    n_tries = 0

    def fails_twice(*_args: object, **_more: object) -> bool:
        nonlocal n_tries
        n_tries += 1
        if n_tries <= 2:
            raise DatabaseUnavailableError(Problem.STORAGE_FULL, "the disk is full")
        return True

    monkeypatch.setattr("serving.scoring.recording.record_score", fails_twice)
    setting.pipeline.run(setting.job())
    assert n_tries == 3
    assert setting.study(key).state == "scored"


@pytest.mark.parametrize("error", [KeyError("a fault of ours"), OperationalError("INSERT", {}, Exception())])
def test_a_result_that_can_never_be_kept_fails_its_study_alone(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    key = setting.arrive(10)

    def breaks(*_args: object, **_more: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr("serving.scoring.recording.stored_score", breaks)
        setting.pipeline.run(setting.job())
    other = setting.arrive(20)
    setting.pipeline.run(setting.job())
    assert (setting.study(key).state, setting.study(other).state) == ("failed", "scored")
