import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, text

from serving.audit.opening import open_trail
from serving.store.database import Database
from serving.store.queue import page_query, read_page
from serving.store.sites import LOCAL_SITE
from serving.store.tables import queue_entries, studies
from serving.worklist.ranking import reading_order
from serving.worklist.service import Worklist
from tests.serving.audit.trails import READER
from tests.serving.store.databases import Place
from tests.serving.store.stored import opened


def _fill(database: Database, due: list[int], *, waiting: list[bool] | None = None) -> None:
    with database.writing() as connection:
        connection.execute(
            insert(studies),
            [
                {
                    "id": number,
                    "site_id": LOCAL_SITE,
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
                for number in range(1, len(due) + 1)
            ],
        )
        connection.execute(
            insert(queue_entries),
            [
                {
                    "study_id": number,
                    "site_id": LOCAL_SITE,
                    "is_waiting": True if waiting is None else waiting[number - 1],
                    "due_at": due_at,
                    "tier": "routine",
                    "reason_en": "",
                    "reason_zh": "",
                    "policy_version": "test",
                }
                for number, due_at in enumerate(due, start=1)
            ],
        )


def _plan(database: Database, values: dict[str, int]) -> list[str]:
    query = page_query(goes_on=bool(values)).params(site=LOCAL_SITE, limit=50, **values)
    statement = query.compile(database.engine, compile_kwargs={"literal_binds": True})
    with database.reading() as connection:
        if connection.dialect.name == "postgresql":
            return list(connection.execute(text(f"EXPLAIN {statement}")).scalars())
        return [row.detail for row in connection.execute(text(f"EXPLAIN QUERY PLAN {statement}"))]


@pytest.mark.parametrize("values", [{}, {"after_due_at": 50, "after_study_id": 51}])
def test_a_page_is_read_off_the_partial_index_without_a_sort(place: Place, values: dict[str, int]) -> None:
    with opened(place) as database:
        _fill(database, list(range(5000)))
        with database.writing() as connection:
            connection.execute(text("ANALYZE"))
        plan = _plan(database, values)
    if isinstance(place, Path):
        assert any("USING INDEX ix_queue_entries_waiting" in step for step in plan), plan
        assert [step for step in plan if step.startswith("SCAN") and "entry" not in step] == []
    else:  # the limit ends the walk along the index: nothing is sorted between the two
        steps = itertools.pairwise(plan)
        index = "Index Scan using ix_queue_entries_waiting on queue_entries"
        assert any("Limit" in above and index in step for above, step in steps), plan


def test_the_queue_is_read_in_the_order_that_the_ranking_gives(place: Place) -> None:
    due = [30, 10, 30, 20, 10]
    with opened(place) as database:
        _fill(database, due)
        with database.reading() as connection:
            rows = read_page(connection, site=LOCAL_SITE, limit=10, after=None)
    numbers = np.arange(1, 6)
    expected = numbers[reading_order(np.array(due), numbers, numbers)]
    assert [row.study_id for row in rows] == expected.tolist() == [2, 5, 4, 1, 3]


def test_a_study_that_was_read_stands_in_the_queue_no_more(place: Place) -> None:
    with opened(place) as database:
        _fill(database, [1, 2], waiting=[False, True])
        with database.reading() as connection:
            assert [row.study_id for row in read_page(connection, site=LOCAL_SITE, limit=9, after=None)] == [
                2
            ]


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
            page = worklist.read(site=LOCAL_SITE, who=READER, limit=limit, cursor=cursor)
            seen += [row.study_id for row in page.rows]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert sorted(seen) == list(range(1, len(due) + 1))
        assert seen == sorted(seen, key=lambda number: (due[number - 1], number))
