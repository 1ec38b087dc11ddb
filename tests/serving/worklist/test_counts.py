from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.audit.opening import open_trail
from serving.store.audit_chain import ActorKind, Who
from serving.store.database import Database, open_database
from serving.store.tenancy import Scope
from serving.worklist.service import COUNTED_ANEW_UP_TO, Worklist
from tests.benchmarks.long_queue import fill

SOMEBODY = Who(ActorKind.ANONYMOUS, "anonymous")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path / "test.sqlite")
    yield opened
    opened.close()


class Clock:
    now_us = 1_000_000

    def __call__(self) -> int:
        return self.now_us


def test_a_short_list_is_counted_for_each_page_and_a_long_one_every_five_seconds(
    database: Database, tmp_path: Path
) -> None:
    clock = Clock()
    worklist = Worklist(database, open_trail(database, tmp_path), clock)

    def n_waiting() -> int:
        return worklist.read(scope=Scope(None), site=None, who=SOMEBODY, limit=1).n_waiting

    fill(database, first=1, last=3)
    assert n_waiting() == 3
    fill(database, first=4, last=COUNTED_ANEW_UP_TO + 5)
    assert n_waiting() == COUNTED_ANEW_UP_TO + 5

    fill(database, first=COUNTED_ANEW_UP_TO + 6, last=COUNTED_ANEW_UP_TO + 9)
    clock.now_us += 4_900_000
    assert n_waiting() == COUNTED_ANEW_UP_TO + 5
    clock.now_us += 200_000
    assert n_waiting() == COUNTED_ANEW_UP_TO + 9


def test_each_scope_has_its_own_count(database: Database, tmp_path: Path) -> None:
    worklist = Worklist(database, open_trail(database, tmp_path))
    fill(database, first=1, last=2 * COUNTED_ANEW_UP_TO + 200)

    counts = {
        site: worklist.read(scope=Scope.of(site), site=site, who=SOMEBODY, limit=1).n_waiting
        for site in ("local", "site-7")
    }

    assert counts["local"] == COUNTED_ANEW_UP_TO + 100
    assert counts["site-7"] < 5
