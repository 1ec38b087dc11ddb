"""Copies an SQLite database while others write to it, and reads such a copy without touching it."""

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BUSY_S = 30.0

_REFERENCED = (
    "SELECT o.sha256, o.n_bytes FROM objects o WHERE "
    "EXISTS (SELECT 1 FROM instances i WHERE i.sha256 = o.sha256){} ORDER BY o.sha256"
)
# A copy of an earlier version has no quarantine.
_OR_IN_QUARANTINE = (
    " OR EXISTS (SELECT 1 FROM quarantine q WHERE q.object = o.sha256)"
    " OR EXISTS (SELECT 1 FROM quarantine q WHERE q.corrected = o.sha256)"
)


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a database as it stands at one moment, by SQLite's own online backup.

    The copy is made in one step: in steps, it begins anew whenever another process writes, and on a busy
    evening never ends. In write-ahead mode nobody waits for it.

    Raises
    ------
    OSError
        If the source cannot be read or the target not be written.
    """
    try:
        with (
            contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as read,
            contextlib.closing(sqlite3.connect(target)) as written,
        ):
            read.execute(f"PRAGMA busy_timeout={int(_BUSY_S * 1000)}")
            read.backup(written, pages=-1)
            written.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
    except sqlite3.Error as error:
        raise OSError(f"{source} cannot be copied: {error}") from error


def problem_of(copy: Path) -> str | None:
    """Say what is wrong with a copy, None if it is whole."""
    try:
        with _read(copy) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        return str(error)
    return None if found == "ok" else str(found)


def schema_of(copy: Path) -> str | None:
    """Give the migration at which a copy stands, None for one that is no database of ours."""
    with _read(copy) as connection:
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.Error:
            return None
    return None if row is None else str(row[0])


def referenced_objects(copy: Path) -> Iterator[tuple[str, int]]:
    """Give name and size of every object that a copy's rows refer to, in the order of their names."""
    with _read(copy) as connection:
        has_quarantine = connection.execute(
            "SELECT 1 FROM sqlite_master WHERE name = 'quarantine'"
        ).fetchone()
        query = _REFERENCED.format(_OR_IN_QUARANTINE if has_quarantine else "")
        for sha256, n_bytes in connection.execute(query):
            yield str(sha256), int(n_bytes)


def end_of_trail(copy: Path) -> tuple[int, str, int] | None:
    """Give number, hash and time of the last row of a copy's audit trail, None if it has none."""
    with _read(copy) as connection:
        row = connection.execute("SELECT seq, hash, at FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    return None if row is None else (int(row[0]), str(row[1]), int(row[2]))


@contextmanager
def _read(copy: Path) -> Iterator[sqlite3.Connection]:
    # Immutable: a reader of a copy makes no file beside it, and needs no right to.
    address = f"{copy.absolute().as_uri()}?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
        yield connection
