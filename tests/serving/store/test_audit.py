import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from serving.store.audit import Signed, append, purge, read_rows
from serving.store.audit_chain import GENESIS, Link, row_hash
from tests.serving.audit.trails import event
from tests.serving.store.databases import Place
from tests.serving.store.stored import opened

_COPY_ROW_2_TO_9 = """
    INSERT INTO audit SELECT 9, at, is_clock_back, site_id, actor_kind, actor, verified_identity, address,
    request_id, action, result, study_uid, model, model_sha256, policy_version, details, before, hash
    FROM audit WHERE seq = 2
"""


def test_each_row_holds_the_hash_of_the_one_before(place: Place) -> None:
    with opened(place) as database, database.writing() as connection:
        append(connection, [event(1), event(2)])
        append(connection, [event(3)])
        rows = list(read_rows(connection))
    assert [row.seq for row in rows] == [1, 2, 3]
    assert [row.before for row in rows] == [GENESIS, rows[0].hash, rows[1].hash]
    assert [row_hash(row) for row in rows] == [row.hash for row in rows]


def test_a_clock_that_was_set_back_is_recorded_as_it_is_with_a_mark(place: Place) -> None:
    with opened(place) as database, database.writing() as connection:
        append(connection, [event(1, at_us=9), event(2, at_us=4), event(3, at_us=5)])
        assert [(row.at_us, row.is_clock_back) for row in read_rows(connection)] == [(9, 0), (4, 1), (5, 0)]


def test_rows_are_found_by_study_and_time(place: Place) -> None:
    with opened(place) as database, database.writing() as connection:
        append(connection, [event(number) for number in range(1, 1200)])
        assert len(list(read_rows(connection))) == 1199
        assert [row.seq for row in read_rows(connection, study_uid="2.25.7")] == [7]
        found = read_rows(connection, since_us=600_000_000, until_us=602_000_000)
        assert [row.seq for row in found] == [600, 601]


_ALTERATIONS = (
    "UPDATE audit SET action = 'nothing' WHERE seq = 2",
    "DELETE FROM audit WHERE seq = 2",
    "DELETE FROM audit",
    _COPY_ROW_2_TO_9,
    "UPDATE audit_checkpoints SET seq = 1",
    "DELETE FROM audit_checkpoints",
    "DELETE FROM audit_purges",
    "UPDATE audit_purges SET seq = 2",
)
_OF_ONE_DATABASE = {
    "sqlite": (
        "INSERT OR REPLACE INTO audit SELECT * FROM audit WHERE seq = 2",
        "INSERT OR REPLACE INTO audit_checkpoints VALUES (1, '', 0, '', '')",
    ),
    "postgresql": (
        "TRUNCATE audit",
        "TRUNCATE audit_checkpoints",
        "INSERT INTO audit_checkpoints VALUES (2, '', 0, '', '') ON CONFLICT (seq) DO UPDATE SET hash = ''",
    ),
}


def test_the_database_refuses_to_alter_the_trail(place: Place) -> None:
    with opened(place) as database:
        with database.writing() as connection:
            append(connection, [event(1), event(2), event(3)])
            connection.execute(text("INSERT INTO audit_checkpoints VALUES (2, 'hash', 0, '', '')"))
            connection.execute(text("INSERT INTO audit_purges VALUES (1, 'hash', 0, '', '')"))
        for statement in (*_ALTERATIONS, *_OF_ONE_DATABASE[database.engine.dialect.name]):
            with (
                database.writing() as connection,
                pytest.raises(DBAPIError, match=r"never altered|appended alone|by a purge alone"),
            ):
                connection.execute(text(statement))
        with database.reading() as connection:
            assert [row.seq for row in read_rows(connection)] == [1, 2, 3]


def test_rows_that_were_purged_may_go(place: Place) -> None:
    with opened(place) as database, database.writing() as connection:
        rows = append(connection, [event(1), event(2), event(3)])
        link = Link(rows[1].seq, rows[1].hash)
        assert purge(connection, Signed(link, "signature", "key")) == 2
        assert [row.seq for row in read_rows(connection)] == [3]
        assert append(connection, [event(4)])[0].seq == 4
