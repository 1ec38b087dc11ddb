"""Signing in and out: the password, the second factor, the session that is opened, what the trail keeps."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from fastapi import Request

from serving.audit.origin import origin_of
from serving.audit.trail import Act, AuditTrail
from serving.identity.caller import Role, SignedInBy, Stage
from serving.identity.cookies import DEVICE, read_cookie
from serving.identity.login_names import login_name as normalised_name
from serving.identity.password_hashing import PasswordHashing
from serving.identity.presence import Terms, who_of
from serving.identity.refused_sign_in import Reason, SignInRefusedError
from serving.identity.second_factor import SecondFactors
from serving.identity.tries import Thing, Tries, tried_on
from serving.store.audit_chain import Action, AuditEvent, Result, Who
from serving.store.database import Database
from serving.store.people import Person, find_person, renew_hash
from serving.store.second_factors import find_factor
from serving.store.sessions import (
    add_device,
    add_session,
    digest,
    end_session,
    find_session,
    is_device_of,
    new_token,
    sessions_of,
)
from serving.store.sites import LOCAL_SITE
from serving.store.times import now_us

if TYPE_CHECKING:  # the database has one home, the store
    from sqlalchemy import Connection

_US = 1_000_000
_MOST_OF_A_BROWSER = 200


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who wants to come in: from where, with which browser, and the marks that it carries."""

    who: Who
    browser: str | None = None
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that was opened: what the browser is to hold, and how far it leads."""

    token: str
    stage: Stage
    device: str | None = None


def visitor_of(request: Request) -> Visitor:
    """Give who wants to come in."""
    browser = request.headers.get("user-agent", "")[:_MOST_OF_A_BROWSER] or None
    return Visitor(origin_of(request), browser, read_cookie(request, DEVICE))


@dataclass(frozen=True)
class SigningIn:
    """Lets people in and out.

    `factor_roles` are those whose people need a second factor; `leaving` is told of those who sign out
    and are signed in nowhere else, in the transaction that ends their session.
    """

    database: Database
    trail: AuditTrail
    hashing: PasswordHashing
    factors: SecondFactors
    tries: Tries
    terms: Terms = field(default_factory=Terms)
    factor_roles: Collection[Role] = ()
    clock: Callable[[], int] = now_us
    leaving: Callable[[Act, Who], None] | None = None

    def with_password(self, visitor: Visitor, login_name: str, password: str) -> Opened:
        """Let somebody in by name and password; where a second factor is due the session leads no further.

        Raises
        ------
        SignInRefusedError
            `WRONG`, whatever was wrong; `BLOCKED` after too many tries; `BUSY`.
        """
        name = normalised_name(login_name)
        now = self.clock()
        with self.database.writing() as connection:
            person = find_person(connection, login_name=name)
            device = None
            if (
                person is not None
                and visitor.device is not None
                and is_device_of(connection, visitor.device, user_id=person.id, now_us=now)
            ):
                device = visitor.device
        things = tried_on(name, visitor.who.address, None if device is None else digest(device))
        with self.hashing.turn():
            blocked = self._begin(visitor, person, things, now)
            stored = None if person is None or not person.is_active else person.password_hash
            is_right = self.hashing.is_right(stored, password)
            outdated = is_right and stored is not None and self.hashing.is_outdated(stored)
            renewed = self.hashing.hash(password) if outdated else None
        if person is None or not is_right:
            self._note_failure(visitor, person, "password", blocked)
            raise SignInRefusedError(Reason.WRONG)
        self.tries.take_back(things, now_us=now)
        with self.trail.acting() as act:
            if renewed is not None and stored is not None:
                renew_hash(act.connection, person.id, before=stored, after=renewed)
            stage = self.stage_after_password(act.connection, person)
            opened = self.open(act.connection, visitor, person, SignedInBy.PASSWORD, stage)
            if stage is not Stage.SECOND_FACTOR:
                opened = self._with_device(act.connection, opened, visitor, person, device)
                act.record(self.event(Action.LOGGED_IN, visitor, person, {"by": SignedInBy.PASSWORD}))
        return opened

    def with_second_factor(self, visitor: Visitor, token: str, code: str) -> Opened:
        """Let somebody through whose password was right; the session is replaced by another.

        Raises
        ------
        SignInRefusedError
            `CODE_WRONG`, `CODE_AGAIN`, or `BLOCKED` after too many tries.
        """
        now = self.clock()
        with self.database.reading() as connection:
            found = find_session(connection, token)
        if found is None or found[0].stage != Stage.SECOND_FACTOR or found[0].ended_at_us is not None:
            raise SignInRefusedError(Reason.WRONG)
        session, person = found
        things: list[Thing] = [("factor", person.key)]
        blocked = self._begin(visitor, person, things, now)
        try:
            kind = self.factors.check(person, code)
        except SignInRefusedError:
            self._note_failure(visitor, person, "second factor", blocked)
            raise
        self.tries.take_back(things, now_us=now)
        with self.trail.acting() as act:
            end_session(act.connection, session.id, now_us=now)
            by = SignedInBy(session.signed_in_by)
            opened = self.open(act.connection, visitor, person, by, Stage.OPEN)
            opened = self._with_device(act.connection, opened, visitor, person, None)
            act.record(self.event(Action.LOGGED_IN, visitor, person, {"by": by, "second_factor": kind}))
        return opened

    def stage_after_password(self, connection: "Connection", person: Person) -> Stage:
        """Say how far a password, or another hospital's word, leads somebody."""
        factor = find_factor(connection, person.id)
        if factor is not None and factor.is_confirmed:
            return Stage.SECOND_FACTOR
        return Stage.ENROLMENT if self.needs_factor(person) else Stage.OPEN

    def needs_factor(self, person: Person) -> bool:
        """Whether somebody's roles ask for a second factor."""
        return bool(person.grants.roles & {str(role) for role in self.factor_roles})

    def open(
        self, connection: "Connection", visitor: Visitor, person: Person, by: SignedInBy, stage: Stage
    ) -> Opened:
        """Open a session; every sign-in has one of its own, whatever the browser held before."""
        token, now = new_token(), self.clock()
        add_session(
            connection,
            token,
            user_id=person.id,
            stage=stage,
            signed_in_by=by,
            now_us=now,
            expires_at_us=self.terms.expires_at_us(stage, now),
            address=visitor.who.address,
            browser=visitor.browser,
        )
        return Opened(token, stage)

    def out(self, visitor: Visitor, token: str) -> None:
        """End a session."""
        with self.trail.acting() as act:
            found = find_session(act.connection, token)
            if found is None or found[0].ended_at_us is not None:
                return
            session, person = found
            now = self.clock()
            end_session(act.connection, session.id, now_us=now)
            if self.leaving is not None and not self._is_here(act.connection, person, now):
                self.leaving(act, who_of(person, visitor.who, now_us=now))
            act.record(self.event(Action.LOGGED_OUT, visitor, person, {}))

    def _is_here(self, connection: "Connection", person: Person, now: int) -> bool:
        others = sessions_of(connection, person.id, now_us=now)
        return any(now - one.last_seen_at_us < self.terms.idle_s * _US for one in others)

    def event(
        self,
        action: Action,
        visitor: Visitor,
        person: Person,
        details: Mapping[str, object] = MappingProxyType({}),
        result: Result = Result.DONE,
    ) -> AuditEvent:
        """Say what somebody did."""
        now = self.clock()
        who = who_of(person, visitor.who, now_us=now)
        return AuditEvent(action, who, person.home_site or LOCAL_SITE, now, result=result, details=details)

    def _begin(self, visitor: Visitor, person: Person | None, things: list[Thing], now: int) -> list[Thing]:
        try:
            return self.tries.begin(things, now_us=now)
        except SignInRefusedError as error:
            self._note_failure(visitor, person, str(error.reason), [])
            raise

    def _note_failure(
        self, visitor: Visitor, person: Person | None, what: str, blocked: Collection[Thing]
    ) -> None:
        # A name that nobody has may be anything that somebody typed, a password too: it is not kept.
        known = None if person is None else person.login_name
        site = LOCAL_SITE if person is None else person.home_site or LOCAL_SITE
        details: dict[str, object] = {"account": known, "what": what}
        now = self.clock()
        self.trail.note(
            AuditEvent(Action.LOGGED_IN, visitor.who, site, now, result=Result.REFUSED, details=details)
        )
        if blocked:
            slowed = {"account": known, "on": sorted(kind for kind, _ in blocked)}
            self.trail.note(AuditEvent(Action.LOCKED_OUT, visitor.who, site, now, details=slowed))

    def _with_device(
        self,
        connection: "Connection",
        opened: Opened,
        visitor: Visitor,
        person: Person,
        device: str | None,
    ) -> Opened:
        now = self.clock()
        held = device or visitor.device
        if held is not None and is_device_of(connection, held, user_id=person.id, now_us=now):
            return opened
        device = new_token()
        add_device(connection, device, user_id=person.id, now_us=now)
        return Opened(opened.token, opened.stage, device)
