from dataclasses import replace

from sqlalchemy import func, select

from data.dicom.writing import uid_of_digest
from serving.store import queue
from serving.store.jobs import Job, begin, end
from serving.store.queue import Placement
from serving.store.receipt import ArrivedPatient, ArrivedStudy
from serving.store.sites import LOCAL_SITE
from serving.store.studies import find_study
from serving.store.tables import instances, objects, queue_entries, studies
from serving.store.tenancy import Scope
from tests.serving.store.databases import Place
from tests.serving.store.stored import LOCAL, MINUTE_US, image, opened, receive, study


def test_a_study_stands_in_the_queue_from_its_first_image_on(place: Place) -> None:
    with opened(place) as database, database.writing() as connection:
        receipt = receive(connection, study("s"), now_us=7)
        found = find_study(connection, scope=LOCAL, key=receipt.study_key)
        assert found is not None
        assert (found.state, found.received_at_us) == ("received", 7)
        assert found.placement.due_at_us == 7 + 240 * MINUTE_US


def test_the_same_images_twice_give_one_study(place: Place) -> None:
    with opened(place) as database, database.writing() as connection:
        first = receive(connection, study("s", image("a"), image("b")))
        second = receive(connection, study("s", image("a"), image("b")), now_us=99)
        assert (first.n_new, second.n_new) == (2, 0)
        assert first.study_key == second.study_key
        counted = [
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (studies, instances, objects, queue_entries)
        ]
        assert counted == [1, 2, 2, 1]


def test_a_late_image_opens_a_scored_study_again_without_moving_it_back(place: Place) -> None:
    jobs: list[Job] = []
    with opened(place) as database, database.writing() as connection:
        receipt = receive(connection, study("s", image("a")), jobs=jobs)
        begun = begin(connection, jobs[0], worker="w", now_us=1)
        assert begun is not None
        end(connection, jobs[0], worker="w", state="scored", reason=None, problem=None, now_us=2)
        soon = Placement(5 * MINUTE_US, "critical", "melanoma", "黑色素瘤", "test")
        queue.place(connection, site=LOCAL_SITE, study_id=begun.study.id, placement=soon)

        late = receive(connection, study("s", image("b")), now_us=MINUTE_US, jobs=jobs)

        assert (late.state, late.n_images) == ("received", 2)
        found = find_study(connection, scope=LOCAL, key=receipt.study_key)
        assert found is not None
        assert found.revision == 2
        assert found.placement == soon
        assert jobs[1] == Job(receipt.study_key, 2, 2, 5 * MINUTE_US)


def test_a_priority_only_ever_rises_and_counts_at_once(place: Place) -> None:
    with opened(place) as database, database.writing() as connection:
        receipt = receive(connection, study("s"))
        receive(connection, study("s", priority="stat"))
        receive(connection, study("s", priority="routine"))
        found = find_study(connection, scope=LOCAL, key=receipt.study_key)
        assert found is not None
        assert found.priority == "stat"
        assert found.placement.due_at_us == 15 * MINUTE_US


def test_other_bytes_under_a_known_uid_overwrite_nothing_and_change_nothing(place: Place) -> None:
    other = image("a", content="other bytes")
    with opened(place) as database, database.writing() as connection:
        first = receive(connection, study("s", image("a")))
        alone = receive(connection, study("s", other, priority="stat"))
        assert (alone.n_new, alone.n_images, alone.duplicates) == (0, 1, (other,))
        found = find_study(connection, scope=LOCAL, key=first.study_key)
        assert found is not None
        assert (found.priority, found.revision) == ("routine", 1)
        beside = receive(connection, study("s", other, image("b")))
        assert (beside.n_new, beside.n_images, beside.duplicates) == (1, 2, (other,))


def test_what_an_earlier_version_kept_under_a_uid_of_its_hash_is_known_by_it(place: Place) -> None:
    other = image("a", content="other bytes")
    kept = replace(other, sop_instance_uid=uid_of_digest(bytes.fromhex(other.sha256)))
    with opened(place) as database, database.writing() as connection:
        receive(connection, study("s", image("a"), kept))
        again = receive(connection, study("s", other))
        assert (again.n_new, again.n_images, again.duplicates) == (0, 2, ())


def test_two_patients_under_one_study_uid_are_two_studies(place: Place) -> None:
    def sent(identifier: str, name: str) -> ArrivedStudy:
        patient = ArrivedPatient("", identifier, identifier) if identifier else None
        return replace(study("s", image(name)), patient=patient)

    with opened(place) as database, database.writing() as connection:
        first = receive(connection, sent("P1", "a"))
        other = receive(connection, sent("P2", "b"))
        assert other.study_key != first.study_key
        assert (first.n_images, other.n_images) == (1, 1)
        assert receive(connection, sent("P2", "c")).study_key == other.study_key
        assert receive(connection, sent("P1", "d")).study_key == first.study_key
        assert receive(connection, sent("", "e")).study_key == first.study_key
        found = find_study(connection, scope=LOCAL, key=other.study_key)
        assert found is not None
        assert found.patient == "P2"


def test_another_site_sees_nothing_of_it(place: Place) -> None:
    with opened(place) as database, database.writing() as connection:
        receipt = receive(connection, study("s"))
        assert find_study(connection, scope=Scope.of("elsewhere"), key=receipt.study_key) is None
