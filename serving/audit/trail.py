"""The trail at work: what is done is appended in the transaction that does it, what is seen before it shows.

A view that cannot be written down is shown all the same: a full disk must not keep a doctor from the list.
It is kept in memory, told in the log, and appended with its own time as soon as that is possible.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from serving.audit.checkpoints import sign_checkpoint, sign_purge
from serving.audit.head import Head, HeadFile
from serving.audit.keys import PublicKey, SigningKey
from serving.errors import StartError
from serving.store.audit import (
    Signed,
    add_checkpoint,
    append,
    hold_end,
    last_link,
    newest_checkpoint,
    read_rows,
)
from serving.store.audit_chain import Action, ActorKind, AuditEvent, AuditRow, Link, Who
from serving.store.database import Database
from serving.store.sites import LOCAL_SITE
from serving.store.times import now_us

if TYPE_CHECKING:  # the database has one home, the store
    from sqlalchemy import Connection

log = logging.getLogger(__name__)

SERVICE = Who(ActorKind.SERVICE, "firstread")

ROWS_A_CHECKPOINT = 1000
SECONDS_A_CHECKPOINT = 15 * 60.0

# Events of a few kilobytes: some ten megabytes while the database cannot be written.
_MOST_OWED = 10_000
_ROWS_A_BATCH = 100


@dataclass
class Act:
    """A transaction and what it leaves in the trail; what is not committed leaves nothing."""

    connection: "Connection"
    _head: HeadFile
    last: Link | None = field(default=None)

    def record(self, *events: AuditEvent) -> list[AuditRow]:
        """Append events."""
        rows = append(self.connection, events)
        if rows:
            self.last = Link(rows[-1].seq, rows[-1].hash, rows[-1].at_us)
            self._head.intend(self.last)
        return rows


class AuditTrail:
    """Appends to the trail of a database, and vouches for its end.

    Parameters
    ----------
    database : Database
        Where the rows are.
    key : SigningKey
        Signs a checkpoint every `rows_a_checkpoint` rows, every `seconds_a_checkpoint` and at the end.
    head : HeadFile
        Knows the end of the trail; best on another disk.
    clock : callable
        Gives the time in microseconds since 1970 UTC.
    """

    def __init__(
        self,
        database: Database,
        *,
        key: SigningKey,
        head: HeadFile,
        clock: Callable[[], int] = now_us,
        rows_a_checkpoint: int = ROWS_A_CHECKPOINT,
        seconds_a_checkpoint: float = SECONDS_A_CHECKPOINT,
    ) -> None:
        self.database = database
        self.clock = clock
        self._key = key
        self._head = head
        self._rows_a_checkpoint = rows_a_checkpoint
        self._seconds_a_checkpoint = seconds_a_checkpoint
        self._turn = threading.Lock()
        self._waiting: deque[AuditEvent] = deque(maxlen=_MOST_OWED)
        self._next_checkpoint = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._sign_now_and_then, name="audit", daemon=True)

    @property
    def public_key(self) -> PublicKey:
        """The key that checks what this trail signs."""
        return self._key.public

    def sign_purge(self, link: Link) -> Signed:
        """Vouch for the place up to which rows are about to be removed."""
        return sign_purge(self._key, link)

    def start(self, *, version: str) -> None:
        """Compare the end of the trail with the head file, and sign checkpoints from now on.

        Raises
        ------
        StartError
            If the database is an empty one, and the head file knows of rows.
        """
        with self.database.reading() as connection:
            self._next_checkpoint = newest_checkpoint(connection) + self._rows_a_checkpoint
        self._take_up(version)
        self._thread.start()

    def stop(self) -> None:
        """Append what is owed and sign the last checkpoint."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self.note(self._own(Action.STOPPED))
        self._try_checkpoint()

    @contextmanager
    def acting(self) -> Iterator[Act]:
        """Open a transaction that changes something and records what."""
        with self.database.writing() as connection:
            act = Act(connection, self._head)
            yield act
        self._is_committed(act.last)

    def note(self, event: AuditEvent) -> None:
        """Append an event of its own, as of something seen; threads that come together share one commit."""
        if len(self._waiting) == _MOST_OWED:
            log.critical("an event of the audit trail is lost, too many wait: %s", self._waiting[0].action)
        self._waiting.append(event)
        self._append_waiting()

    def checkpoint(self) -> None:
        """Sign the end of the trail, unless it is signed already."""
        with self.database.writing() as connection:
            hold_end(connection)
            link = last_link(connection)
            if link.seq > newest_checkpoint(connection):
                add_checkpoint(connection, sign_checkpoint(self._key, link))
                log.info("audit checkpoint", extra={"seq": link.seq, "sha256": link.hash})
        self._next_checkpoint = link.seq + self._rows_a_checkpoint

    def _append_waiting(self) -> None:
        with self._turn:
            while self._waiting:
                batch = [self._waiting[place] for place in range(min(len(self._waiting), _ROWS_A_BATCH))]
                try:
                    with self.acting() as act:
                        act.record(*batch)
                except self.database.failures as error:
                    log.critical("%d events wait for the audit trail: %s", len(self._waiting), error)
                    return
                for _ in batch:
                    self._waiting.popleft()

    def _is_committed(self, last: Link | None) -> None:
        if last is None:
            return
        self._head.commit(last)
        if last.seq >= self._next_checkpoint:
            self._next_checkpoint = last.seq + self._rows_a_checkpoint
            self._try_checkpoint()

    def _sign_now_and_then(self) -> None:
        while not self._stopping.wait(self._seconds_a_checkpoint):
            self._append_waiting()
            self._try_checkpoint()

    def _try_checkpoint(self) -> None:
        try:
            self.checkpoint()
        except self.database.failures as error:
            log.error("a checkpoint could not be written: %s", error)

    def _take_up(self, version: str) -> None:
        with self.database.writing() as connection:
            act = Act(connection, self._head)
            hold_end(connection)
            self._compare(connection, act, last_link(connection))
            if self._key.is_new:
                act.record(self._own(Action.KEY_MADE, {"key": self._key.public.fingerprint}))
            act.record(self._own(Action.STARTED, {"version": version}))
        assert act.last is not None
        self._head.commit(act.last, is_forced=True)

    def _compare(self, connection: "Connection", act: Act, link: Link) -> None:
        try:
            head = self._head.read()
        except ValueError:
            head = None
        if head is None:
            if link.seq:
                act.record(self._own(Action.TRAIL_BROKEN, {"problem": "no-head", "last": link.seq}))
            return
        if not link.seq and head.committed.seq:  # else an empty queue would be shown as if all were well
            raise StartError(
                f"the database is empty, and {self._head.path} knows of {head.committed.seq:,} rows of its "
                "audit trail: name the right database, or restore it from the backup; to begin anew, move "
                "that file away."
            )
        if problem := end_problem(connection, head, link):
            log.critical("the audit trail does not end where it should: %s", problem)
            facts = {"problem": problem, "known": head.committed.seq, "last": link.seq}
            act.record(self._own(Action.TRAIL_BROKEN, facts))
        elif link.seq > head.committed.seq and link.hash != (head.intended or head.committed).hash:
            # a power cut loses what the head file was last told; a forged end would look the same
            facts = {"unvouched_from": head.committed.seq + 1, "unvouched_to": link.seq}
            act.record(self._own(Action.TRAIL_RESUMED, facts))

    def _own(self, action: Action, details: Mapping[str, object] = MappingProxyType({})) -> AuditEvent:
        return AuditEvent(action, SERVICE, LOCAL_SITE, self.clock(), details=details)


def end_problem(connection: "Connection", head: Head, link: Link) -> str | None:
    """Say how the end of the trail contradicts its head file: ``truncated``, ``rewritten`` or not (None)."""
    if link.seq < head.committed.seq:
        return "truncated"
    row = next(read_rows(connection, after=head.committed.seq - 1, up_to=head.committed.seq), None)
    # a purge never reaches the end: it records itself there
    return "rewritten" if head.committed.seq and (row is None or row.hash != head.committed.hash) else None
