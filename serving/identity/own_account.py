"""What people do with their own account: the first set-up, a new password, a second factor, sessions."""

from collections.abc import Sequence
from dataclasses import dataclass

from serving.identity.caller import Caller, Role, SignedInBy, Stage
from serving.identity.links import Links, Purpose
from serving.identity.login_names import new_login_name
from serving.identity.password_rules import SHORTEST_ALONE, check_password
from serving.identity.refused_sign_in import Reason, SignInRefusedError
from serving.identity.second_factor import Enrolment
from serving.identity.signing_in import Opened, SigningIn, Visitor
from serving.store.audit_chain import Action, Result
from serving.store.people import Grants, Person, add_person, count_people, find_person, set_password
from serving.store.second_factors import count_recovery_codes, find_factor, remove_factor
from serving.store.sessions import (
    Session,
    end_sessions_of,
    find_link,
    forget_devices_of,
    sessions_of,
    use_link,
)
from serving.store.sites import LOCAL_SITE
from serving.store.tenancy import Scope

# Whoever sets the service up looks after it and leads the queue; more people and other roles follow.
_FIRST = Grants(frozenset({Role.OPERATOR, Role.SUPERVISOR}), frozenset(), Scope(None))

_MOST_OF_A_NAME = 100


@dataclass(frozen=True, slots=True)
class NewPassword:
    """A password as it is typed into a form, twice."""

    first: str
    again: str


@dataclass(frozen=True, slots=True)
class AccountView:
    """What somebody sees of their own account."""

    person: Person
    has_factor: bool
    needs_factor: bool
    n_recovery_codes: int
    sessions: Sequence[Session]


@dataclass(frozen=True)
class OwnAccounts:
    """Changes accounts on behalf of those whose they are."""

    signing_in: SigningIn
    links: Links

    def set_up(
        self, visitor: Visitor, token: str, *, login_name: str, name_zh: str, name_en: str, new: NewPassword
    ) -> Opened:
        """Make the first account by its link, and let its owner in.

        Raises
        ------
        SignInRefusedError
            `LINK_INVALID`, or what is wrong with a name or the password; then the link can be used again.
        """
        self.links.check(visitor, token, Purpose.SET_UP)
        name = new_login_name(login_name)
        name_zh, name_en = name_zh.strip()[:_MOST_OF_A_NAME], name_en.strip()[:_MOST_OF_A_NAME]
        if not name_zh and not name_en:
            raise SignInRefusedError(Reason.NAME_MISSING)
        hashed = self._hashed(new, names=[name, name_zh, name_en], has_second_factor=False)
        now = self.signing_in.clock()
        with self.signing_in.trail.acting() as act:
            link = find_link(act.connection, token, purpose=Purpose.SET_UP, now_us=now)
            if link is None or not use_link(act.connection, link, now_us=now) or count_people(act.connection):
                raise SignInRefusedError(Reason.LINK_INVALID)
            person = add_person(
                act.connection,
                login_name=name,
                name_zh=name_zh,
                name_en=name_en,
                home_site=LOCAL_SITE,
                grants=_FIRST,
                now_us=now,
                password_hash=hashed,
            )
            roles = sorted(person.grants.roles)
            stage = self.signing_in.stage_after_password(act.connection, person)
            opened = self.signing_in.open(act.connection, visitor, person, SignedInBy.PASSWORD, stage)
            act.record(
                self.signing_in.event(
                    Action.PERMISSION_CHANGED,
                    visitor,
                    person,
                    {"person": name, "roles": roles, "by": "set-up"},
                ),
                self.signing_in.event(Action.LOGGED_IN, visitor, person, {"by": "set-up"}),
            )
        return opened

    def set_password_by_link(self, visitor: Visitor, token: str, new: NewPassword) -> None:
        """Set a password by a link; every session ends, and browsers are known no more.

        Raises
        ------
        SignInRefusedError
            `LINK_INVALID`, or what is wrong with the password.
        """
        person = self.links.check(visitor, token, Purpose.PASSWORD)
        if person is None:
            raise SignInRefusedError(Reason.LINK_INVALID)
        hashed = self._hashed_for(person, new)
        now = self.signing_in.clock()
        with self.signing_in.trail.acting() as act:
            link = find_link(act.connection, token, purpose=Purpose.PASSWORD, now_us=now)
            if link is None or not use_link(act.connection, link, now_us=now):
                raise SignInRefusedError(Reason.LINK_INVALID)
            set_password(act.connection, person.id, hashed, now_us=now)
            n_ended = end_sessions_of(act.connection, person.id, now_us=now)
            forget_devices_of(act.connection, person.id)
            details = {"by": "link", "ended_sessions": n_ended}
            act.record(self.signing_in.event(Action.PASSWORD_CHANGED, visitor, person, details))

    def change_password(self, visitor: Visitor, caller: Caller, present: str, new: NewPassword) -> Opened:
        """Replace the password; every other session ends, and this one is replaced.

        Raises
        ------
        SignInRefusedError
            `PASSWORD_WRONG` if the present one is not right; what is wrong with the new one.
        """
        person = self.person_of(caller)
        self._check_present(visitor, person, present, Action.PASSWORD_CHANGED)
        hashed = self._hashed_for(person, new)
        now = self.signing_in.clock()
        with self.signing_in.trail.acting() as act:
            set_password(act.connection, person.id, hashed, now_us=now)
            n_ended = end_sessions_of(act.connection, person.id, now_us=now)
            opened = self.signing_in.open(act.connection, visitor, person, caller.signed_in_by, Stage.OPEN)
            details = {"by": "owner", "ended_sessions": n_ended - 1}
            act.record(self.signing_in.event(Action.PASSWORD_CHANGED, visitor, person, details))
        return opened

    def view(self, caller: Caller) -> AccountView:
        """Give what somebody sees of their account."""
        person = self.person_of(caller)
        with self.signing_in.database.reading() as connection:
            factor = find_factor(connection, person.id)
            return AccountView(
                person,
                factor is not None and factor.is_confirmed,
                self.signing_in.needs_factor(person),
                count_recovery_codes(connection, person.id),
                sessions_of(connection, person.id, now_us=self.signing_in.clock()),
            )

    def enrolment(self, caller: Caller) -> Enrolment | None:
        """Give what an app needs to become somebody's second factor; None if they have one."""
        return self.signing_in.factors.enrolment(self.person_of(caller))

    def confirm_factor(self, visitor: Visitor, caller: Caller, code: str) -> tuple[list[str], Opened | None]:
        """Switch the second factor on; gives the recovery codes, and a session if one waited for that.

        Raises
        ------
        SignInRefusedError
            `CODE_WRONG`.
        """
        person = self.person_of(caller)
        codes = self.signing_in.factors.confirm(person, code)
        now = self.signing_in.clock()
        opened = None
        with self.signing_in.trail.acting() as act:
            if caller.stage is Stage.ENROLMENT:
                end_sessions_of(act.connection, person.id, now_us=now, key=caller.session)
                opened = self.signing_in.open(
                    act.connection, visitor, person, caller.signed_in_by, Stage.OPEN
                )
            else:  # what was opened by the password alone before is not worth as much now
                end_sessions_of(act.connection, person.id, now_us=now, but=caller.session)
            act.record(self.signing_in.event(Action.SECOND_FACTOR_CHANGED, visitor, person, {"to": "app"}))
        return codes, opened

    def remove_factor(self, visitor: Visitor, caller: Caller, present: str) -> None:
        """Switch the second factor off, or make room for another one.

        Raises
        ------
        SignInRefusedError
            `PASSWORD_WRONG`; `PASSWORD_SHORT` if the password is too short to stand alone.
        """
        person = self.person_of(caller)
        self._check_present(visitor, person, present, Action.SECOND_FACTOR_CHANGED)
        if len(present) < SHORTEST_ALONE:
            raise SignInRefusedError(Reason.PASSWORD_SHORT, characters=SHORTEST_ALONE)
        if self.signing_in.needs_factor(person):
            raise SignInRefusedError(Reason.FACTOR_REQUIRED)
        with self.signing_in.trail.acting() as act:
            remove_factor(act.connection, person.id)
            act.record(self.signing_in.event(Action.SECOND_FACTOR_CHANGED, visitor, person, {"to": None}))

    def end_sessions(self, visitor: Visitor, caller: Caller, key: str | None) -> int:
        """End one of somebody's sessions, or all but this one; gives how many."""
        person = self.person_of(caller)
        with self.signing_in.trail.acting() as act:
            n_ended = end_sessions_of(
                act.connection,
                person.id,
                now_us=self.signing_in.clock(),
                key=key,
                but=caller.session if key is None else None,
            )
            details = {"ended_sessions": n_ended}
            act.record(self.signing_in.event(Action.LOGGED_OUT, visitor, person, details))
        return n_ended

    def prove(self, visitor: Visitor, caller: Caller, *, password: str | None, code: str | None) -> None:
        """Have somebody who is signed in prove again that it is them, by the password or else by a code.

        Raises
        ------
        SignInRefusedError
            `PASSWORD_WRONG`, `CODE_WRONG`, `CODE_AGAIN`, or `BLOCKED` after too many tries.
        """
        person = self.person_of(caller)
        if password is not None:
            self._check_present(visitor, person, password, Action.DECIDED)
            return
        things = [("factor", person.key)]
        now = self.signing_in.clock()
        self.signing_in.tries.begin(things, now_us=now)
        try:
            self.signing_in.factors.check(person, code or "")
        except SignInRefusedError:
            refused = {"what": "second factor"}
            event = self.signing_in.event(Action.DECIDED, visitor, person, refused, Result.REFUSED)
            self.signing_in.trail.note(event)
            raise
        self.signing_in.tries.take_back(things, now_us=now)

    def person_of(self, caller: Caller) -> Person:
        """Give whose account it is."""
        with self.signing_in.database.reading() as connection:
            person = None if caller.user is None else find_person(connection, key=caller.user)
        if person is None:  # a token, or a service without sign-in
            raise SignInRefusedError(Reason.WRONG)
        return person

    def _check_present(self, visitor: Visitor, person: Person, present: str, action: Action) -> None:
        things = [("present", person.key)]
        now = self.signing_in.clock()
        with self.signing_in.hashing.turn():
            self.signing_in.tries.begin(things, now_us=now)
            is_right = self.signing_in.hashing.is_right(person.password_hash, present)
        if not is_right:
            self.signing_in.trail.note(
                self.signing_in.event(action, visitor, person, {"what": "present password"}, Result.REFUSED)
            )
            raise SignInRefusedError(Reason.PASSWORD_WRONG)
        self.signing_in.tries.take_back(things, now_us=now)

    def _hashed_for(self, person: Person, new: NewPassword) -> str:
        with self.signing_in.database.reading() as connection:
            factor = find_factor(connection, person.id)
        names = [person.login_name, person.name_zh, person.name_en]
        return self._hashed(new, names=names, has_second_factor=factor is not None and factor.is_confirmed)

    def _hashed(self, new: NewPassword, *, names: Sequence[str], has_second_factor: bool) -> str:
        if new.first != new.again:
            raise SignInRefusedError(Reason.PASSWORD_DIFFERS)
        check_password(new.first, names=names, has_second_factor=has_second_factor)
        with self.signing_in.hashing.turn():
            return self.signing_in.hashing.hash(new.first)
