"""What an operator may do to scoring, each recorded: pause it, resume it, have a failed study tried again."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from serving.audit.trail import AuditTrail
from serving.errors import Problem, ServiceError
from serving.scoring.watchdog import Stuck, Watchdog
from serving.store.audit_chain import Action, AuditEvent, Who
from serving.store.database import Database
from serving.store.jobs import UNSCORED, Job, find_ended, let_wait_again
from serving.store.sites import LOCAL_SITE
from serving.store.switch import Switch, read_switch, set_switch
from serving.store.tenancy import Scope
from serving.store.workers import Worker, all_workers

if TYPE_CHECKING:  # the database has one home, the store
    from sqlalchemy import Connection

_MOST_WORDS = 500


class Queue(Protocol):
    """Takes jobs (:class:`serving.scoring.durable.JobQueue`)."""

    def enqueue(self, connection: "Connection", job: Job) -> None:
        """Put a job into the queue in the connection's transaction."""


@dataclass(frozen=True)
class ScoringControl:
    """Steers scoring, for all workers of a database."""

    database: Database
    trail: AuditTrail
    queue: Queue
    watchdog: Watchdog
    clock: Callable[[], int]

    def switch(self) -> Switch:
        """Say whether scoring is paused, by whom and why."""
        with self.database.reading() as connection:
            return read_switch(connection)

    def pause(self, reason: str, *, who: Who) -> Switch:
        """Have all workers begin no more studies; what is being scored is finished.

        Raises
        ------
        ServiceError
            `INVALID_REQUEST` if no reason is given.
        """
        words = reason.strip()
        if not words or len(words) > _MOST_WORDS:
            raise ServiceError(
                Problem.INVALID_REQUEST,
                f"To pause scoring needs a reason of at most {_MOST_WORDS} characters: those who see the "
                "list without scores will want to know.",
            )
        return self._set(Switch(True, words, who.name, self.clock()), Action.SCORING_PAUSED, who)

    def resume(self, *, who: Who) -> Switch:
        """Let all workers go on."""
        return self._set(Switch(False, "", who.name, self.clock()), Action.SCORING_RESUMED, who)

    def retry(self, study_key: str, *, scope: Scope, who: Who) -> None:
        """Have a study tried again that failed or for which there was no model.

        Raises
        ------
        ServiceError
            `NOT_FOUND` if there is none; `INVALID_REQUEST` if it has a score or waits for one.
        """
        with self.trail.acting() as act:
            study = find_ended(act.connection, scope=scope, key=study_key)
            if study is None:
                raise ServiceError(Problem.NOT_FOUND, f"There is no study {study_key!r}.")
            if study.state not in UNSCORED:
                raise ServiceError(
                    Problem.INVALID_REQUEST,
                    f"Study {study_key} is {study.state}: only one that failed or was abstained from is "
                    "tried again.",
                )
            now_us = self.clock()
            self.queue.enqueue(act.connection, let_wait_again(act.connection, study.id, now_us=now_us))
            act.record(
                AuditEvent(
                    Action.SCORING_RETRIED,
                    who,
                    study.site,
                    now_us,
                    study_uid=study.uid,
                    details={"state": study.state, "reason": study.reason, "revision": study.revision},
                )
            )

    def stuck(self, *, scope: Scope, limit: int, who: Who) -> list[Stuck]:
        """Give the studies that have been in one state for too long."""
        found = self.watchdog.stuck(scope=scope, limit=limit)
        uids = [one.study.study_uid for one in found]
        details = {"list": "stuck", "studies": uids}
        self.trail.note(AuditEvent(Action.VIEWED_LIST, who, LOCAL_SITE, self.clock(), details=details))
        return found

    def workers(self) -> list[Worker]:
        """Give who scores, and who did of late."""
        with self.database.reading() as connection:
            return all_workers(connection)

    def _set(self, switch: Switch, action: Action, who: Who) -> Switch:
        assert switch.set_at_us is not None
        with self.trail.acting() as act:
            before = read_switch(act.connection)
            set_switch(act.connection, switch)
            act.record(
                AuditEvent(
                    action,
                    who,
                    LOCAL_SITE,
                    switch.set_at_us,
                    details={"reason": switch.reason, "was_paused": before.is_paused},
                )
            )
        return switch
