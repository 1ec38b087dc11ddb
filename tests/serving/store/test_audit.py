from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from serving.store.audit import append, last_link, read_rows
from serving.store.audit_chain import GENESIS, row_hash
from serving.store.database import connect_sqlite, open_database
from serving.store.schema import NEWEST, migrate, revision_of
from tests.serving.audit.trails import event
from tests.serving.store.stored import opened

_COPY_ROW_2_TO_9 = """
    INSERT INTO audit SELECT 9, at, is_clock_back, site_id, actor_kind, actor, verified_identity, address,
    request_id, action, result, study_uid, model, model_sha256, policy_version, details, before, hash
    FROM audit WHERE seq = 2
"""

_ROWS_OF_THE_FIRST_SCHEMA = (
    "INSERT INTO sites VALUES ('local', 'Local')",
    "INSERT INTO patients VALUES (1, 'local', '', 'P1', 'Wang^Fang')",
    """
    INSERT INTO studies (id, site_id, key, uid, patient_id, accession, description, modality, received_at,
    priority, state, revision, n_attempts, n_images)
    VALUES (1, 'local', 'k', '1.2', 1, '', '', 'XC', 5, 'routine', 'received', 1, 0, 1)
    """,
    "INSERT INTO queue_entries VALUES (1, 'local', 1, 9, 'urgent', 'en', 'zh', 'test')",
)


def test_each_row_holds_the_hash_of_the_one_before(tmp_path: Path) -> None:
    with opened(tmp_path) as database, database.writing() as connection:
        append(connection, [event(1), event(2)])
        append(connection, [event(3)])
        rows = list(read_rows(connection))
    assert [row.seq for row in rows] == [1, 2, 3]
    assert [row.before for row in rows] == [GENESIS, rows[0].hash, rows[1].hash]
    assert [row_hash(row) for row in rows] == [row.hash for row in rows]


def test_a_clock_that_was_set_back_is_recorded_as_it_is_with_a_mark(tmp_path: Path) -> None:
    with opened(tmp_path) as database, database.writing() as connection:
        append(connection, [event(1, at_us=9), event(2, at_us=4), event(3, at_us=5)])
        assert [(row.at_us, row.is_clock_back) for row in read_rows(connection)] == [(9, 0), (4, 1), (5, 0)]


def test_rows_are_found_by_study_and_time(tmp_path: Path) -> None:
    with opened(tmp_path) as database, database.writing() as connection:
        append(connection, [event(number) for number in range(1, 1200)])
        assert len(list(read_rows(connection))) == 1199
        assert [row.seq for row in read_rows(connection, study_uid="2.25.7")] == [7]
        found = read_rows(connection, since_us=600_000_000, until_us=602_000_000)
        assert [row.seq for row in found] == [600, 601]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET action = 'nothing' WHERE seq = 2",
        "DELETE FROM audit WHERE seq = 2",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit SELECT * FROM audit WHERE seq = 2",
        _COPY_ROW_2_TO_9,
        "UPDATE audit_checkpoints SET seq = 1",
        "DELETE FROM audit_checkpoints",
        "INSERT OR REPLACE INTO audit_checkpoints VALUES (1, '', 0, '', '')",
        "DELETE FROM audit_purges",
    ],
)
def test_the_database_refuses_to_alter_the_trail(tmp_path: Path, statement: str) -> None:
    with opened(tmp_path) as database:
        with database.writing() as connection:
            append(connection, [event(1), event(2), event(3)])
            connection.execute(text("INSERT INTO audit_checkpoints VALUES (2, 'hash', 0, '', '')"))
            if "purges" in statement:
                connection.execute(text("INSERT INTO audit_purges VALUES (1, 'hash', 0, '', '')"))
        with (
            database.writing() as connection,
            pytest.raises(IntegrityError, match=r"never altered|appended alone"),
        ):
            connection.execute(text(statement))


def test_a_database_of_the_first_schema_keeps_its_rows_and_gets_a_trail(tmp_path: Path) -> None:
    file = tmp_path / "old.sqlite"
    engine = connect_sqlite(file)
    migrate(engine, "0001")
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        for statement in _ROWS_OF_THE_FIRST_SCHEMA:
            connection.execute(text(statement))
    engine.dispose()

    database = open_database(file)
    with database.writing() as connection:
        assert revision_of(connection) == NEWEST
        assert connection.execute(text("SELECT uid, patient_id FROM studies")).one() == ("1.2", 1)
        assert connection.execute(text("SELECT due_at FROM queue_entries")).scalar_one() == 9
        assert last_link(connection).seq == 0
        append(connection, [event(1)])
        assert last_link(connection).seq == 1
    database.close()
