"""Takes studies for readers: by choice or the next one due; renews, releases and passes on what they hold."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from serving.audit.trail import Act, AuditTrail
from serving.errors import Problem, ServiceError
from serving.identity.caller import Caller, Role
from serving.reading.allotting import Allotment
from serving.reading.obstacles import kept_from, no_study, obstructed, too_many
from serving.reading.slots import Slot, free_slot, standing_of
from serving.reading.specialties import modalities_of
from serving.reading.terms import ReadingTerms
from serving.reading.together import Together
from serving.store.audit_chain import Action, AuditEvent, Result, Who
from serving.store.claims import (
    AlreadyHeldError,
    Claim,
    Ending,
    HeldStudy,
    NewClaim,
    begin_claims,
    claims_of_reader,
    claims_of_readers,
    end_claim,
    extend_claim,
)
from serving.store.database import Database
from serving.store.next_study import Wanted, free_studies, next_study, released_by
from serving.store.reading_state import StudyAtHand, all_at_hand, at_hand, hold
from serving.store.reads import move_draft, who_has_drafts
from serving.store.tenancy import NETWORK, Scope
from serving.store.turns import take_turns_at

if TYPE_CHECKING:  # the database has one home, the store
    from sqlalchemy import Connection

_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a reader was given; `is_new` is False if they held it already and its lease was renewed."""

    study: StudyAtHand
    claim: Claim
    is_new: bool


@dataclass(frozen=True, slots=True)
class _Asked:
    """Somebody who asks for a study: the one of a key, or the next."""

    caller: Caller
    transaction_uid: str | None
    key: str = ""


@dataclass
class _Noted:
    """A transaction whose rows of the trail are written at its end.

    Whoever has the trail's turn must wait for nothing that somebody holds who waits for that turn.
    """

    connection: "Connection"
    events: list[AuditEvent] = field(default_factory=list)

    def record(self, *events: AuditEvent) -> None:
        """Have events written at the end."""
        self.events += events


@dataclass(frozen=True)
class Claims:
    """The claims of the stored studies; each act stands in the audit trail."""

    database: Database
    trail: AuditTrail
    terms: ReadingTerms = field(default_factory=ReadingTerms)
    _named: Together[_Asked, Claimed] = field(init=False, repr=False)
    _following: Together[_Asked, Claimed | None] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_named", Together(self._claim_all))
        object.__setattr__(self, "_following", Together(self._next_of_all))

    def look(self, key: str, caller: Caller) -> StudyAtHand:
        """Give who holds a study and where its reading stands.

        Raises
        ------
        ServiceError
            `NOT_FOUND` if there is none of that key in the scope.
        """
        with self.database.reading() as connection:
            study = hold(connection, scope=caller.scope, key=key, is_read_only=True)
        if study is None:
            self._note_refusal(Action.VIEWED_STUDY, caller, Problem.NOT_FOUND)
            raise no_study(key)
        shown = {"shown": "claims", "slots": [claim.slot for claim in study.claims]}
        self.trail.note(self._event(Action.VIEWED_STUDY, study, caller.who, shown))
        return study

    def held_by(self, caller: Caller) -> list[HeldStudy]:
        """Give what the caller holds, the longest held first."""
        with self.database.reading() as connection:
            return claims_of_reader(
                connection, scope=caller.scope, reader=caller.who.name, now_us=self.trail.clock()
            )

    def claim(self, key: str, caller: Caller, transaction_uid: str | None = None) -> Claimed:
        """Take a study; one that the caller holds already is renewed.

        Raises
        ------
        ServiceError
            `NOT_FOUND`; `STUDY_HELD` by somebody else, whom it names; `STUDY_READ` if none is left;
            `READ_ELSEWHERE` if the caller must not read studies of that site; `TOO_MANY_CLAIMS`.
        """
        try:
            return self._named.ask(_Asked(caller, transaction_uid, key))
        except AlreadyHeldError:
            study = self.look(key, caller)
            raise obstructed(study, caller.who.name, terms=self.terms, now_us=self.trail.clock()) from None
        except ServiceError as error:
            if error.problem in {Problem.NOT_FOUND, Problem.READ_ELSEWHERE}:
                self._note_refusal(Action.CLAIMED, caller, error.problem)
            raise

    def _claim_all(self, asked: Sequence[_Asked]) -> list[Claimed | BaseException]:
        """Give each the study that they name, or say why not, as one after the other."""
        answers: list[Claimed | BaseException] = []
        with self.trail.acting() as act:
            noted = _Noted(act.connection)
            names = {one.caller.who.name for one in asked}
            take_turns_at(act.connection, [f"reader\0{name}" for name in names])
            held = claims_of_readers(
                act.connection, scope=Scope(None), readers=names, now_us=self.trail.clock()
            )
            # all at once and in one order, so that no two who hold some wait for each other
            keys = sorted({one.key for one in asked})
            studies = {key: hold(act.connection, scope=Scope(None), key=key) for key in keys}
            for one in asked:
                try:
                    answer = self._claim(noted, studies[one.key], one, held)
                except ServiceError as error:
                    answers.append(error)
                    continue
                answers.append(answer)
                if answer.is_new:
                    study, claim = answer.study, answer.claim
                    others = tuple(other for other in study.claims if other.slot != claim.slot)
                    studies[one.key] = replace(study, claims=(*others, claim))
                    mine = HeldStudy(claim, study.key, study.uid, study.site)
                    held.setdefault(claim.reader, []).append(mine)
            act.record(*noted.events)
        return answers

    def _claim(
        self, noted: _Noted, study: StudyAtHand | None, asked: _Asked, held: Mapping[str, list[HeldStudy]]
    ) -> Claimed:
        if study is None or study.site not in asked.caller.scope:
            raise no_study(asked.key)
        mine = held.get(asked.caller.who.name, [])
        return self._take(noted, study, asked.caller, asked.transaction_uid, held=mine)

    def next(self, caller: Caller, transaction_uid: str | None = None) -> Claimed | None:
        """Take the first due study that is free for the caller and of their specialty; None if there is none.

        The same `transaction_uid` again gives the same study again. Those who ask at the same moment share
        one transaction.

        Raises
        ------
        ServiceError
            `TOO_MANY_CLAIMS` if the caller holds as many as one may.
        """
        try:
            return self._following.ask(_Asked(caller, transaction_uid))
        except AlreadyHeldError as error:
            raise ServiceError(
                Problem.STUDY_HELD, "Somebody else was given the study at the same moment: ask again."
            ) from error

    def _next_of_all(self, asked: Sequence[_Asked]) -> list[Claimed | BaseException | None]:
        """Give each what they would be given one after the other, those who read the same before the rest."""
        with self.trail.acting() as act:
            noted = _Noted(act.connection)
            answers = self._answers(noted, asked)
            act.record(*noted.events)
        return answers

    def _answers(self, noted: _Noted, asked: Sequence[_Asked]) -> list[Claimed | BaseException | None]:
        answers: list[Claimed | BaseException | None] = [None] * len(asked)
        now_us = self.trail.clock()
        names = [one.caller.who.name for one in asked]
        take_turns_at(noted.connection, [f"reader\0{name}" for name in names])
        held = claims_of_readers(noted.connection, scope=Scope(None), readers=set(names), now_us=now_us)
        alone: list[int] = []
        groups: dict[tuple[Scope, Wanted], list[int]] = {}
        for place, one in enumerate(asked):
            mine = held.get(names[place], [])
            is_given = one.transaction_uid in {claim.claim.transaction_uid for claim in mine}
            is_full = len(mine) >= self.terms.most_claims
            if len(asked) == 1 or is_given or is_full or names.count(names[place]) > 1:
                alone.append(place)
            else:
                groups.setdefault((one.caller.scope, self._wanted(one.caller, "", now_us)), []).append(place)
        for (scope, wanted), places in groups.items():
            given = self._allot(noted, scope, wanted, {place: asked[place] for place in places})
            answers = [given.get(place, answer) for place, answer in enumerate(answers)]
            alone += [place for place in places if place not in given]
        for place in alone:
            try:
                answers[place] = self._next(noted, asked[place])
            except ServiceError as error:
                answers[place] = error
        return answers

    def _allot(
        self, noted: _Noted, scope: Scope, wanted: Wanted, asked: Mapping[int, _Asked]
    ) -> dict[int, Claimed]:
        """Give a study to each of those who may be given the same ones, as far as there are any."""
        connection, now_us = noted.connection, self.trail.clock()
        ids = free_studies(connection, scope=scope, wanted=wanted, now_us=now_us, limit=len(asked))
        if not ids:
            return {}
        allotment = Allotment(
            all_at_hand(connection, scope=scope, study_ids=ids),
            self.terms,
            now_us,
            released_by(connection, scope=scope, study_ids=ids, since_us=wanted.released_since_us),
        )
        given = allotment.give((place, one.caller.who.name) for place, one in asked.items())
        new = []
        for one in given:
            who = asked[one.place].caller.who
            uid = asked[one.place].transaction_uid
            new.append(self._new_claim(one.study, one.slot, who.name, uid, now_us))
            self._end_expired(noted, one.study, one.slot, who)
        self._move_drafts(connection, scope, new)
        begun = begin_claims(connection, new) if new else []
        answers = {}
        for one, claim in zip(given, begun, strict=True):
            who = asked[one.place].caller.who
            noted.record(self._event(Action.CLAIMED, one.study, who, _facts(claim, "next")))
            answers[one.place] = Claimed(one.study, claim, is_new=True)
        return answers

    def _move_drafts(self, connection: "Connection", scope: Scope, new: Sequence[NewClaim]) -> None:
        """Let readers go on with the drafts that they have, where they have any."""
        ids, names = [one.study_id for one in new], [one.reader for one in new]
        drafted = who_has_drafts(connection, scope=scope, study_ids=ids, readers=names)
        for one in new:
            if (one.study_id, one.reader) in drafted:
                move_draft(
                    connection, site=one.site, study_id=one.study_id, reader=one.reader, to_slot=one.slot
                )

    def _next(self, act: _Noted, asked: _Asked) -> Claimed | None:
        caller, now_us = asked.caller, self.trail.clock()
        held = claims_of_reader(act.connection, scope=Scope(None), reader=caller.who.name, now_us=now_us)
        again = next((one for one in held if one.claim.transaction_uid == asked.transaction_uid), None)
        if asked.transaction_uid is not None and again is not None:
            study = at_hand(act.connection, scope=Scope(None), study_id=again.claim.study_id)
            assert study is not None, "what somebody holds is there"
            return Claimed(study, again.claim, is_new=False)
        if len(held) >= self.terms.most_claims:
            raise too_many(held, self.terms.most_claims)
        wanted = self._wanted(caller, caller.who.name, now_us)
        passed_by: list[int] = []
        while True:
            study_id = next_study(
                act.connection, scope=caller.scope, wanted=wanted, now_us=now_us, passed_by=passed_by
            )
            if study_id is None:
                return None
            found = at_hand(act.connection, scope=caller.scope, study_id=study_id)
            assert found is not None, "a study that is held was there"
            slot = self._free(found, caller.who.name, now_us)
            if isinstance(slot, Slot):
                return self._give(act, found, slot, caller.who, asked.transaction_uid, by="next")
            passed_by.append(study_id)  # somebody was given it since the queue was looked at

    def _wanted(self, caller: Caller, reader: str, now_us: int) -> Wanted:
        home = caller.home_site
        return Wanted(
            reader=reader,
            modalities=modalities_of(caller.specialties),
            not_of_sites=frozenset({home} if home and self.terms.is_kept_from(home, home) else ()),
            second_tiers=self.terms.second_tiers,
            released_since_us=now_us - round(self.terms.lease_s * _US),
        )

    def renew(self, key: str, caller: Caller) -> Claimed:
        """Let the caller's claim last a whole lease from now on, also if it expired and nobody took it.

        Raises
        ------
        ServiceError
            `NOT_FOUND`; `CLAIM_NEEDED` if the caller holds it not, or not any more.
        """
        with self.trail.acting() as act:
            study = self._hold(act.connection, key, caller)
            claim = _own(study, caller)
            return self._renew(act, study, claim, caller.who)

    def release(self, key: str, caller: Caller) -> StudyAtHand:
        """Give a study back; a draft stays the caller's.

        Raises
        ------
        ServiceError
            `NOT_FOUND`; `CLAIM_NEEDED` if the caller does not hold it.
        """
        with self.trail.acting() as act:
            study = self._hold(act.connection, key, caller)
            claim = _own(study, caller)
            self._end(act, study, claim, Ending.RELEASED, who=caller.who)
            return study

    def leave(self, act: Act, who: Who) -> None:
        """Give back all that somebody holds who signs out; drafts stay theirs."""
        now_us = self.trail.clock()
        held = claims_of_reader(act.connection, scope=Scope(None), reader=who.name, now_us=now_us)
        # all before the first row of the trail: whoever has the trail's turn waits for no claim
        for one in held:
            end_claim(act.connection, one.claim, site=one.site, ending=Ending.RELEASED, now_us=now_us)
        for one in held:
            details = {
                "slot": one.claim.slot,
                "reader": who.name,
                "ending": Ending.RELEASED,
                "by": "sign-out",
            }
            act.record(
                AuditEvent(
                    Action.CLAIM_ENDED, who, one.site, now_us, study_uid=one.study_uid, details=details
                )
            )

    def take_over(self, key: str, caller: Caller, *, slot: int, reason: str, for_me: bool) -> Claimed | None:
        """Take a study from whoever holds it, for oneself or for the next; their draft stays theirs.

        Raises
        ------
        ServiceError
            `NOT_FOUND`; `CONFLICT` if nobody holds that slot; `LICENCE_NEEDED` or `NOT_ALLOWED` if the caller
            wants it for themselves and is no reader with a licence; what :meth:`claim` raises.
        """
        if for_me and Role.READER not in caller.roles:
            raise ServiceError(
                Problem.NOT_ALLOWED, "Reading is for readers: free the study for another by for_me=false."
            )
        if for_me and not caller.may_read:
            raise ServiceError(
                Problem.LICENCE_NEEDED,
                "Reading a study needs a verified licence that has not expired: free it by for_me=false.",
            )
        with self.trail.acting() as act:
            study = self._hold(act.connection, key, caller)
            claim = next((one for one in study.claims if one.slot == slot), None)
            if claim is None or claim.reader == caller.who.name:
                raise ServiceError(
                    Problem.CONFLICT, f"Nobody else holds the study in slot {slot}: claim it as it is."
                )
            self._end(act, study, claim, Ending.TAKEN_OVER, who=caller.who, reason=reason)
            if not for_me:
                return None
            freed = at_hand(act.connection, scope=caller.scope, study_id=study.id)
            assert freed is not None, "the study is held"
            held = claims_of_reader(
                act.connection, scope=Scope(None), reader=caller.who.name, now_us=self.trail.clock()
            )
            return self._take(act, freed, caller, held=held)

    def _take(
        self,
        act: Act | _Noted,
        study: StudyAtHand,
        caller: Caller,
        transaction_uid: str | None = None,
        *,
        held: Sequence[HeldStudy],
    ) -> Claimed:
        now_us, reader = self.trail.clock(), caller.who.name
        own = study.claim_of(reader)
        if own is not None and study.is_waiting:
            return self._renew(act, study, own, caller.who)
        if self.terms.is_kept_from(caller.home_site, study.site):
            raise kept_from(study.site)
        slot = self._free(study, reader, now_us)
        if not isinstance(slot, Slot):
            raise obstructed(study, reader, terms=self.terms, now_us=now_us)
        if len(held) >= self.terms.most_claims:
            raise too_many(held, self.terms.most_claims)
        return self._give(act, study, slot, caller.who, transaction_uid, by="choice")

    def _give(
        self,
        act: Act | _Noted,
        study: StudyAtHand,
        slot: Slot,
        who: Who,
        transaction_uid: str | None,
        *,
        by: str,
    ) -> Claimed:
        """Give a slot that is free, in the transaction that ends the lease which expired on it."""
        now_us = self.trail.clock()
        self._end_expired(act, study, slot, who)
        move_draft(act.connection, site=study.site, study_id=study.id, reader=who.name, to_slot=slot)
        new = self._new_claim(study, slot, who.name, transaction_uid, now_us)
        (claim,) = begin_claims(act.connection, [new])
        act.record(self._event(Action.CLAIMED, study, who, _facts(claim, by)))
        return Claimed(study, claim, is_new=True)

    def _new_claim(
        self, study: StudyAtHand, slot: Slot, reader: str, transaction_uid: str | None, now_us: int
    ) -> NewClaim:
        uid = transaction_uid or f"2.25.{uuid.uuid4().int}"  # PS3.5 B.2
        expires_at_us = now_us + round(self.terms.lease_s * _US)
        return NewClaim(study.site, study.id, int(slot), reader, uid, now_us, expires_at_us)

    def _end_expired(self, act: Act | _Noted, study: StudyAtHand, slot: Slot, who: Who) -> None:
        for before in study.claims:
            if before.slot == slot:
                self._end(act, study, before, Ending.EXPIRED, who=who)

    def _renew(self, act: Act | _Noted, study: StudyAtHand, claim: Claim, who: Who) -> Claimed:
        expires_at_us = max(claim.expires_at_us, self.trail.clock() + round(self.terms.lease_s * _US))
        extend_claim(act.connection, claim, site=study.site, expires_at_us=expires_at_us)
        renewed = replace(claim, expires_at_us=expires_at_us)
        act.record(self._event(Action.CLAIMED, study, who, _facts(renewed, "renewal")))
        return Claimed(study, renewed, is_new=False)

    def _end(
        self,
        act: Act | _Noted,
        study: StudyAtHand,
        claim: Claim,
        ending: Ending,
        *,
        who: Who,
        reason: str | None = None,
    ) -> None:
        end_claim(act.connection, claim, site=study.site, ending=ending, now_us=self.trail.clock())
        details = {"slot": claim.slot, "reader": claim.reader, "ending": ending, "reason": reason}
        act.record(self._event(Action.CLAIM_ENDED, study, who, details))

    def _free(self, study: StudyAtHand, reader: str, now_us: int) -> object:
        standing = standing_of(study, second_tiers=self.terms.second_tiers, now_us=now_us)
        return free_slot(standing, reader)

    def _hold(self, connection: "Connection", key: str, caller: Caller) -> StudyAtHand:
        take_turns_at(connection, [f"reader\0{caller.who.name}"])
        study = hold(connection, scope=caller.scope, key=key)
        if study is None:
            raise no_study(key)
        return study

    def _event(
        self, action: Action, study: StudyAtHand, who: Who, details: Mapping[str, object]
    ) -> AuditEvent:
        return AuditEvent(action, who, study.site, self.trail.clock(), study_uid=study.uid, details=details)

    def _note_refusal(self, action: Action, caller: Caller, problem: Problem) -> None:
        site = caller.home_site or NETWORK
        self.trail.note(
            AuditEvent(
                action,
                caller.who,
                site,
                self.trail.clock(),
                result=Result.REFUSED,
                details={"reason": problem},
            )
        )


def _own(study: StudyAtHand, caller: Caller) -> Claim:
    claim = study.claim_of(caller.who.name)
    if claim is None:
        raise ServiceError(
            Problem.CLAIM_NEEDED,
            "You do not hold this study, or not any more: claim it (again); a draft of yours is kept.",
        )
    return claim


def _facts(claim: Claim, by: str) -> Mapping[str, object]:
    return {"slot": claim.slot, "by": by, "expires_at_us": claim.expires_at_us}
