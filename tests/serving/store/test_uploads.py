"""Rows of uploads: whose they are, what is unfinished, and what goes when its time is over."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, insert

from serving.store.database import Database
from serving.store.tables import sites
from serving.store.tenancy import Scope
from serving.store.uploads import (
    StoredUpload,
    Unfinished,
    answer_batch,
    begin_batch,
    begin_upload,
    close_batch,
    closing_batches,
    end_upload,
    expire,
    files_of,
    find_batch,
    find_upload,
    forget,
    hold_site,
    needed,
    say_received,
    unfinished_of,
)
from tests.serving.store.databases import Place
from tests.serving.store.stored import opened

NORTH = Scope.of("north")


@pytest.fixture
def database(place: Place) -> Iterator[Database]:
    with opened(place) as database:
        with database.writing() as connection:
            connection.execute(insert(sites), [{"id": site, "name": site} for site in ("north", "south")])
        yield database


def _announce(
    connection: Connection,
    *,
    site: str = "north",
    owner: str = "wang",
    key: str | None = "b",
    n_bytes: int = 10,
) -> StoredUpload:
    hold_site(connection, site=site)
    batch = None if key is None else find_batch(connection, scope=Scope.of(site), owner=owner, key=key)
    if batch is None:
        batch = begin_batch(
            connection, site=site, owner=owner, key=key, fields={}, now_us=1, expires_at_us=100
        )
    return begin_upload(
        connection, batch, name="a.jpg", metadata="", n_bytes=n_bytes, said_sha256=None, now_us=1
    )


def _receive(connection: Connection, upload: StoredUpload, n_bytes: int) -> bool:
    return say_received(
        connection,
        upload,
        n_bytes,
        sha256="0" * 64 if n_bytes == upload.n_bytes else None,
        said_by={"name": "wang"},
        now_us=2,
        expires_at_us=102,
    )


def test_a_row_is_its_owners_at_their_site_alone(database: Database) -> None:
    with database.writing() as connection:
        upload = _announce(connection)
        for scope, owner, is_there in (
            (NORTH, "wang", True),
            (Scope(None), "wang", True),
            (NORTH, "li", False),
            (Scope.of("south"), "wang", False),
            (Scope.of(), "wang", False),
        ):
            found = find_upload(connection, scope=scope, owner=owner, key=upload.key)
            batch = find_batch(connection, scope=scope, owner=owner, key="b")
            assert (found is not None, batch is not None) == (is_there, is_there)
        assert _announce(connection, site="south").batch.id != upload.batch.id
        assert _announce(connection, owner="li").batch.id != upload.batch.id


def test_what_was_announced_counts_until_it_is_taken_or_ended(database: Database) -> None:
    with database.writing() as connection:
        first, second = _announce(connection, n_bytes=10), _announce(connection, n_bytes=5)
        single = _announce(connection, key=None, n_bytes=7)
        _announce(connection, site="south", n_bytes=1000)
        assert unfinished_of(connection, site="north") == Unfinished(3, 22)
        assert unfinished_of(connection, site="north", batch_id=first.batch.id) == Unfinished(2, 15)
        assert end_upload(connection, second, now_us=2)
        assert [one.key for one in files_of(connection, first.batch)] == [first.key]
        assert unfinished_of(connection, site="north") == Unfinished(2, 17)
        assert _receive(connection, single, 7)
        answer_batch(connection, single.batch, answer={"studies": []}, now_us=3)
        assert unfinished_of(connection, site="north") == Unfinished(1, 10)
        assert not end_upload(connection, single, now_us=4)


def test_a_file_by_itself_closes_with_its_last_byte_and_a_batch_with_a_word(database: Database) -> None:
    with database.writing() as connection:
        single, one = _announce(connection, key=None), _announce(connection)
        assert _receive(connection, single, 4)
        assert closing_batches(connection, scope=NORTH, at_most=9) == []
        assert _receive(connection, single, 10)
        assert _receive(connection, one, 10)
        (closing,) = closing_batches(connection, scope=NORTH, at_most=9)
        assert (closing.id, closing.said_by) == (single.batch.id, {"name": "wang"})
        assert closing_batches(connection, scope=Scope.of("south"), at_most=9) == []
        assert close_batch(connection, one.batch, fields={"age": 61}, said_by={}, now_us=3)
        assert len(closing_batches(connection, scope=Scope(None), at_most=9)) == 2
        answer_batch(connection, one.batch, problem={"code": "nothing-taken"}, now_us=4)
        told = find_batch(connection, scope=NORTH, owner="wang", key="b")
        assert told is not None
        assert (told.state, told.answer, told.problem) == ("refused", None, {"code": "nothing-taken"})
        assert not close_batch(connection, one.batch, fields={}, said_by={}, now_us=5)
        assert not _receive(connection, one, 10)


def test_what_nobody_goes_on_with_expires_and_is_forgotten(database: Database) -> None:
    with database.writing() as connection:
        left, going_on, called_whole = (_announce(connection, key=key) for key in ("left", "on", "whole"))
        assert _receive(connection, going_on, 5)  # keeps it until 102
        assert _receive(connection, called_whole, 10)
        assert close_batch(connection, called_whole.batch, fields={}, said_by={}, now_us=2)
        assert expire(connection, now_us=101) == 1
        keys = [left.key, going_on.key, called_whole.key, "batch-1"]
        assert needed(connection, keys) == {going_on.key, called_whole.key}
        assert not _receive(connection, left, 10)
        assert forget(connection, before_us=101) == 0
        assert forget(connection, before_us=102) == 1
        assert find_upload(connection, scope=NORTH, owner="wang", key=left.key) is None
        assert find_upload(connection, scope=NORTH, owner="wang", key=called_whole.key) is not None
