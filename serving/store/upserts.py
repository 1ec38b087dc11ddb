"""An INSERT that may meet a row that is there already, in the words of the database it is meant for.

To build a statement costs as much as to run it: what is run for each image is built once.
"""

from collections.abc import Callable
from functools import cache
from typing import TypeAlias

from sqlalchemy import ColumnCollection, ColumnElement, Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

NewValues: TypeAlias = ColumnCollection[str, ColumnElement[object]]
Condition: TypeAlias = Callable[[NewValues], ColumnElement[bool]]


def insert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Begin an INSERT that takes `on_conflict_do_nothing` or `on_conflict_do_update`."""
    return _insert(connection.dialect.name, table)


def insert_unless_there(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Give the INSERT that leaves a row as it is that is there already; values come with its execution."""
    return _insert_unless_there(connection.dialect.name, table)


def insert_or_change(
    connection: Connection,
    table: Table,
    *,
    key: str,
    changes: tuple[str, ...],
    only_if: Condition | None = None,
) -> postgresql.Insert | sqlite.Insert:
    """Give the INSERT that changes some columns of the row that has the same `key`, if there is one.

    `only_if` makes the condition of a change from the new values; where it does not hold, the row stays.
    """
    return _insert_or_change(connection.dialect.name, table, key, changes, only_if)


def _insert(dialect: str, table: Table) -> postgresql.Insert | sqlite.Insert:
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


@cache
def _insert_unless_there(dialect: str, table: Table) -> postgresql.Insert | sqlite.Insert:
    return _insert(dialect, table).on_conflict_do_nothing()


@cache
def _insert_or_change(
    dialect: str, table: Table, key: str, changes: tuple[str, ...], only_if: Condition | None
) -> postgresql.Insert | sqlite.Insert:
    statement = _insert(dialect, table)
    new = {name: statement.excluded[name] for name in changes}
    where = None if only_if is None else only_if(statement.excluded)
    return statement.on_conflict_do_update(index_elements=[table.c[key]], set_=new, where=where)
