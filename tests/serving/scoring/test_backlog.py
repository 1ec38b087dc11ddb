"""What the backlog does with results, with a pool whose results the test decides."""

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from data.errors import ImageError, Reason
from data.photo import read_photo
from data.study import Study
from models.registry import Registry
from serving.audit.opening import open_trail
from serving.scoring.backlog import Backlog
from serving.scoring.result import StudyScore, rejected_score
from serving.scoring.scorer import Scorer
from serving.store.database import Database
from serving.store.local_objects import LocalObjects
from serving.store.receipt import ArrivedInstance
from serving.store.scores import newest_score
from serving.store.studies import StoredStudy, claim_next, count_by_state, find_study, recover
from serving.worklist.placement import Placer
from serving.worklist.policy import read_policy
from serving.worklist.reasons import NoScore
from tests.serving.service_in_process import photograph
from tests.serving.store.databases import Place
from tests.serving.store.stored import LOCAL, opened, receive, study
from tests.tiny_model import write_tiny_artifact


class PoolOnDemand:
    """Keeps what is submitted until the test says how it ends."""

    def __init__(self, models: Path) -> None:
        self.submitted: list[tuple[Study, Future[StudyScore]]] = []
        self._scorer = Scorer([models])

    def submit(self, study: Study, model: str | None = None) -> Future[StudyScore]:
        assert model is None
        future: Future[StudyScore] = Future()
        self.submitted.append((study, future))
        return future

    def score_next(self) -> None:
        study, future = self.submitted.pop(0)
        future.set_result(self._scorer.score(study))

    def fail_next(self, reason: Reason) -> None:
        study, future = self.submitted.pop(0)
        error = ImageError("a.jpg", reason, "could not be scored", "read it unscored")
        future.set_result(rejected_score(study, error, elapsed_ms=1.0))


class Setting:
    def __init__(self, folder: Path, database: Database) -> None:
        models = folder / "models"
        write_tiny_artifact(models, name="derm-lesion", classes=("nv", "mel"))
        self.folder = folder
        self.database = database
        self.pool = PoolOnDemand(models)
        self.objects = LocalObjects(folder / "objects")
        self.backlog = Backlog(
            database=database,
            trail=open_trail(database, folder),
            objects=self.objects,
            pool=self.pool,
            registry=Registry([models]),
            placer=Placer(read_policy()),
            n_at_once=2,
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
        with self.database.writing() as connection:
            return receive(connection, study(uid or found.uid, image, priority=priority)).study_key

    def study(self, key: str) -> StoredStudy:
        with self.database.reading() as connection:
            found = find_study(connection, scope=LOCAL, key=key)
        assert found is not None
        return found


@pytest.fixture
def setting(place: Place, tmp_path: Path) -> Iterator[Setting]:
    with opened(place) as database:
        yield Setting(tmp_path, database)


def test_the_study_that_is_due_first_is_handed_over_first(setting: Setting) -> None:
    setting.arrive(10)
    urgent = setting.study(setting.arrive(20, priority="stat"))
    assert setting.backlog._hand_over()
    ((handed, _),) = setting.pool.submitted
    assert handed.uid == urgent.uid


def test_a_score_is_kept_whole_and_moves_its_study(setting: Setting) -> None:
    key = setting.arrive(250)
    before = setting.study(key).placement
    setting.backlog._hand_over()
    setting.pool.score_next()
    setting.backlog._record_results()
    after = setting.study(key)
    assert after.state == "scored"
    assert after.placement.due_at_us < before.due_at_us
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


def test_a_failed_study_keeps_its_place_and_says_why(setting: Setting) -> None:
    key = setting.arrive(10)
    due = setting.study(key).placement.due_at_us
    setting.backlog._hand_over()
    setting.pool.fail_next(Reason.MODEL_FAILED)
    setting.backlog._record_results()
    failed = setting.study(key)
    assert (failed.state, failed.reason, failed.problem) == ("failed", "model-failed", "could not be scored")
    assert failed.placement.due_at_us == due
    assert failed.placement.reason_en == "scoring failed: read within 4 h"
    assert not setting.backlog._hand_over()


@pytest.mark.parametrize("reason", [Reason.MODEL_FAILED, Reason.NO_MODEL])
def test_a_failure_never_takes_away_the_place_that_an_earlier_score_gave(
    setting: Setting, reason: Reason
) -> None:
    key = setting.arrive(250, uid="s")
    setting.backlog._hand_over()
    setting.pool.score_next()
    setting.backlog._record_results()
    critical = setting.study(key).placement
    setting.arrive(240, uid="s")  # a late image opens the study again
    with setting.database.writing() as connection:
        claimed = claim_next(connection, max_attempts=3)
    assert claimed is not None
    setting.backlog._settle(claimed, "failed", reason, "could not be scored", NoScore.FAILED)
    failed = setting.study(key)
    assert (failed.state, failed.reason) == ("failed", reason)
    assert failed.placement == critical


def test_a_study_without_a_model_waits_for_one_over_any_number_of_starts(setting: Setting) -> None:
    key = setting.arrive(10)
    for _ in range(5):
        assert setting.backlog._hand_over()
        setting.pool.fail_next(Reason.NO_MODEL)
        setting.backlog._record_results()
        assert (setting.study(key).state, setting.study(key).reason) == ("abstained", "no-model")
        with setting.database.writing() as connection:  # as a start does
            assert recover(connection) == 1
    setting.backlog._hand_over()
    setting.pool.score_next()
    setting.backlog._record_results()
    assert setting.study(key).state == "scored"


def test_a_stat_for_a_scored_study_has_its_reason_told_together_with_the_score(setting: Setting) -> None:
    key = setting.arrive(250)
    setting.backlog._hand_over()
    setting.pool.score_next()
    setting.backlog._record_results()
    setting.arrive(250, priority="stat")
    assert setting.study(key).state == "received"
    setting.backlog._hand_over()
    setting.pool.score_next()
    setting.backlog._record_results()
    after = setting.study(key)
    assert (after.state, after.placement.tier) == ("scored", "critical")
    assert "mel" in after.placement.reason_en
    assert "not scored" not in after.placement.reason_en


def test_a_stat_that_comes_while_a_study_is_scored_still_counts(setting: Setting) -> None:
    key = setting.arrive(10)
    setting.backlog._hand_over()
    setting.arrive(10, priority="stat")
    setting.pool.score_next()
    setting.backlog._record_results()
    assert setting.study(key).placement.tier == "critical"
    assert setting.study(key).state == "scored"


def test_what_is_under_way_at_a_stop_waits_again_and_is_not_called_failed(setting: Setting) -> None:
    keys = [setting.arrive(red) for red in (10, 20, 30)]
    setting.backlog.start()
    while len(setting.pool.submitted) < 2:
        setting.backlog.wake()
    setting.backlog.stop()
    setting.pool.fail_next(Reason.MODEL_FAILED)  # as a worker that was ended says
    assert {setting.study(key).state for key in keys} == {"received"}
    with setting.database.reading() as connection:
        assert count_by_state(connection) == {"received": 3}


def test_at_most_so_many_studies_as_agreed_are_handed_over(setting: Setting) -> None:
    for red in range(0, 250, 50):
        setting.arrive(red)
    setting.backlog.start()
    while len(setting.pool.submitted) < 2:
        setting.backlog.wake()
    setting.backlog.stop()
    assert len(setting.pool.submitted) == 2


def test_a_result_that_cannot_be_written_now_is_written_later(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = setting.arrive(10)
    setting.backlog._hand_over()
    setting.pool.score_next()
    with monkeypatch.context() as patched:
        patched.setattr("serving.scoring.backlog.place", _database_is_full)
        with pytest.raises(OperationalError):
            setting.backlog._record_results()
    assert setting.study(key).state == "scoring"
    setting.backlog._record_results()
    assert setting.study(key).state == "scored"


def test_a_result_that_can_never_be_kept_fails_its_study_alone(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, other = setting.arrive(10), setting.arrive(20)
    setting.backlog._hand_over()
    setting.pool.score_next()
    with monkeypatch.context() as patched:
        patched.setattr("serving.scoring.backlog.stored_score", _fault_of_ours)
        setting.backlog._record_results()
    setting.backlog._hand_over()
    setting.pool.score_next()
    setting.backlog._record_results()
    assert (setting.study(key).state, setting.study(other).state) == ("failed", "scored")


def _database_is_full(*_args: object, **_more: object) -> None:
    raise OperationalError("INSERT", {}, Exception("database or disk is full"))


def _fault_of_ours(*_args: object, **_more: object) -> None:
    raise KeyError("a fault of ours")
