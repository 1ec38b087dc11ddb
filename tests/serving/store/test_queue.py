import itertools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Select, insert, text

from serving.audit.opening import open_trail
from serving.store.database import Database
from serving.store.queue import Cursor, count_waiting, page_query, read_page
from serving.store.sites import LOCAL_SITE
from serving.store.tables import queue_entries, sites, studies
from serving.store.tenancy import Scope
from serving.worklist.ranking import reading_order
from serving.worklist.service import Worklist
from tests.serving.audit.trails import READER
from tests.serving.store.databases import Place
from tests.serving.store.stored import LOCAL, opened


def _fill(
    database: Database,
    due: list[int],
    *,
    waiting: list[bool] | None = None,
    site: str = LOCAL_SITE,
    first: int = 1,
) -> None:
    with database.writing() as connection:
        if site != LOCAL_SITE:
            connection.execute(insert(sites).values(id=site, name=site))
        connection.execute(
            insert(studies),
            [
                {
                    "id": number,
                    "site_id": site,
                    "key": f"{number:032x}",
                    "uid": str(number),
                    "accession": "",
                    "description": "",
                    "modality": "XC",
                    "received_at": number,
                    "priority": "routine",
                    "state": "received",
                    "revision": 1,
                    "n_attempts": 0,
                    "n_images": 1,
                }
                for number in range(first, first + len(due))
            ],
        )
        connection.execute(
            insert(queue_entries),
            [
                {
                    "study_id": number,
                    "site_id": site,
                    "is_waiting": True if waiting is None else waiting[number - first],
                    "due_at": due_at,
                    "tier": "routine",
                    "reason_en": "",
                    "reason_zh": "",
                    "policy_version": "test",
                }
                for number, due_at in enumerate(due, start=first)
            ],
        )


def _plan(database: Database, query: Select[*tuple[object, ...]]) -> list[str]:
    statement = query.compile(database.engine, compile_kwargs={"literal_binds": True})
    with database.reading() as connection:
        if connection.dialect.name == "postgresql":
            return list(connection.execute(text(f"EXPLAIN {statement}")).scalars())
        return [row.detail for row in connection.execute(text(f"EXPLAIN QUERY PLAN {statement}"))]


@pytest.mark.parametrize("cursor", [{}, {"after_due_at": 50, "after_study_id": 51}])
@pytest.mark.parametrize("of", [("north",), ("north", "south"), None])
def test_a_page_is_read_off_the_partial_indexes_without_a_sort(
    place: Place, of: tuple[str, ...] | None, cursor: dict[str, int]
) -> None:
    with opened(place) as database:
        for number, site in enumerate(("north", "south", "east")):
            _fill(database, list(range(number, 3000, 3)), site=site, first=1 + 1000 * number)
        with database.writing() as connection:
            connection.execute(text("ANALYZE"))
        named = {f"site_{number}": site for number, site in enumerate(of or ())}
        query = page_query(n_sites=None if of is None else len(of), goes_on=bool(cursor))
        plan = _plan(database, query.params(limit=50, **named, **cursor))
    index = f"ix_queue_entries_waiting{'_network' if of is None else ''}"
    if isinstance(place, Path):
        assert any(f"USING INDEX {index}" in step for step in plan), plan
        assert not any("SCAN queue_entries" in step for step in plan if "USING INDEX" not in step), plan
    else:  # the limit ends the walk along the index: nothing is sorted between the two
        steps = itertools.pairwise(plan)
        walk = f"Index Scan using {index} on queue_entries"
        assert any("Limit" in above and walk in step for above, step in steps), plan


def test_a_reader_of_several_sites_reads_them_in_one_order(place: Place) -> None:
    with opened(place) as database:
        _fill(database, [30, 10, 20], site="north")
        _fill(database, [15, 25, 5], site="south", first=4)
        _fill(database, [1], site="east", first=7)
        with database.reading() as connection:

            def due(scope: Scope, **page: Any) -> list[int]:  # noqa: ANN401 - of several types
                rows = read_page(connection, scope=scope, **({"limit": 9, "after": None} | page))
                return [row.placement.due_at_us for row in rows]

            both = Scope.of("north", "south")
            assert due(both) == [5, 10, 15, 20, 25, 30]
            assert due(both, limit=2) == [5, 10]
            assert due(both, limit=3, after=Cursor(10, 2)) == [15, 20, 25]
            assert due(Scope(None)) == [1, 5, 10, 15, 20, 25, 30]
            assert due(Scope.of()) == []
            many = Scope.of("south", "east", *(f"site-{number}" for number in range(200)))
            assert due(many) == [1, 5, 15, 25]
            counted = [
                count_waiting(connection, scope=one, at_most=4) for one in (both, Scope.of("east"), many)
            ]
            assert counted == [4, 1, 4]


def test_the_queue_is_read_in_the_order_that_the_ranking_gives(place: Place) -> None:
    due = [30, 10, 30, 20, 10]
    with opened(place) as database:
        _fill(database, due)
        with database.reading() as connection:
            rows = read_page(connection, scope=LOCAL, limit=10, after=None)
    numbers = np.arange(1, 6)
    expected = numbers[reading_order(np.array(due), numbers, numbers)]
    assert [row.study_id for row in rows] == expected.tolist() == [2, 5, 4, 1, 3]


def test_a_study_that_was_read_stands_in_the_queue_no_more(place: Place) -> None:
    with opened(place) as database:
        _fill(database, [1, 2], waiting=[False, True])
        with database.reading() as connection:
            assert [row.study_id for row in read_page(connection, scope=LOCAL, limit=9, after=None)] == [2]


@settings(max_examples=25, deadline=None)
@given(due=st.lists(st.integers(-(2**62), 2**62) | st.integers(0, 3), max_size=40), limit=st.integers(1, 7))
def test_paging_gives_every_study_exactly_once(due: list[int], limit: int) -> None:
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder) / "queue.sqlite") as database:
        if due:
            _fill(database, due)
        worklist = Worklist(database, open_trail(database, Path(folder)))
        seen: list[int] = []
        cursor = None
        while True:
            page = worklist.read(scope=LOCAL, site=LOCAL_SITE, who=READER, limit=limit, cursor=cursor)
            seen += [row.study_id for row in page.rows]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert sorted(seen) == list(range(1, len(due) + 1))
        assert seen == sorted(seen, key=lambda number: (due[number - 1], number))
