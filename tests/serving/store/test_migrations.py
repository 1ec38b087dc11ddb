import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, inspect, select, text

import serving.store.access_tables
import serving.store.assembly_tables
import serving.store.device_tables
import serving.store.identity_tables
import serving.store.order_tables
import serving.store.quarantine_tables
import serving.store.reading_tables
import serving.store.upload_tables  # noqa: F401 - their tables stand in the same metadata
from serving.errors import StartError
from serving.store.database import open_database, open_existing
from serving.store.schema import MIGRATIONS, NEWEST, revision_of
from serving.store.sites import LOCAL_SITE, ensure_local_site
from serving.store.tables import metadata, objects, sites
from tests.serving.store.databases import Place, PostgresServer

ROOT = Path(__file__).resolve().parents[3]


def test_an_empty_database_is_brought_to_the_newest_schema(empty_place: Place) -> None:
    database = open_database(empty_place)
    with database.reading() as connection:
        assert revision_of(connection) == NEWEST
        assert set(inspect(connection).get_table_names()) == {*metadata.tables, "alembic_version"}
    database.close()


def test_tables_and_migrations_do_not_drift_apart(empty_place: Place) -> None:
    database = open_database(empty_place)
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    database.close()


def test_the_index_of_waiting_studies_is_partial_in_the_migrated_database(empty_place: Place) -> None:
    database = open_database(empty_place)
    with database.reading() as connection:
        (made,) = [
            index
            for index in inspect(connection).get_indexes("queue_entries")
            if index["name"] == "ix_queue_entries_waiting"
        ]
    database.close()
    where = made["dialect_options"][f"{database.engine.dialect.name}_where"]
    assert str(where) in {"is_waiting = 1", "(is_waiting = true)", "is_waiting"}


def test_a_filled_database_keeps_its_rows(empty_place: Place) -> None:
    database = open_database(empty_place)
    with database.writing() as connection:
        ensure_local_site(connection)
        connection.execute(insert(objects).values(sha256="0" * 64, n_bytes=1, stored_at=2))
    database.close()

    again = open_database(empty_place)
    with again.reading() as connection:
        assert connection.execute(select(sites.c.id)).scalars().all() == [LOCAL_SITE]
        assert connection.execute(select(objects.c.n_bytes)).scalars().all() == [1]
    again.close()


def test_the_newest_migration_is_the_one_that_alembic_finds() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [NEWEST]


def test_a_database_of_a_later_version_is_refused_in_a_sentence(empty_place: Place) -> None:
    database = open_database(empty_place)
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    with pytest.raises(StartError, match="later version of firstread"):
        open_database(empty_place)
    with pytest.raises(StartError, match="another version"):
        open_existing(empty_place)


def test_what_is_committed_is_flushed_to_the_disk(tmp_path: Path) -> None:
    database = open_database(tmp_path / "new.sqlite")
    with database.reading() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar_one() == 2  # FULL
        assert connection.execute(text("PRAGMA foreign_keys")).scalar_one() == 1
    database.close()


def test_a_change_that_fails_half_way_leaves_nothing(empty_place: Place) -> None:
    database = open_database(empty_place)

    def fail_half_way() -> None:
        with database.writing() as connection:
            ensure_local_site(connection)
            raise TimeoutError

    with pytest.raises(TimeoutError):
        fail_half_way()
    with database.reading() as connection:
        assert connection.execute(select(sites.c.id)).all() == []
    database.close()


def test_of_many_processes_that_start_at_once_one_migrates(empty_place: Place) -> None:
    program = "import sys; from serving.store.database import open_database; from pathlib import Path; "
    place = f"Path({str(empty_place)!r})" if isinstance(empty_place, Path) else repr(empty_place)
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", f"{program}open_database({place}).close()"],
            cwd=ROOT,
            stderr=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    assert [(one.communicate()[1], one.returncode) for one in starters] == [(b"", 0)] * 4


def test_a_server_that_is_not_there_is_said_in_one_sentence_without_the_password(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"the database reads at .* cannot be used") as raised:
        open_database(f"postgresql://me:hushhush@/reads?host={tmp_path}")
    assert "hushhush" not in str(raised.value)
    with pytest.raises(StartError, match="no address of a database"):
        open_database("postgresql://host/name?colour=blue")


def test_a_postgresql_database_that_cannot_hold_chinese_is_refused(postgresql: PostgresServer) -> None:
    postgresql.execute("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1'")
    with pytest.raises(StartError, match="keeps text as LATIN1"):
        open_database(postgresql.address("latin"))
