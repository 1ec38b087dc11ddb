"""A supervisor's own place for a study in the queue, with a reason that everybody reads.

It stands until something new says that the study is due even earlier: a higher priority, another image, a
score. Nothing that comes moves it back.
"""

from dataclasses import dataclass
from datetime import datetime

from serving.audit.trail import AuditTrail
from serving.errors import Problem, ServiceError
from serving.identity.caller import Caller
from serving.reading.obstacles import no_study
from serving.store.audit_chain import Action, AuditEvent, Result
from serving.store.events import Happening, StudyEvent, add_events
from serving.store.queue import BY_HAND, Placement, move_by_hand
from serving.store.reading_state import StudyAtHand, hold
from serving.store.tenancy import NETWORK
from serving.store.times import to_us
from serving.worklist.policy import Policy

# As for a policy's own times: nothing that is called triage waits longer.
_LONGEST_US = 30 * 86400 * 1_000_000


@dataclass(frozen=True)
class Overriding:
    """Moves studies that wait up or down."""

    trail: AuditTrail
    policy: Policy

    def move(self, key: str, caller: Caller, *, due_at: datetime, reason: str) -> Placement:
        """Have a study due at another time, because somebody who may says so.

        Raises
        ------
        ServiceError
            `NOT_FOUND`; `STUDY_READ` if it does not wait; `INVALID_REQUEST` if the time lies before the study
            came or more than 30 days ahead.
        """
        now_us = self.trail.clock()
        with self.trail.acting() as act:
            study = hold(act.connection, scope=caller.scope, key=key)
            if study is not None:
                placement = self._placement(study, caller.who.name, to_us(due_at), reason, now_us)
                move_by_hand(act.connection, site=study.site, study_id=study.id, placement=placement)
                facts = {
                    "due_at_us": placement.due_at_us,
                    "tier": placement.tier,
                    "due_before_us": study.due_at_us,
                }
                act.record(
                    AuditEvent(
                        Action.OVERRIDDEN,
                        caller.who,
                        study.site,
                        now_us,
                        study_uid=study.uid,
                        policy_version=BY_HAND,
                        details={**facts, "tier_before": study.tier, "reason": reason},
                    )
                )
                add_events(
                    act.connection,
                    [StudyEvent(study.id, study.site, Happening.RE_RANKED, now_us, facts)],
                )
                return placement
        refused = {"reason": Problem.NOT_FOUND}
        site = caller.home_site or NETWORK
        self.trail.note(
            AuditEvent(Action.OVERRIDDEN, caller.who, site, now_us, Result.REFUSED, details=refused)
        )
        raise no_study(key)

    def _placement(
        self, study: StudyAtHand, name: str, due_at_us: int, reason: str, now_us: int
    ) -> Placement:
        if not study.is_waiting:
            raise ServiceError(
                Problem.STUDY_READ, "This study is read and signed: it has no place to change."
            )
        if not study.received_at_us <= due_at_us <= now_us + _LONGEST_US:
            raise ServiceError(
                Problem.INVALID_REQUEST,
                "'due_at' must lie between the time at which the study came and 30 days from now.",
            )
        minutes = max(0.0, (due_at_us - now_us) / 60e6)
        return Placement(
            due_at_us=due_at_us,
            tier=self.policy.tier(minutes),
            reason_en=f"moved by {name}: {reason}",
            reason_zh=f"{name}调整：{reason}",
            policy_version=BY_HAND,
        )
