from sqlalchemy import Connection, update

from serving.store.jobs import (
    Job,
    begin,
    end,
    find_ended,
    hand_back,
    jobless,
    let_wait_again,
    modelless,
    put_off,
)
from serving.store.sites import LOCAL_SITE
from serving.store.studies import StoredStudy, find_study
from serving.store.tables import studies
from serving.store.tenancy import Scope
from tests.serving.store.databases import Place
from tests.serving.store.stored import LOCAL, MINUTE_US, image, opened, receive, study

NETWORK = Scope(None)


def arrive(connection: Connection, uid: str = "s", *names: str, priority: str = "routine") -> list[Job]:
    jobs: list[Job] = []
    images = [image(name) for name in names]
    receive(connection, study(uid, *images, priority=priority), jobs=jobs)
    return jobs


def standing(connection: Connection, job: Job) -> StoredStudy:
    found = find_study(connection, scope=LOCAL, key=job.study_key)
    assert found is not None
    return found


def finish(connection: Connection, job: Job, *, worker: str = "w", state: str = "scored") -> str | None:
    return end(connection, job, worker=worker, state=state, reason=None, problem=None, now_us=9)


def test_a_study_gets_one_job_that_is_due_when_it_is(place: Place) -> None:
    with opened(place) as database, database.writing() as connection:
        (job,) = arrive(connection)
        assert (job.revision, job.number, job.due_at_us) == (1, 1, 240 * MINUTE_US)
        assert arrive(connection) == []  # the same image again


def test_a_higher_priority_gives_a_waiting_study_a_job_at_its_new_place_and_the_old_one_no_longer_counts(
    place: Place,
) -> None:
    with opened(place) as database, database.writing() as connection:
        (slow,) = arrive(connection)
        (quick,) = arrive(connection, priority="stat")
        assert quick.due_at_us == 15 * MINUTE_US
        assert begin(connection, slow, worker="w", now_us=1) is None
        assert begin(connection, quick, worker="w", now_us=1) is not None


def test_a_higher_priority_does_not_disturb_a_study_that_is_being_scored(place: Place) -> None:
    with opened(place) as database, database.writing() as connection:
        (job,) = arrive(connection)
        begin(connection, job, worker="w", now_us=1)
        assert arrive(connection, priority="stat") == []
        assert finish(connection, job) == "stat"


def test_a_job_is_ended_once(place: Place) -> None:
    with opened(place) as database, database.writing() as connection:
        (job,) = arrive(connection)
        begin(connection, job, worker="w", now_us=1)
        assert finish(connection, job) == "routine"
        assert finish(connection, job, state="failed") is None
        assert begin(connection, job, worker="w", now_us=1) is None
        assert standing(connection, job).state == "scored"


def test_a_worker_whose_job_was_taken_over_changes_nothing(place: Place) -> None:
    with opened(place) as database, database.writing() as connection:
        (job,) = arrive(connection)
        begin(connection, job, worker="slow", now_us=1)
        taken = begin(connection, job, worker="quick", now_us=2)
        assert taken is not None
        assert (taken.was_interrupted, taken.n_begun) == (True, 2)

        assert finish(connection, job, worker="slow", state="failed") is None
        assert put_off(connection, job, worker="slow", now_us=3, problem=None, counts=True) is None
        hand_back(connection, job, worker="slow", now_us=3)
        assert standing(connection, job).state == "scoring"

        assert finish(connection, job, worker="quick") == "routine"


def test_a_score_of_fewer_images_than_there_are_is_dropped(place: Place) -> None:
    with opened(place) as database, database.writing() as connection:
        (job,) = arrive(connection, "s", "a")
        begin(connection, job, worker="w", now_us=1)
        (again,) = arrive(connection, "s", "a", "b")
        assert finish(connection, job) is None
        begun = begin(connection, again, worker="w", now_us=2)
        assert begun is not None
        assert len(begun.study.instances) == 2
        assert (begun.n_begun, begun.was_interrupted) == (1, False)


def test_a_study_that_is_handed_back_waits_under_the_same_job_and_that_was_no_attempt(place: Place) -> None:
    with opened(place) as database, database.writing() as connection:
        (job,) = arrive(connection)
        begin(connection, job, worker="w", now_us=1)
        hand_back(connection, job, worker="w", now_us=2)
        again = begin(connection, job, worker="other", now_us=3)
        assert again is not None
        assert (again.n_begun, again.was_interrupted) == (1, False)


def test_a_study_that_is_put_off_waits_under_a_new_job(place: Place) -> None:
    with opened(place) as database, database.writing() as connection:
        (job,) = arrive(connection)
        begin(connection, job, worker="w", now_us=1)
        later = put_off(connection, job, worker="w", now_us=2, problem="the disk is full", counts=False)
        assert later is not None
        assert (later.number, later.n_retries) == (2, 1)
        assert (standing(connection, job).state, standing(connection, job).problem) == (
            "received",
            "the disk is full",
        )
        assert begin(connection, job, worker="w", now_us=3) is None
        begun = begin(connection, later, worker="w", now_us=3)
        assert begun is not None
        assert begun.n_begun == 1


def test_studies_of_before_there_were_jobs_are_found(place: Place) -> None:
    with opened(place) as database, database.writing() as connection:
        jobs = [*arrive(connection, "waits"), *arrive(connection, "was-begun"), *arrive(connection, "done")]
        for job, state in zip(jobs, ("received", "scoring", "scored"), strict=True):
            connection.execute(
                update(studies).where(studies.c.key == job.study_key).values(job=0, state=state)
            )
        found = jobless(connection, limit=10)
        assert len(found) == 2
        for study_id in found:
            job = let_wait_again(connection, study_id, now_us=5)
            assert begin(connection, job, worker="w", now_us=6) is not None
        assert jobless(connection, limit=10) == []


def test_studies_without_a_model_are_found_and_others_that_were_abstained_from_are_not(place: Place) -> None:
    with opened(place) as database, database.writing() as connection:
        (foreign,), (novel,) = arrive(connection, "foreign"), arrive(connection, "novel")
        for job, reason in ((foreign, "no-model"), (novel, None)):
            begin(connection, job, worker="w", now_us=1)
            end(connection, job, worker="w", state="abstained", reason=reason, problem="x", now_us=2)
        (study_id,) = modelless(connection, limit=10)
        assert let_wait_again(connection, study_id, now_us=3).study_key == foreign.study_key
        assert standing(connection, foreign).problem is None


def test_a_study_of_another_site_is_not_found(place: Place) -> None:
    with opened(place) as database, database.writing() as connection:
        (job,) = arrive(connection)
        found = find_ended(connection, scope=NETWORK, key=job.study_key)
        assert found is not None
        assert found.site == LOCAL_SITE
        assert find_ended(connection, scope=Scope(frozenset({"elsewhere"})), key=job.study_key) is None
        assert find_ended(connection, scope=Scope(frozenset()), key=job.study_key) is None
