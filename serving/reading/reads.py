"""Keeps what readers write and decide: drafts saved over and over, signatures, and who may see what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from serving.audit.trail import Act, AuditTrail
from serving.errors import Problem, ServiceError
from serving.identity.caller import Caller
from serving.reading.agreement import agree
from serving.reading.checking import Shown, check_complete, check_decision
from serving.reading.codes import ValueSet
from serving.reading.decided import facts_of_read
from serving.reading.differing import differences
from serving.reading.draft_schemas import SignRequest
from serving.reading.obstacles import no_study
from serving.reading.places import Place, may_amend, place_for
from serving.reading.seeing import is_blinded, visible
from serving.reading.slots import Slot, final_slot, is_read_twice
from serving.reading.stale import draft_is_stale, is_as_seen, study_has_changed
from serving.reading.terms import ReadingTerms
from serving.store.audit_chain import Action, AuditEvent, Result
from serving.store.claims import Claim, Ending, end_claim, extend_claim, last_slot
from serving.store.database import Database
from serving.store.discrepancies import forget_differences, set_differences
from serving.store.queue import leave_queue
from serving.store.reading_state import SignedRead, StudyAtHand, at_hand, hold
from serving.store.reads import (
    Decision,
    Signature,
    StoredRead,
    begin_draft,
    drafts_of,
    reads_of,
    save_draft,
    sign_draft,
)
from serving.store.scores import find_score
from serving.store.studies import frames_of
from serving.store.tenancy import NETWORK

if TYPE_CHECKING:  # the database has one home, the store
    from sqlalchemy import Connection

_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Save:
    """A draft that somebody wants kept.

    `after` is the version that they saw last, None if they know of none; `seen_score` the score that they
    were shown, None for the newest; `sent` what is given back to them if it cannot be kept.
    """

    decision: Decision
    after: int | None
    save_key: str | None = None
    seen_score: int | None = None
    sent: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kept:
    """A draft or a read, and the lease under which it was kept, None where there is none (any more).

    `is_new` is False if it was kept before and this was the same request again.
    """

    study: StudyAtHand
    read: StoredRead
    claim: Claim | None
    is_new: bool = True


@dataclass(frozen=True, slots=True)
class History:
    """The reads of a study that somebody may see; `is_blinded` if there may be others that they may not."""

    study: StudyAtHand
    reads: tuple[StoredRead, ...]
    is_blinded: bool


@dataclass(frozen=True, slots=True)
class Desk:
    """All that somebody's work on a study begins with: their own draft, and what they may see of others."""

    study: StudyAtHand
    draft: StoredRead | None
    reads: tuple[StoredRead, ...]
    is_blinded: bool
    may_amend: bool


@dataclass(frozen=True)
class Reads:
    """The reads of the stored studies; each act stands in the audit trail."""

    database: Database
    trail: AuditTrail
    codes: ValueSet
    terms: ReadingTerms = field(default_factory=ReadingTerms)

    def draft(self, key: str, caller: Caller) -> Kept:
        """Give the caller's own draft of a study.

        Raises
        ------
        ServiceError
            `NOT_FOUND` if there is no such study, or no draft of theirs.
        """
        with self.database.reading() as connection:
            study = hold(connection, scope=caller.scope, key=key, is_read_only=True)
            drafts = [] if study is None else self._drafts(connection, study, caller)
        if study is None:
            self._note_refusal(Action.VIEWED_STUDY, caller)
            raise no_study(key)
        claim = study.claim_of(caller.who.name)
        draft = _current(drafts, claim)
        if draft is None:
            raise ServiceError(Problem.NOT_FOUND, "You have no draft of this study.")
        self._note(study, caller, {"shown": "draft", "version": draft.version})
        return Kept(study, draft, claim)

    def history(self, key: str, caller: Caller) -> History:
        """Give the reads of a study that the caller may see, in the order in which they were begun.

        Raises
        ------
        ServiceError
            `NOT_FOUND` if there is no such study.
        """
        now_us, name = self.trail.clock(), caller.who.name
        with self.database.reading() as connection:
            study = hold(connection, scope=caller.scope, key=key, is_read_only=True)
            found = [] if study is None else reads_of(connection, scope=caller.scope, study_id=study.id)
        if study is None:
            self._note_refusal(Action.VIEWED_STUDY, caller)
            raise no_study(key)
        shown = tuple(read for read in found if visible(read, study, name, now_us=now_us))
        self._note(study, caller, {"shown": "reads", "reads": [read.id for read in shown]})
        return History(study, shown, self._is_blind(study, name, now_us))

    def desk(self, key: str, caller: Caller) -> Desk:
        """Give what belongs on a study's page; that reads of it are shown is noted, all else with the page.

        Raises
        ------
        ServiceError
            `NOT_FOUND` if there is no such study.
        """
        now_us, name = self.trail.clock(), caller.who.name
        with self.database.reading() as connection:
            study = hold(connection, scope=caller.scope, key=key, is_read_only=True)
            found = [] if study is None else reads_of(connection, scope=caller.scope, study_id=study.id)
            drafts = [] if study is None else self._drafts(connection, study, caller)
        if study is None:
            raise no_study(key)
        draft = _current(drafts, study.claim_of(name))
        signed = [read for read in found if read.signed_at_us is not None]
        shown = tuple(read for read in signed if visible(read, study, name, now_us=now_us))
        if shown:
            self._note(study, caller, {"shown": "reads", "reads": [read.id for read in shown]})
        return Desk(study, draft, shown, self._is_blind(study, name, now_us), may_amend(study, caller))

    def save(self, key: str, caller: Caller, save: Save) -> Kept:
        """Keep a draft. It is kept also when the lease has expired, which the answer shows; nothing is lost.

        Raises
        ------
        ServiceError
            `NOT_FOUND`; `CLAIM_NEEDED` if the caller never took the study; `VERSION_STALE` if another save
            came first, with that one and the refused one; what cannot be meant, with the refused one.
        """
        try:
            with self.trail.acting() as act:
                return self._save(act, key, caller, save)
        except ServiceError as error:
            if error.problem is Problem.NOT_FOUND:
                self._note_refusal(Action.DRAFTED, caller)
            else:
                error.members.setdefault("refused", save.sent)
            raise

    def sign(self, key: str, caller: Caller, request: SignRequest) -> Kept:
        """Sign the draft as it was saved in a version; sent twice, it is signed once.

        Raises
        ------
        ServiceError
            `NOT_FOUND`; `VERSION_STALE`; `STUDY_CHANGED` if it is not what the reader was shown;
            `CLAIM_EXPIRED` or `CLAIM_NEEDED` without a lease; `READ_INCOMPLETE`; `STUDY_READ` if there is
            nothing to be signed.
        """
        try:
            with self.trail.acting() as act:
                return self._sign(act, key, caller, request)
        except ServiceError as error:
            if error.problem is Problem.NOT_FOUND:
                self._note_refusal(Action.DECIDED, caller)
            raise

    def _save(self, act: Act, key: str, caller: Caller, save: Save) -> Kept:
        connection, now_us = act.connection, self.trail.clock()
        study = self._hold(connection, key, caller)
        drafts = self._drafts(connection, study, caller)
        place = self._place(connection, study, caller, drafts)
        draft = next((one for one in drafts if one.slot == place.slot), None)
        if draft is not None and self._is_kept(draft, save):
            return Kept(study, draft, place.claim, is_new=False)
        if draft is None and (signed := self._signed_save(connection, study, place, caller, save)):
            return Kept(study, signed, None, is_new=False)
        if (None if draft is None else draft.version) != save.after:
            raise draft_is_stale(draft, save.after)
        score_id = save.seen_score or study.score_id
        check_decision(save.decision, self._shown(connection, study, score_id, caller), self.codes)
        values = {"site": study.site, "save_key": save.save_key, "score_id": score_id, "now_us": now_us}
        if draft is None:
            kept = begin_draft(
                connection,
                save.decision,
                study_id=study.id,
                slot=place.slot,
                reader=caller.who.name,
                **values,  # type: ignore[arg-type]  # each is of its parameter's type
            )
        else:
            kept = save_draft(connection, draft, save.decision, **values)  # type: ignore[arg-type]  # the same
        claim = place.claim
        if claim is not None and claim.is_held(now_us):
            extend_claim(connection, claim, site=study.site, expires_at_us=now_us + self._lease_us())
        self._record(act, Action.DRAFTED, study, caller, facts_of_read(kept))
        again = at_hand(connection, scope=caller.scope, study_id=study.id) or study
        return Kept(again, kept, again.claim_of(caller.who.name))

    def _signed_save(
        self, connection: "Connection", study: StudyAtHand, place: Place, caller: Caller, save: Save
    ) -> StoredRead | None:
        """Give the read that this very save has become already, as when a form is sent twice."""
        previous = study.signed_in(place.slot)
        if previous is None or previous.reader != caller.who.name:
            return None
        found = reads_of(connection, scope=caller.scope, study_id=study.id)
        read = next(one for one in found if one.id == previous.id)
        return read if self._is_kept(read, save) else None

    def _is_kept(self, draft: StoredRead, save: Save) -> bool:
        """Whether a save is the last one again: another text under the same key is another save."""
        is_same = save.save_key is not None and draft.save_key == save.save_key
        return is_same and draft.decision == save.decision

    def _sign(self, act: Act, key: str, caller: Caller, request: SignRequest) -> Kept:
        connection, now_us = act.connection, self.trail.clock()
        study = self._hold(connection, key, caller)
        drafts = self._drafts(connection, study, caller)
        place = self._place(connection, study, caller, drafts)
        draft = next((one for one in drafts if one.slot == place.slot), None)
        previous = study.signed_in(place.slot)
        if draft is None:
            return self._signed_before(connection, study, caller, request.version, previous)
        if draft.version != request.version:
            raise draft_is_stale(draft, request.version)
        if not is_as_seen(study, request):
            raise study_has_changed(study, request)
        check_complete(draft.decision)
        check_decision(draft.decision, self._shown(connection, study, study.score_id, caller), self.codes)
        place.check_signature(study, caller, request.amendment_reason, now_us=now_us)
        claim = place.claim
        signature = Signature(
            signed_at_us=now_us,
            claim_id=None if claim is None else claim.id,
            score_id=study.score_id,
            revision=study.revision,
            amends=None if previous is None else previous.id,
            amendment_reason=None if previous is None else request.amendment_reason,
        )
        read = sign_draft(connection, draft, signature, site=study.site)
        if claim is not None:
            end_claim(connection, claim, site=study.site, ending=Ending.SIGNED, now_us=now_us)
            ended = {"slot": claim.slot, "reader": claim.reader, "ending": Ending.SIGNED}
            self._record(act, Action.CLAIM_ENDED, study, caller, ended)
        signed = at_hand(connection, scope=caller.scope, study_id=study.id)
        assert signed is not None, "the study is held"
        # what amends a read of two that are under way changes nothing of who reads on
        goes_on = previous is None or study.is_reopened
        closes = study.is_waiting and goes_on and self._is_through(signed, is_reopened=study.is_reopened)
        if closes:
            leave_queue(connection, site=study.site, study_id=study.id)
        if closes or not study.is_waiting:
            self._learn(connection, signed, caller)
        facts = {**facts_of_read(read), "is_through": closes or not study.is_waiting}
        self._record(act, Action.DECIDED, study, caller, facts)
        after = at_hand(connection, scope=caller.scope, study_id=study.id)
        assert after is not None, "the study is held"
        return Kept(after, read, None)

    def _is_through(self, study: StudyAtHand, *, is_reopened: bool) -> bool:
        """Whether nobody has to read a study any more, now that something of it was signed."""
        first, second = study.signed_in(Slot.FIRST), study.signed_in(Slot.SECOND)
        if is_reopened or study.signed_in(Slot.ADJUDICATION) is not None:
            return True
        if first is not None and second is not None:
            return agree(first, second, self.codes)
        return first is not None and not is_read_twice(study, second_tiers=self.terms.second_tiers)

    def _learn(self, connection: "Connection", study: StudyAtHand, caller: Caller) -> None:
        """Write down how the read that counts now differs from the score that its reader was shown."""
        counts = study.signed_in(final_slot(study.signed))
        found = reads_of(connection, scope=caller.scope, study_id=study.id)
        read = next(one for one in found if counts is not None and one.id == counts.id)
        score = None
        if read.score_id is not None:
            score = find_score(connection, scope=caller.scope, study_id=study.id, score_id=read.score_id)
        if score is None or read.score_id is None:
            forget_differences(connection, site=study.site, study_id=study.id)
            return
        set_differences(
            connection,
            differences(score, read.decision, self.codes),
            site=study.site,
            study_id=study.id,
            read_id=read.id,
            score_id=read.score_id,
            model=(score.model_name, score.model_version),
            now_us=self.trail.clock(),
        )

    def _signed_before(
        self,
        connection: "Connection",
        study: StudyAtHand,
        caller: Caller,
        version: int,
        previous: SignedRead | None,
    ) -> Kept:
        """Give what the same request signed already."""
        is_same = previous is not None and (previous.reader, previous.version) == (caller.who.name, version)
        if previous is None or not is_same:
            raise ServiceError(
                Problem.NOT_FOUND if previous is None else Problem.STUDY_READ,
                "There is no draft of yours to sign: save one first.",
            )
        found = reads_of(connection, scope=caller.scope, study_id=study.id)
        read = next(read for read in found if read.id == previous.id)
        return Kept(study, read, None, is_new=False)

    def _place(
        self, connection: "Connection", study: StudyAtHand, caller: Caller, drafts: list[StoredRead]
    ) -> Place:
        held_before = last_slot(connection, scope=caller.scope, study_id=study.id, reader=caller.who.name)
        return place_for(study, caller, drafts=drafts, held_before=held_before)

    def _shown(
        self, connection: "Connection", study: StudyAtHand, score_id: int | None, caller: Caller
    ) -> Shown:
        keys = None
        if score_id is not None:
            score = find_score(connection, scope=caller.scope, study_id=study.id, score_id=score_id)
            if score is None:
                raise ServiceError(
                    Problem.INVALID_REQUEST,
                    f"The study has no score {score_id}: give the 'id' of the score that was shown.",
                )
            keys = [str(line["key"]) for line in score.probabilities]
        return Shown(frames_of(connection, scope=caller.scope, study_id=study.id), keys)

    def _is_blind(self, study: StudyAtHand, reader: str, now_us: int) -> bool:
        """Whether there are two readers of a study, of whom somebody is kept from the other's."""
        is_twice = is_read_twice(study, second_tiers=self.terms.second_tiers)
        return is_twice and is_blinded(study, reader, now_us=now_us)

    def _drafts(self, connection: "Connection", study: StudyAtHand, caller: Caller) -> list[StoredRead]:
        return drafts_of(connection, scope=caller.scope, study_id=study.id, reader=caller.who.name)

    def _hold(self, connection: "Connection", key: str, caller: Caller) -> StudyAtHand:
        study = hold(connection, scope=caller.scope, key=key)
        if study is None:
            raise no_study(key)
        return study

    def _lease_us(self) -> int:
        return round(self.terms.lease_s * _US)

    def _record(
        self, act: Act, action: Action, study: StudyAtHand, caller: Caller, details: Mapping[str, object]
    ) -> None:
        moment = self.trail.clock()
        act.record(AuditEvent(action, caller.who, study.site, moment, study_uid=study.uid, details=details))

    def _note(self, study: StudyAtHand, caller: Caller, details: Mapping[str, object]) -> None:
        event = AuditEvent(
            Action.VIEWED_STUDY,
            caller.who,
            study.site,
            self.trail.clock(),
            study_uid=study.uid,
            details=details,
        )
        self.trail.note(event)

    def _note_refusal(self, action: Action, caller: Caller) -> None:
        event = AuditEvent(
            action,
            caller.who,
            caller.home_site or NETWORK,
            self.trail.clock(),
            result=Result.REFUSED,
            details={"reason": Problem.NOT_FOUND},
        )
        self.trail.note(event)


def _current(drafts: Sequence[StoredRead], claim: Claim | None) -> StoredRead | None:
    """Give the draft that belongs to a claim, else the first."""
    first = drafts[0] if drafts else None
    return next((one for one in drafts if claim and one.slot == claim.slot), first)
