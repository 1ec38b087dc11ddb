"""In which slot somebody writes about a study, and whether they may sign there."""

from collections.abc import Sequence
from dataclasses import dataclass

from serving.errors import Problem, ServiceError
from serving.identity.caller import Caller, Role
from serving.reading.slots import Slot, final_slot
from serving.store.claims import Claim
from serving.store.reading_state import StudyAtHand
from serving.store.reads import StoredRead


@dataclass(frozen=True, slots=True)
class Place:
    """A slot, and the claim on it that is the writer's, expired or not; None where there is none."""

    slot: Slot
    claim: Claim | None

    def check_signature(
        self, study: StudyAtHand, caller: Caller, amendment_reason: str | None, *, now_us: int
    ) -> None:
        """Refuse a signature to whom the study was not given, or who amends without a reason.

        Raises
        ------
        ServiceError
            `CLAIM_NEEDED`, `CLAIM_EXPIRED`, `READ_INCOMPLETE`, or `NOT_ALLOWED` for another's read.
        """
        previous = study.signed_in(self.slot)
        if previous is None or study.is_reopened:
            self._check_lease(now_us)
        elif Role.SUPERVISOR not in caller.roles and previous.reader != caller.who.name:
            raise ServiceError(
                Problem.NOT_ALLOWED,
                f"This study was read and signed by {previous.reader}: they or a supervisor may amend it.",
            )
        elif study.is_waiting and {Slot.FIRST, Slot.SECOND} <= {read.slot for read in study.signed}:
            raise ServiceError(
                Problem.STUDY_READ,
                "Both reads are signed and differ: an adjudicator decides; your read can be amended no more.",
            )
        if previous is not None and amendment_reason is None:
            raise ServiceError(
                Problem.READ_INCOMPLETE,
                "This takes the place of a read that was signed: say why in 'amendment_reason'.",
            )

    def _check_lease(self, now_us: int) -> None:
        if self.claim is None:
            raise ServiceError(
                Problem.CLAIM_NEEDED,
                "You do not hold this study, or not any more; a draft is kept: claim it (again), then sign.",
            )
        if not self.claim.is_held(now_us):
            raise ServiceError(
                Problem.CLAIM_EXPIRED,
                "Your time for this study is over, and nobody else has taken it yet; your draft is kept: "
                "claim it again, then sign.",
            )


def may_amend(study: StudyAtHand, caller: Caller) -> bool:
    """Whether somebody may put another read in place of the one that counts."""
    counts = None if study.is_waiting else study.signed_in(final_slot(study.signed))
    if counts is None or not caller.may_read or Role.READER not in caller.roles:
        return False
    return counts.reader == caller.who.name or Role.SUPERVISOR in caller.roles


def place_for(
    study: StudyAtHand, caller: Caller, *, drafts: Sequence[StoredRead], held_before: int | None
) -> Place:
    """Give where somebody writes: in what they hold, else where their draft is, else where they may amend.

    Whoever once held a study can always save what they write; only to sign it, it must be theirs.

    Raises
    ------
    ServiceError
        `CLAIM_NEEDED` if they have nothing to do with the study.
    """
    reader = caller.who.name
    claim = study.claim_of(reader)
    if claim is not None:
        return Place(Slot(claim.slot), claim)
    if drafts:
        return Place(Slot(drafts[0].slot), None)
    own = next((read for read in study.signed if read.reader == reader), None)
    if own is not None and (study.is_waiting or own.slot == final_slot(study.signed)):
        return Place(Slot(own.slot), None)
    if not study.is_waiting and study.signed and Role.SUPERVISOR in caller.roles:
        return Place(final_slot(study.signed), None)
    if held_before is not None:
        return Place(Slot(held_before), None)
    raise ServiceError(
        Problem.CLAIM_NEEDED,
        "You do not hold this study: claim it first; what you sent is given back with this answer.",
    )
