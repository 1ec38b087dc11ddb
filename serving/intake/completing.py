"""Ends the wait for more images of a study: somebody says that it is complete, or nothing came any more.

The wait is a row beside the study (:mod:`serving.store.arrivals`), and the moment at which it ends is stored,
so it outlives whoever wrote it. Every service and every worker looks for waits that are over; that several
look at once harms nothing, for the row is removed, and the study's job opened, in one transaction that holds
the study.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from serving.audit.trail import SERVICE, Act
from serving.errors import Problem, ServiceError
from serving.store.arrivals import (
    Ended,
    Ending,
    StudyArrival,
    due_waits,
    end_due_wait,
    end_wait,
    find_arrival,
    hold_arrived,
    keys_of_uid,
)
from serving.store.audit_chain import Action, AuditEvent, Result, Who
from serving.store.database import Database
from serving.store.events import Happening, StudyEvent, add_events
from serving.store.expected import expected_total, say_step
from serving.store.jobs import Job, let_wait_for_score
from serving.store.tenancy import NETWORK, Scope

if TYPE_CHECKING:  # the database has one home, the store
    from sqlalchemy import Connection

log = logging.getLogger(__name__)

# One transaction each; others may write between two of them.
_STUDIES_A_TIME = 100


class Queue(Protocol):
    """Takes the jobs of studies that are to be scored (:class:`serving.scoring.durable.JobQueue`)."""

    def enqueue(self, connection: "Connection", job: Job) -> None:
        """Put a job into the queue in the connection's transaction."""


class Trail(Protocol):
    """Opens a transaction whose acts are written down (:class:`serving.audit.trail.AuditTrail`)."""

    def acting(self) -> AbstractContextManager[Act]:
        """Open it."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A study that is complete; `is_new` says whether it was waited for until now."""

    key: str
    uid: str
    n_images: int
    is_new: bool


@dataclass(frozen=True)
class Completing:
    """Takes studies for complete, each once."""

    database: Database
    trail: Trail
    queue: Queue
    clock: Callable[[], int]

    def complete(self, study: str, *, scope: Scope, who: Who, site: str | None = None) -> Completed:
        """Take a study for complete because somebody says so; to say it again changes nothing.

        Parameters
        ----------
        study : str
            Its key, or its Study Instance UID.
        scope : Scope
            Whose studies may be meant.
        who : Who
            Who says so.
        site : str or None
            The site of the one who says so, for the trail of what is refused.

        Raises
        ------
        ServiceError
            `NOT_FOUND` if there is none in the scope; `INVALID_REQUEST` if several sites have one of the UID.
        """
        try:
            return self._complete(study, scope, who)
        except ServiceError as error:
            self._note_refusal(Action.COMPLETED, error, who, site)
            raise

    def look(
        self, study: str, *, scope: Scope, who: Who, site: str | None = None
    ) -> tuple[StudyArrival, int | None]:
        """Give how far a study has come, and how many images it should have, where that is known.

        Raises
        ------
        ServiceError
            As :meth:`complete`.
        """
        try:
            key = self._key_of(study, scope) if "." in study else study
            with self.database.reading() as connection:
                found = find_arrival(connection, scope=scope, key=key)
                if found is None:
                    raise _none_of(study)
                return found, expected_total(connection, site=found.site, study_uid=found.uid)
        except ServiceError as error:
            self._note_refusal(Action.VIEWED_STUDY, error, who, site)
            raise

    def _complete(self, study: str, scope: Scope, who: Who) -> Completed:
        key = self._key_of(study, scope) if "." in study else study
        with self.trail.acting() as act:
            held = hold_arrived(act.connection, scope=scope, key=key)
            if held is None:
                raise _none_of(study)
            is_new = end_wait(act.connection, held.study_id)
            if is_new:
                self._end(act, held, Ending.SIGNAL, who)
        return Completed(held.key, held.uid, held.n_images, is_new)

    def expect(
        self, study_uid: str, step_uid: str, n_images: int | None, *, site: str, who: Who
    ) -> Completed | None:
        """Hear how many images a device has made of a study, before or after they come.

        Parameters
        ----------
        study_uid : str
            The Study Instance UID, of a study that need not be there yet.
        step_uid : str
            SOP Instance UID of the performed procedure step (MPPS); a study may have several.
        n_images : int or None
            How many images it made; None as long as it is in progress: then no number completes the study.
        site, who : str, Who
            Whose study it is, and who says so.

        Returns
        -------
        Completed or None
            The study, if with this as many images are there as were announced.
        """
        with self.trail.acting() as act:
            now_us = self.clock()
            say_step(
                act.connection,
                site=site,
                study_uid=study_uid,
                step_uid=step_uid,
                n_images=n_images,
                now_us=now_us,
            )
            expected = expected_total(act.connection, site=site, study_uid=study_uid)
            keys = keys_of_uid(act.connection, scope=Scope.of(site), uid=study_uid)
            if expected is None or not keys:
                return None
            held = hold_arrived(act.connection, scope=Scope.of(site), key=keys[0])
            if held is None or held.n_images < expected or not end_wait(act.connection, held.study_id):
                return None
            self._end(act, held, Ending.COUNT, who)
        return Completed(held.key, held.uid, held.n_images, is_new=True)

    def sweep(self) -> int:
        """Take every study for complete that was waited for long enough; gives how many this call found."""
        n_ended = 0
        while True:
            with self.database.reading() as connection:
                due = due_waits(connection, now_us=self.clock(), limit=_STUDIES_A_TIME)
            n_ended += sum(self._end_if_due(study_id) for study_id in due)
            if len(due) < _STUDIES_A_TIME:
                return n_ended

    def _end_if_due(self, study_id: int) -> bool:
        with self.trail.acting() as act:
            ended = end_due_wait(act.connection, study_id, now_us=self.clock())
            if ended is not None:
                self._end(act, ended, Ending.QUIET, SERVICE)
        return ended is not None

    def _end(self, act: Act, study: Ended, why: Ending, who: Who) -> None:
        now_us = self.clock()
        self.queue.enqueue(act.connection, let_wait_for_score(act.connection, study.study_id, now_us=now_us))
        details = {"why": why, "images": study.n_images}
        act.record(
            AuditEvent(Action.COMPLETED, who, study.site, now_us, study_uid=study.uid, details=details)
        )
        event = StudyEvent(study.study_id, study.site, Happening.COMPLETE, now_us, details)
        add_events(act.connection, [event])
        log.info("a study is complete", extra={"study": study.key, "why": str(why)})

    def _note_refusal(self, action: Action, error: ServiceError, who: Who, site: str | None) -> None:
        details = {"reason": error.problem}
        event = AuditEvent(action, who, site or NETWORK, self.clock(), Result.REFUSED, details=details)
        with self.trail.acting() as act:
            act.record(event)

    def _key_of(self, uid: str, scope: Scope) -> str:
        with self.database.reading() as connection:
            keys = keys_of_uid(connection, scope=scope, uid=uid)
        if not keys:
            raise _none_of(uid)
        if len(keys) > 1:
            raise ServiceError(
                Problem.INVALID_REQUEST, f"Several sites have a study {uid}: name it by its id instead."
            )
        return keys[0]


def _none_of(study: str) -> ServiceError:
    return ServiceError(Problem.NOT_FOUND, f"There is no study {study!r}.")
