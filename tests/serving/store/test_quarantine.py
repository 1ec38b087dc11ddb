"""The rows of what could not be taken, on both databases."""

import contextlib
import hashlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy import select

from data.errors import ImageError, Reason
from serving.quarantine.keeping import Held, Quota, Refusal, keep
from serving.store.copying import copy_sqlite, referenced_objects
from serving.store.database import Database
from serving.store.objects import StoredObject
from serving.store.quarantine import (
    Arrived,
    Entry,
    HeaderFacts,
    HeldState,
    Sought,
    count_entries,
    end_entry,
    find_entry,
    held_by_reason,
    list_entries,
    remove_entry,
    usage_of,
)
from serving.store.receipt import hold
from serving.store.references import count_referenced, unreferenced
from serving.store.sites import LOCAL_SITE
from serving.store.tables import objects
from tests.serving.store.databases import Place
from tests.serving.store.stored import LOCAL, opened

QUOTA = Quota(max_bytes=1000, max_files=5)


def refusal(name: str, reason: Reason = Reason.CORRUPT) -> Refusal:
    sha256 = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    error = ImageError(name, reason, "is broken\0 \ud800", "mend it")
    facts = HeaderFacts(patient="P1\0", study_uid="1.2")
    return Refusal(Path(name), name, error, StoredObject(sha256, 10), facts)


def kept(
    database: Database, *refusals: Refusal, at_us: int = 1, quota: Quota = QUOTA, door: str = "stow"
) -> dict[Path, Held]:
    stored = {one.path: one.hashed for one in refusals}
    with database.writing() as connection:
        hold(
            connection,
            [],
            site=LOCAL_SITE,
            now_us=at_us,
            beside={one.hashed.sha256: one.hashed.n_bytes for one in refusals},
        )
        return keep(connection, refusals, stored, quota, Arrived(door, "x", None, at_us), site=LOCAL_SITE)


def listed(database: Database, sought: Sought = Sought(), after: int | None = None) -> list[Entry]:
    with database.reading() as connection:
        return list_entries(connection, sought, scope=LOCAL, limit=3, after=after)


def test_an_object_of_the_quarantine_is_referred_to_until_its_entry_is_removed(place: Place) -> None:
    one = refusal("a")
    with opened(place) as database:
        kept(database, one)
        with database.writing() as connection:
            assert unreferenced(connection, [one.hashed.sha256, "0" * 64]) == ["0" * 64]
            assert count_referenced(connection) == 1
            assert connection.execute(select(objects.c.sha256)).scalars().all() == [one.hashed.sha256]
            (entry,) = list_entries(connection, Sought(), scope=LOCAL, limit=9)
            remove_entry(connection, entry)
            assert unreferenced(connection, [one.hashed.sha256]) == [one.hashed.sha256]


def test_a_backup_knows_of_what_waits_and_one_of_an_earlier_version_is_read_without(tmp_path: Path) -> None:
    one, copy = refusal("a"), tmp_path / "copy.sqlite"
    with opened(tmp_path / "test.sqlite") as database:
        kept(database, one)
        copy_sqlite(tmp_path / "test.sqlite", copy)
    assert list(referenced_objects(copy)) == [(one.hashed.sha256, 10)]
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        connection.execute("DROP TABLE quarantine")
    assert list(referenced_objects(copy)) == []


def test_a_page_goes_on_behind_the_one_before_and_filters_narrow_it(place: Place) -> None:
    with opened(place) as database:
        for number, reason in enumerate([Reason.CORRUPT, Reason.NOT_DICOM] * 2 + [Reason.CORRUPT]):
            kept(database, refusal(str(number), reason), at_us=number, door="stow" if number else "upload")
        first = listed(database)
        assert [entry.file_name for entry in first] == ["4", "3", "2"]
        assert [entry.file_name for entry in listed(database, after=first[-1].id)] == ["1", "0"]
        assert [one.file_name for one in listed(database, Sought(reason="not-dicom"))] == ["3", "1"]
        assert [one.file_name for one in listed(database, Sought(door="upload"))] == ["0"]
        assert [one.file_name for one in listed(database, Sought(since_us=3))] == ["4", "3"]
        assert [one.file_name for one in listed(database, Sought(before_us=1))] == ["0"]
        assert listed(database, Sought(site="elsewhere")) == []
        with database.reading() as connection:
            assert count_entries(connection, Sought(), scope=LOCAL, at_most=4) == 4
            assert held_by_reason(connection) == {("corrupt", True): 3, ("not-dicom", True): 2}


def test_one_that_has_ended_is_found_by_its_state_and_counts_against_no_quota_once_taken(
    place: Place,
) -> None:
    with opened(place) as database:
        kept(database, refusal("a"), refusal("b"))
        with database.writing() as connection:
            second, first = list_entries(connection, Sought(), scope=LOCAL, limit=9)
            end_entry(connection, first, HeldState.TAKEN, ending="study", by="x", at_us=7)
            end_entry(connection, second, HeldState.DISCARDED, ending="no image", by="x", at_us=8)
            assert usage_of(connection, site=LOCAL_SITE).n_kept == 1
            found = find_entry(connection, scope=LOCAL, key=second.key)
            assert found is not None
            assert (found.state, found.ending, found.ended_at_us) == ("discarded", "no image", 8)
        assert listed(database) == []
        assert len(listed(database, Sought(state=None))) == 2


def test_what_no_database_can_hold_is_written_as_far_as_it_can(place: Place) -> None:
    with opened(place) as database:
        kept(database, refusal("a\0\ud800"))
        (entry,) = listed(database)
        assert "\0" not in entry.file_name + entry.problem + entry.header.patient


def test_many_at_once_keep_within_one_quota_and_write_each_down_once(place: Place) -> None:
    def send(number: int) -> None:
        kept(database, refusal(str(number % 8)), refusal(str((number + 3) % 8)))

    with opened(place) as database:
        with ThreadPoolExecutor(8) as senders:
            list(senders.map(send, range(24)))
        with database.reading() as connection:
            entries = list_entries(connection, Sought(), scope=LOCAL, limit=99)
            usage = usage_of(connection, site=LOCAL_SITE)
    assert len(entries) == 8
    assert sum(entry.n_times for entry in entries) == 48
    assert (usage.n_kept, usage.n_listed) == (QUOTA.max_files, 3)
