from collections.abc import Callable
from contextlib import ExitStack

from serving.store.database import open_database
from serving.store.schema import NEWEST, revision_of, write_as_it_is
from tests.serving.store.databases import Place


def test_a_write_that_changes_nothing_reaches_the_database(place: Place) -> None:
    database = open_database(place)
    with ExitStack() as held:
        held.callback(database.close)
        watching = held.enter_context(database.reading())
        is_sqlite = watching.dialect.name == "sqlite"
        # SQLite counts the changes of others; PostgreSQL keeps each state of a row at a place of its own
        query = "PRAGMA data_version" if is_sqlite else "SELECT ctid FROM alembic_version"
        mark: Callable[[], object] = lambda: watching.exec_driver_sql(query).scalar_one()  # noqa: E731
        before = mark()
        watching.rollback()

        with database.writing() as connection:
            write_as_it_is(connection)

        assert mark() != before
        assert revision_of(watching) == NEWEST
