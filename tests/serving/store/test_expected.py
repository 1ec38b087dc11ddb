from collections.abc import Sequence
from dataclasses import replace

import pytest

from data.study import Announced, AnnouncedOf
from serving.store.arrivals import Ending
from serving.store.expected import announce, expected_total, say_step, total_of
from serving.store.jobs import Job
from serving.store.receipt import ArrivedStudy
from serving.store.sites import LOCAL_SITE
from tests.serving.store.databases import Place
from tests.serving.store.stored import MINUTE_US, image, opened, receive, study

OF_STUDY = Announced(AnnouncedOf.STUDY, "", 2)


def announcing(arrived: ArrivedStudy, *announced: Announced) -> ArrivedStudy:
    return replace(arrived, announced=announced)


def test_the_last_announced_image_completes_a_study_and_one_more_is_late(place: Place) -> None:
    jobs: list[Job] = []
    with opened(place) as database, database.writing() as connection:
        first = receive(
            connection, announcing(study("s", image("a")), OF_STUDY), quiet_us=MINUTE_US, jobs=jobs
        )
        assert first.waits_until_us == MINUTE_US
        again = receive(connection, study("s", image("a")), quiet_us=MINUTE_US, jobs=jobs)
        assert (again.ending, len(jobs)) == (None, 0)
        last = receive(connection, study("s", image("b")), quiet_us=MINUTE_US, jobs=jobs)
        assert (last.ending, last.waits_until_us, last.is_late, len(jobs)) == (Ending.COUNT, None, False, 1)
        more = receive(connection, study("s", image("c")), quiet_us=MINUTE_US, jobs=jobs)
        assert (more.ending, more.waits_until_us, len(jobs)) == (Ending.COUNT, None, 2)


def test_what_comes_at_once_with_its_number_is_not_waited_for(place: Place) -> None:
    with opened(place) as database, database.writing() as connection:
        arrived = announcing(study("s", image("a"), image("b")), OF_STUDY)
        assert receive(connection, arrived, quiet_us=MINUTE_US).ending is Ending.COUNT


def test_of_several_numbers_the_largest_counts(place: Place) -> None:
    with opened(place) as database, database.writing() as connection:
        for n in (3, 7, 5):
            announced = [Announced(AnnouncedOf.STUDY, "", n)]
            announce(connection, announced, site=LOCAL_SITE, study_uid="s", now_us=n)
        assert expected_total(connection, site=LOCAL_SITE, study_uid="s") == 7
        assert expected_total(connection, site="north", study_uid="s") is None


def test_a_step_in_progress_lets_no_number_complete_a_study(place: Place) -> None:
    def steps(uid: str, n: int | None) -> None:
        say_step(connection, site=LOCAL_SITE, study_uid="s", step_uid=uid, n_images=n, now_us=1)

    with opened(place) as database, database.writing() as connection:
        steps("9.1", None)
        arrived = announcing(study("s", image("a"), image("b")), OF_STUDY)
        assert receive(connection, arrived, quiet_us=MINUTE_US).ending is None
        steps("9.1", 3)
        assert receive(connection, study("s", image("c")), quiet_us=MINUTE_US).ending is Ending.COUNT


@pytest.mark.parametrize(
    ("said", "total"),
    [
        ([], None),
        ([("series", "1", 40)], None),  # or else the scout would be the whole
        ([("series-count", "", 2), ("series", "1", 40)], None),
        ([("series-count", "", 2), ("series", "1", 40), ("series", "2", 1)], 41),
        ([("series-count", "", 1), ("acquisition", "1 1", 20), ("acquisition", "1 2", 22)], 42),
        ([("series-count", "", 1), ("acquisition", "1 1", 20), ("series", "1", 60)], 60),
        ([("study", "", 9), ("series-count", "", 1), ("series", "1", 40)], 9),
        ([("study", "", 9), ("step", "x", 3), ("step", "y", 4)], 7),
    ],
)
def test_what_was_said_of_the_parts_gives_the_whole_or_nothing(
    said: Sequence[tuple[str, str, int | None]], total: int | None
) -> None:
    assert total_of(said) == total
