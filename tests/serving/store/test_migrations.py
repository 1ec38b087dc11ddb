from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, inspect, select, text

import serving.store.identity_tables  # noqa: F401 - its tables stand in the same metadata
from serving.errors import StartError
from serving.store.database import connect_sqlite, open_database
from serving.store.schema import MIGRATIONS, NEWEST, revision_of
from serving.store.sites import LOCAL_SITE, ensure_local_site
from serving.store.tables import metadata, objects, sites


def test_an_empty_database_is_brought_to_the_newest_schema(tmp_path: Path) -> None:
    database = open_database(tmp_path / "new.sqlite")
    with database.reading() as connection:
        assert revision_of(connection) == NEWEST
        assert set(inspect(connection).get_table_names()) == {*metadata.tables, "alembic_version"}
    database.close()


def test_tables_and_migrations_do_not_drift_apart(tmp_path: Path) -> None:
    database = open_database(tmp_path / "new.sqlite")
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    database.close()


def test_the_index_of_waiting_studies_is_partial_in_the_migrated_database(tmp_path: Path) -> None:
    database = open_database(tmp_path / "new.sqlite")
    with database.reading() as connection:
        made = connection.execute(
            text("SELECT sql FROM sqlite_master WHERE name = 'ix_queue_entries_waiting'")
        ).scalar_one()
    database.close()
    assert made.endswith("WHERE is_waiting = 1")


def test_a_filled_database_keeps_its_rows(tmp_path: Path) -> None:
    file = tmp_path / "filled.sqlite"
    database = open_database(file)
    with database.writing() as connection:
        ensure_local_site(connection)
        connection.execute(insert(objects).values(sha256="0" * 64, n_bytes=1, stored_at=2))
    database.close()

    again = open_database(file)
    with again.reading() as connection:
        assert connection.execute(select(sites.c.id)).scalars().all() == [LOCAL_SITE]
        assert connection.execute(select(objects.c.n_bytes)).scalars().all() == [1]
    again.close()


def test_the_newest_migration_is_the_one_that_alembic_finds() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [NEWEST]


def test_a_database_of_a_later_version_is_refused_in_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "later.sqlite"
    open_database(file).close()
    engine = connect_sqlite(file)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(StartError, match="later version of firstread"):
        open_database(file)


def test_what_is_committed_is_flushed_to_the_disk(tmp_path: Path) -> None:
    database = open_database(tmp_path / "new.sqlite")
    with database.reading() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar_one() == 2  # FULL
        assert connection.execute(text("PRAGMA foreign_keys")).scalar_one() == 1
    database.close()


def test_a_change_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    database = open_database(tmp_path / "new.sqlite")

    def fail_half_way() -> None:
        with database.writing() as connection:
            ensure_local_site(connection)
            raise TimeoutError

    with pytest.raises(TimeoutError):
        fail_half_way()
    with database.reading() as connection:
        assert connection.execute(select(sites.c.id)).all() == []
    database.close()
