"""One commit, one flush to the disk, for the changes of all who come while another commit is under way.

SQLite has one writer, and a commit waits for the disk. So whoever comes meanwhile stands in line; then one
after the other makes its change within one transaction, each behind a savepoint of its own, and the last of
them commits for all. A change that fails is rolled back alone. Nobody goes on before the commit that holds
its change: what has left the `with` is on the disk. Who comes alone commits at once and waits for nobody.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, RootTransaction

from serving.store.failures import commit_failed

# Those who came first should not wait long for those who came last.
MOST_CHANGES = 64
LONGEST_S = 0.05


@dataclass
class _Group:
    """Changes that are committed together; `error` is why they were not."""

    connection: Connection
    transaction: RootTransaction
    full_at_s: float
    n_changes: int = 0
    error: BaseException | None = None
    is_over: threading.Event = field(default_factory=threading.Event)

    def is_intact(self) -> bool:
        """Whether the transaction still stands: SQLite itself ends it when the disk is full, for example."""
        if self.connection.invalidated:
            return False
        driver = self.connection.connection.driver_connection
        return driver is not None and bool(driver.in_transaction)


class GroupCommit:
    """Lets threads make their changes one after the other, and commits them together.

    Parameters
    ----------
    engine : Engine
        One whose transactions begin as writing ones.
    clock : callable
        Gives seconds that only grow.
    """

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._clock = clock
        self._line = threading.Condition()
        self._n_in_line = 0
        self._is_taken = False
        self._group: _Group | None = None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection whose changes are committed when this ends, or not at all."""
        self._stand_in_line()
        try:
            group = self._group = self._group or self._begin()
            with self._savepoint(group):
                yield group.connection
            group.n_changes += 1
        finally:
            self._hand_on()
        group.is_over.wait()
        if group.error is not None:
            raise commit_failed(group.error) from group.error

    def _stand_in_line(self) -> None:
        with self._line:
            self._n_in_line += 1
            try:
                self._line.wait_for(lambda: not self._is_taken)
            except BaseException as interruption:  # Ctrl-C
                self._n_in_line -= 1
                if self._is_taken:
                    raise
                cause = interruption
            else:
                self._n_in_line -= 1
                self._is_taken = True
                return
            self._is_taken = True
        self._hand_on()  # what this thread was expected to do is left to another, or done here
        raise cause

    def _begin(self) -> _Group:
        connection = self._engine.connect()
        try:
            return _Group(connection, connection.begin(), self._clock() + LONGEST_S)
        except BaseException:
            connection.close()
            raise

    @contextmanager
    def _savepoint(self, group: _Group) -> Iterator[None]:
        # SQLAlchemy's own savepoints compile their two statements anew each time: 0.5 ms
        group.connection.exec_driver_sql("SAVEPOINT change")
        try:
            yield
            group.connection.exec_driver_sql("RELEASE change")
        except BaseException as error:
            group.error = error  # unless the change can be taken back alone
            if group.is_intact():
                group.connection.exec_driver_sql("ROLLBACK TO change")
                group.connection.exec_driver_sql("RELEASE change")
                group.error = None
            raise

    def _hand_on(self) -> None:
        """Let the next in line make its change; commit first if there is none, or the group is full."""
        with self._line:
            group = self._group
            if group is None or (self._n_in_line and self._has_room(group)):
                self._is_taken = False
                self._line.notify()
                return
        try:
            self._end(group)
        finally:
            with self._line:
                self._is_taken = False
                self._line.notify()

    def _has_room(self, group: _Group) -> bool:
        return group.error is None and group.n_changes < MOST_CHANGES and self._clock() < group.full_at_s

    def _end(self, group: _Group) -> None:
        self._group = None
        try:
            if group.error is not None:
                group.connection.invalidate()
            elif group.n_changes:
                group.transaction.commit()
            group.connection.close()
        except BaseException as error:  # each of the group is told, in its own thread
            group.error = group.error or error
            group.connection.invalidate()
            group.connection.close()
            if not isinstance(error, Exception):
                raise
        finally:
            group.is_over.set()
