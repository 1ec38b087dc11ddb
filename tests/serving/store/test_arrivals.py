import threading
from collections.abc import Sequence

from sqlalchemy import func, select

from serving.store.arrivals import (
    LONGEST_US,
    Ending,
    due_waits,
    end_due_wait,
    end_wait,
    hold_arrived,
    keys_of_uid,
    wait_of,
)
from serving.store.assembly_tables import arrivals
from serving.store.database import Database
from serving.store.events import Happening, add_events, events_after, events_of
from serving.store.jobs import Job, begin, end, jobless, let_wait_for_score, long_unfinished, renew
from serving.store.receipt import Receipt
from serving.store.stuck import count_long_in_state, long_in_state
from serving.store.studies import find_study
from serving.store.tables import studies
from serving.store.tenancy import Scope
from tests.serving.store.databases import Place
from tests.serving.store.stored import LOCAL, MINUTE_US, image, opened, receive, study


def _id(database: Database, receipt: Receipt) -> int:
    with database.reading() as connection:
        found = find_study(connection, scope=LOCAL, key=receipt.study_key)
    assert found is not None
    return found.id


def _kinds(receipts: Sequence[Receipt]) -> list[str]:
    return [str(event.kind) for receipt in receipts for event in receipt.events]


def test_a_part_is_listed_and_placed_at_once_and_has_no_job(place: Place) -> None:
    jobs: list[Job] = []
    with opened(place) as database:
        with database.writing() as connection:
            receipt = receive(
                connection, study("s", priority="stat"), now_us=7, quiet_us=MINUTE_US, jobs=jobs
            )
        assert (receipt.state, receipt.waits_until_us, receipt.ending) == ("received", 7 + MINUTE_US, None)
        assert jobs == []
        with database.reading() as connection:
            found = find_study(connection, scope=LOCAL, key=receipt.study_key)
            assert found is not None
            assert found.placement.due_at_us == 7 + 15 * MINUTE_US  # a doctor's STAT waits for nothing


def test_every_image_moves_the_moment_and_an_hour_of_them_does_not_move_it_for_ever(place: Place) -> None:
    with opened(place) as database, database.writing() as connection:
        moments = [
            receive(
                connection, study("s", image(str(minute))), now_us=minute * MINUTE_US, quiet_us=2 * MINUTE_US
            ).waits_until_us
            for minute in range(60)
        ]
    assert moments[:3] == [2 * MINUTE_US, 3 * MINUTE_US, 4 * MINUTE_US]
    assert moments[-1] == LONGEST_US


def test_an_image_of_a_shorter_quiet_time_shortens_no_wait(place: Place) -> None:
    with opened(place) as database, database.writing() as connection:
        receive(connection, study("s", image("a")), now_us=0, quiet_us=9 * MINUTE_US)
        again = receive(connection, study("s", image("b")), now_us=MINUTE_US, quiet_us=0)
        assert (again.waits_until_us, again.ending) == (9 * MINUTE_US, None)


def test_a_sender_who_says_that_these_are_all_ends_the_wait_with_one_job(place: Place) -> None:
    jobs: list[Job] = []
    with opened(place) as database, database.writing() as connection:
        first = receive(connection, study("s", image("a")), quiet_us=MINUTE_US, jobs=jobs)
        last = receive(connection, study("s", image("b")), now_us=5, jobs=jobs)
        assert (last.waits_until_us, last.ending, last.is_late) == (None, Ending.SENDER, False)
        assert [(job.revision, job.number) for job in jobs] == [(1, 1)]
        assert begin(connection, jobs[0], worker="w", now_us=9) is not None
        assert _kinds([first, last]) == [Happening.RECEIVED, Happening.COMPLETE]


def test_a_wait_that_is_over_is_found_and_ended_once(place: Place) -> None:
    with opened(place) as database:
        with database.writing() as connection:
            receipt = receive(connection, study("s"), quiet_us=MINUTE_US)
        study_id = _id(database, receipt)
        with database.reading() as connection:
            assert due_waits(connection, now_us=MINUTE_US - 1, limit=9) == []
            assert due_waits(connection, now_us=MINUTE_US, limit=9) == [study_id]
        with database.writing() as connection:
            assert end_due_wait(connection, study_id, now_us=MINUTE_US - 1) is None  # an image moved it
            ended = end_due_wait(connection, study_id, now_us=MINUTE_US)
            assert ended is not None
            assert (ended.key, ended.n_images) == (receipt.study_key, 1)
            job = let_wait_for_score(connection, study_id, now_us=MINUTE_US)
            assert end_due_wait(connection, study_id, now_us=MINUTE_US) is None
        with database.writing() as connection:
            assert begin(connection, job, worker="w", now_us=MINUTE_US) is not None


def test_of_many_who_end_a_wait_at_once_one_does(place: Place) -> None:
    with opened(place) as database:
        with database.writing() as connection:
            receipt = receive(connection, study("s"), quiet_us=MINUTE_US)
        study_id = _id(database, receipt)
        ended: list[str] = []
        start = threading.Barrier(6)

        def end_it() -> None:
            start.wait()
            with database.writing() as connection:
                if end_due_wait(connection, study_id, now_us=MINUTE_US) is not None:
                    ended.append(let_wait_for_score(connection, study_id, now_us=MINUTE_US).id)

        threads = [threading.Thread(target=end_it) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ended == [f"{receipt.study_key}.1.1"]


def test_a_clock_that_was_set_back_keeps_nobody_waiting_for_a_day(place: Place) -> None:
    day_us = 24 * 60 * MINUTE_US
    with opened(place) as database, database.writing() as connection:
        receipt = receive(connection, study("s"), now_us=2 * day_us, quiet_us=MINUTE_US)
        assert len(due_waits(connection, now_us=day_us, limit=9)) == 1
        # one minute is what clocks of two hosts may differ by
        assert due_waits(connection, now_us=2 * day_us - MINUTE_US, limit=9) == []
        assert receipt.waits_until_us == 2 * day_us + MINUTE_US


def test_a_late_image_of_a_scored_study_waits_with_it_and_drops_what_is_being_said(place: Place) -> None:
    jobs: list[Job] = []
    with opened(place) as database, database.writing() as connection:
        receipt = receive(connection, study("s", image("a")), jobs=jobs)
        assert begin(connection, jobs[0], worker="w", now_us=1) is not None
        late = receive(connection, study("s", image("b")), now_us=2, quiet_us=MINUTE_US, jobs=jobs)
        assert (late.state, late.is_late, late.waits_until_us) == ("received", True, 2 + MINUTE_US)
        ended = end(connection, jobs[0], worker="w", state="scored", reason=None, problem=None, now_us=3)
        assert ended is None  # of one image of two
        more = receive(connection, study("s", image("c")), now_us=4, quiet_us=MINUTE_US, jobs=jobs)
        assert (more.is_late, len(jobs)) == (False, 1)  # said once; it waits again
        assert _kinds([receipt, late, more]) == [Happening.RECEIVED, Happening.COMPLETE, Happening.LATE_IMAGE]
        held = hold_arrived(connection, scope=LOCAL, key=receipt.study_key)
        assert held is not None
        assert end_wait(connection, held.study_id)
        job = let_wait_for_score(connection, held.study_id, now_us=5)
        assert (job.revision, job.number) == (2, 2)


def test_the_same_bytes_again_open_nothing(place: Place) -> None:
    jobs: list[Job] = []
    with opened(place) as database, database.writing() as connection:
        receive(connection, study("s"), jobs=jobs)
        again = receive(connection, study("s"), quiet_us=MINUTE_US, jobs=jobs)
        assert (again.n_new, again.waits_until_us, again.events, len(jobs)) == (0, None, (), 1)


def test_images_in_several_requests_are_not_late_before_anybody_began_to_score_them(place: Place) -> None:
    jobs: list[Job] = []
    with opened(place) as database, database.writing() as connection:
        receive(connection, study("s", image("a")), jobs=jobs)
        second = receive(connection, study("s", image("b")), jobs=jobs)
        assert not second.is_late
        assert begin(connection, jobs[-1], worker="w", now_us=1) is not None
        assert receive(connection, study("s", image("c")), jobs=jobs).is_late


def test_a_higher_priority_moves_a_study_that_is_waited_for_and_scores_it_no_sooner(place: Place) -> None:
    jobs: list[Job] = []
    with opened(place) as database, database.writing() as connection:
        receive(connection, study("s"), quiet_us=MINUTE_US, jobs=jobs)
        raised = receive(connection, study("s", priority="stat"), quiet_us=MINUTE_US, jobs=jobs)
        assert jobs == []
        (event,) = raised.events
        assert event.kind is Happening.RE_RANKED
        assert event.details["due_at_us"] == 15 * MINUTE_US


def test_what_is_waited_for_is_neither_jobless_nor_lost_nor_stuck(place: Place) -> None:
    long_after = 100 * MINUTE_US
    with opened(place) as database, database.writing() as connection:
        receipt = receive(connection, study("s"), quiet_us=200 * MINUTE_US)
        study_id = connection.execute(select(studies.c.id)).scalar_one()
        assert jobless(connection, limit=9) == []
        assert long_unfinished(connection, before_us=long_after, after=0, limit=9) == []
        assert renew(connection, study_id, f"{receipt.study_key}.1.0", now_us=9) is None
        wait = wait_of(connection, study_id)
        assert wait is not None
        before = wait.until_us - 1
        assert long_in_state(connection, "received", scope=LOCAL, before_us=before, limit=9) == []
        # nobody ended the wait although it was over: that is a fault
        assert count_long_in_state(connection, "received", before_us=wait.until_us + 1) == 1


def test_a_study_is_held_and_named_within_its_scope_alone(place: Place) -> None:
    with opened(place) as database, database.writing() as connection:
        receipt = receive(connection, study("1.2"), quiet_us=MINUTE_US)
        elsewhere = Scope.of("elsewhere")
        assert hold_arrived(connection, scope=elsewhere, key=receipt.study_key) is None
        assert keys_of_uid(connection, scope=elsewhere, uid="1.2") == []
        assert keys_of_uid(connection, scope=LOCAL, uid="1.2") == [receipt.study_key]
        assert connection.execute(select(func.count()).select_from(arrivals)).scalar_one() == 1


def test_events_are_read_by_number_within_the_scope(place: Place) -> None:
    with opened(place) as database:
        with database.writing() as connection:
            receipt = receive(connection, study("s"))
            add_events(connection, receipt.events)
            add_events(connection, [])
        with database.reading() as connection:
            first, second = events_after(connection, scope=LOCAL, since=0, limit=9)
            assert [first.kind, second.kind] == [Happening.RECEIVED, Happening.COMPLETE]
            assert second.details == {"why": "sender", "images": 1}
            assert (first.study_key, first.study_uid, first.site) == (receipt.study_key, "s", "local")
            assert events_after(connection, scope=LOCAL, since=first.id, limit=9) == [second]
            assert events_after(connection, scope=LOCAL, since=0, limit=1) == [first]
            assert events_after(connection, scope=Scope.of("elsewhere"), since=0, limit=9) == []
            study_id = connection.execute(select(studies.c.id)).scalar_one()
            assert events_of(connection, scope=LOCAL, study_id=study_id, limit=9) == [second, first]


def test_numbers_of_events_rise_in_the_order_of_their_commits(place: Place) -> None:
    """A reader who has seen number n must not find a smaller one later."""
    with opened(place) as database:
        with database.writing() as connection:
            event = receive(connection, study("s")).events[0]
        writing, read = threading.Event(), threading.Event()

        def write_slowly() -> None:
            with database.writing() as connection:
                add_events(connection, [event])
                writing.set()
                read.wait(0.5)  # longer than the other needs, if it did not wait

        thread = threading.Thread(target=write_slowly)
        thread.start()
        assert writing.wait(10)
        with database.writing() as connection:
            add_events(connection, [event])
            seen = [one.id for one in events_after(connection, scope=LOCAL, since=0, limit=9)]
        read.set()
        thread.join()
        with database.reading() as connection:
            assert [one.id for one in events_after(connection, scope=LOCAL, since=0, limit=9)] == seen
