"""The trail for a process that only adds to it: a worker, which holds no key and vouches for nothing.

The service that receives the studies signs the checkpoints, which vouch for a worker's rows as for its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving.audit.head import Head, HeadFile
from serving.audit.trail import Act
from serving.store.audit_chain import Link
from serving.store.database import Database


class _NoHead(HeadFile):
    """Knows no end of the trail: other processes append to it at the same time."""

    def __init__(self) -> None:
        super().__init__(Path())

    def read(self) -> Head | None:
        return None

    def intend(self, link: Link) -> None:
        pass

    def commit(self, link: Link, *, is_forced: bool = False) -> None:
        pass


class AppendingTrail:
    """Appends what a worker did, in the transaction that does it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def acting(self) -> Iterator[Act]:
        """Open a transaction that changes something and records what."""
        with self._database.writing() as connection:
            yield Act(connection, _NoHead())
