from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import update

from serving.scoring.watchdog import LONGEST, Watchdog
from serving.store.database import Database
from serving.store.jobs import Job, begin, end
from serving.store.switch import Switch, set_switch
from serving.store.tables import studies
from serving.store.tenancy import Scope
from serving.worklist.schemas import State
from tests.serving.store.databases import Place
from tests.serving.store.stored import MINUTE_US, opened, receive, study

NETWORK = Scope(None)


@dataclass
class Clock:
    now_us: int = 0

    def __call__(self) -> int:
        return self.now_us


@pytest.fixture
def database(place: Place) -> Iterator[Database]:
    with opened(place) as database:
        yield database


def arrive(database: Database, uid: str, *, now_us: int = 0) -> Job:
    jobs: list[Job] = []
    with database.writing() as connection:
        receive(connection, study(uid), now_us=now_us, jobs=jobs)
    return jobs[0]


def test_every_state_has_a_longest_time_or_a_reason_for_none() -> None:
    assert set(LONGEST) == set(State.__args__)  # type: ignore[attr-defined]  # of Literal


def test_a_study_is_named_once_it_has_waited_for_longer_than_it_may(database: Database) -> None:
    clock = Clock()
    watchdog = Watchdog(database, clock=clock)
    job = arrive(database, "s")
    clock.now_us = 10 * MINUTE_US
    assert watchdog.stuck(scope=NETWORK, limit=10) == []
    clock.now_us += 1_000_000
    (stuck,) = watchdog.stuck(scope=NETWORK, limit=10)
    assert (stuck.study.study_key, stuck.study.state, stuck.for_s) == (job.study_key, "received", 601.0)
    assert "has waited 10 min" in stuck.why
    assert watchdog.counts() == {"received": 1, "scoring": 0, "failed": 0}


def test_a_study_that_is_scored_for_too_long_names_its_worker(database: Database) -> None:
    clock = Clock()
    watchdog = Watchdog(database, clock=clock)
    job = arrive(database, "s")
    with database.writing() as connection:
        begin(connection, job, worker="host-7", now_us=MINUTE_US)
    clock.now_us = 22 * MINUTE_US
    (stuck,) = watchdog.stuck(scope=NETWORK, limit=10)
    assert "by host-7" in stuck.why


def test_a_failed_study_that_nobody_looked_at_for_a_day_is_named(database: Database) -> None:
    clock = Clock()
    watchdog = Watchdog(database, clock=clock)
    job = arrive(database, "s")
    with database.writing() as connection:
        begin(connection, job, worker="w", now_us=1)
        end(connection, job, worker="w", state="failed", reason="corrupt", problem="is cut", now_us=2)
    clock.now_us = 23 * 60 * MINUTE_US
    assert watchdog.stuck(scope=NETWORK, limit=10) == []
    clock.now_us = 25 * 60 * MINUTE_US
    (stuck,) = watchdog.stuck(scope=NETWORK, limit=10)
    assert "needs a person" in stuck.why
    assert stuck.study.problem == "is cut"


def test_a_scored_study_is_never_stuck_here(database: Database) -> None:
    clock = Clock()
    job = arrive(database, "s")
    with database.writing() as connection:
        begin(connection, job, worker="w", now_us=1)
        end(connection, job, worker="w", state="scored", reason=None, problem=None, now_us=2)
    clock.now_us = 10**15
    assert Watchdog(database, clock=clock).stuck(scope=NETWORK, limit=10) == []


def test_while_scoring_is_paused_nobody_who_waits_is_stuck(database: Database) -> None:
    clock = Clock(60 * MINUTE_US)
    watchdog = Watchdog(database, clock=clock)
    arrive(database, "s")
    with database.writing() as connection:
        set_switch(connection, Switch(True, "x", "me", 1))
    assert watchdog.stuck(scope=NETWORK, limit=10) == []
    assert watchdog.counts()["received"] == 0


def test_the_log_names_a_stuck_study_once(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock(60 * MINUTE_US)
    watchdog = Watchdog(database, clock=clock)
    arrive(database, "s")
    assert [watchdog.name_new(), watchdog.name_new()] == [1, 0]
    assert [record.message for record in caplog.records if "stuck" in record.message] == [
        "a study is stuck: has waited 60 min for its score, begun 0 times"
    ]
    with database.writing() as connection:  # let go, and stuck anew
        connection.execute(update(studies).values(state_since=5))
    assert watchdog.name_new() == 1


def test_another_site_s_stuck_studies_are_not_told(database: Database) -> None:
    watchdog = Watchdog(database, clock=Clock(60 * MINUTE_US))
    arrive(database, "s")
    assert watchdog.stuck(scope=Scope(frozenset({"elsewhere"})), limit=10) == []
    assert watchdog.stuck(scope=Scope(frozenset()), limit=10) == []
    assert len(watchdog.stuck(scope=Scope(frozenset({"local"})), limit=10)) == 1
