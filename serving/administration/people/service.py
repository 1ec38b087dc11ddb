"""Who may sign in and as what: entered, changed and kept out, each change with what was before and after.

Three rules hold whoever asks: the last operator stays, nobody changes what they themselves may do, and
nobody vouches for their own licence.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

from serving.audit.trail import Act, AuditTrail
from serving.errors import Problem, ServiceError
from serving.identity.caller import Role
from serving.identity.described import described, differing, end_of
from serving.identity.links import Links
from serving.identity.login_names import login_name as plain_login_name
from serving.identity.login_names import new_login_name
from serving.identity.shown_names import shown_name
from serving.store.audit_chain import Action, AuditEvent, Who
from serving.store.database import Database
from serving.store.external_identities import find_linked, link_identity, linked_identities
from serving.store.people import (
    Grants,
    Licence,
    Person,
    add_person,
    find_person,
    read_people,
    set_active,
    set_grants,
    set_licence,
)
from serving.store.people_changes import active_operators, set_home_and_names
from serving.store.sessions import end_sessions_of, forget_devices_of
from serving.store.sites import LOCAL_SITE, known_sites
from serving.store.tenancy import Scope

if TYPE_CHECKING:  # the database has one home, the store
    from sqlalchemy import Connection

_MOST_OF_A_SUBJECT = 255  # OpenID Connect Core 1.0, 2


@dataclass(frozen=True, slots=True)
class Administrator:
    """Who changes something: their line in the trail, and their own account if they have one."""

    who: Who
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be changed of somebody; None leaves it as it is, and so does `home_site` if it is empty."""

    name_zh: str | None = None
    name_en: str | None = None
    home_site: str | None = ""
    is_active: bool | None = None
    roles: frozenset[Role] | None = None
    specialties: frozenset[str] | None = None
    scope: Scope | None = None

    @property
    def is_of_grants(self) -> bool:
        """Whether it changes what somebody may do or see."""
        return (self.roles, self.specialties, self.scope, self.home_site) != (None, None, None, "")


@dataclass(frozen=True)
class People:
    """Administers people."""

    database: Database
    trail: AuditTrail
    links: Links

    def all(self, *, scope: Scope) -> list[Person]:
        """Give everybody whose home is in scope, by login name."""
        with self.database.reading() as connection:
            return [person for person in read_people(connection) if _is_in(scope, person)]

    def find(self, key: str, *, scope: Scope) -> Person:
        """Give somebody whose home is in scope.

        Raises
        ------
        ServiceError
            `NOT_FOUND`.
        """
        with self.database.reading() as connection:
            person = find_person(connection, key=key)
        if person is None or not _is_in(scope, person):
            raise _nobody(key)
        return person

    def named(self, login_name: str) -> Person:
        """Give somebody by the name they sign in with.

        Raises
        ------
        ServiceError
            `NOT_FOUND`.
        """
        with self.database.reading() as connection:
            person = find_person(connection, login_name=plain_login_name(login_name))
        if person is None:
            raise _nobody(login_name)
        return person

    def enter(
        self,
        login_name: str,
        *,
        name_zh: str,
        name_en: str,
        home_site: str | None,
        grants: Grants,
        by: Administrator,
    ) -> tuple[Person, str]:
        """Enter somebody; gives them and the token of a link by which they choose their password.

        Raises
        ------
        ServiceError
            `CONFLICT` if the name is taken, `INVALID_REQUEST` if a name is missing or a site is not there.
        """
        name = new_login_name(login_name)
        name_zh, name_en = shown_name(name_zh, of="a person"), shown_name(name_en, of="a person")
        if not name_zh and not name_en:
            raise ServiceError(Problem.INVALID_REQUEST, "A name by which others know the person is missing.")
        now_us = self.trail.clock()
        with self.trail.acting() as act:
            if find_person(act.connection, login_name=name) is not None:
                raise ServiceError(
                    Problem.CONFLICT, f"Somebody signs in as {name!r} already: choose another name."
                )
            _require_sites(act.connection, grants.scope, home_site)
            person = add_person(
                act.connection,
                login_name=name,
                name_zh=name_zh,
                name_en=name_en,
                home_site=home_site,
                grants=grants,
                now_us=now_us,
            )
            self._record(act, person, by, before=None, after=described(person))
        return person, self.links.for_password(person, by.who)

    def change(self, key: str, change: Change, *, by: Administrator) -> Person:
        """Change somebody; who is kept out is signed out everywhere at once.

        Raises
        ------
        ServiceError
            `NOT_FOUND`; `NOT_ALLOWED` for one's own rights; `CONFLICT` if no operator would be left.
        """
        with self.trail.acting() as act:
            operators = active_operators(act.connection)
            person = self._found(act.connection, key)
            if change.is_of_grants and by.user == person.key:
                raise ServiceError(
                    Problem.NOT_ALLOWED, "Nobody changes what they may do themselves: ask another operator."
                )
            changed = _changed(person, change)
            stays = changed.is_active and Role.OPERATOR in changed.grants.roles
            if operators == {person.id} and not stays:
                raise ServiceError(
                    Problem.CONFLICT,
                    f"{person.login_name} is the last operator: make somebody else one before.",
                )
            _require_sites(act.connection, changed.grants.scope, changed.home_site)
            set_home_and_names(
                act.connection,
                person.id,
                home_site=changed.home_site,
                name_zh=changed.name_zh,
                name_en=changed.name_en,
            )
            set_grants(act.connection, person.id, changed.grants)
            set_active(act.connection, person.id, is_active=changed.is_active)
            if person.is_active and not changed.is_active:
                end_sessions_of(act.connection, person.id, now_us=self.trail.clock())
                forget_devices_of(act.connection, person.id)
            before, after = differing(described(person), described(changed))
            if before != after:
                self._record(act, person, by, before=before, after=after)
        return changed

    def verify_licence(
        self, key: str, *, number: str, issuer: str, expires_on: date | None, by: Administrator
    ) -> Person:
        """Write down that a licence was checked: its number, issuer and last day, by whom and when.

        Raises
        ------
        ServiceError
            `NOT_FOUND`; `NOT_ALLOWED` for one's own; `INVALID_REQUEST` if it is incomplete or over already.
        """
        now_us = self.trail.clock()
        expires_at_us = None if expires_on is None else end_of(expires_on)
        if not number.strip() or not issuer.strip():
            raise ServiceError(Problem.INVALID_REQUEST, "A licence has a number and an issuer.")
        if expires_at_us is not None and expires_at_us <= now_us:
            raise ServiceError(Problem.INVALID_REQUEST, f"The licence is over since {expires_on}.")
        licence = Licence(number.strip(), issuer.strip(), expires_at_us, now_us, by.who.name)
        return self._set_licence(key, licence, by=by)

    def remove_licence(self, key: str, *, by: Administrator) -> Person:
        """Take a licence away: the person may look, but no more decide.

        Raises
        ------
        ServiceError
            `NOT_FOUND`; `NOT_ALLOWED` for one's own.
        """
        return self._set_licence(key, None, by=by)

    def make_link(self, key: str, *, by: Administrator) -> str:
        """Make a link by which somebody chooses a new password; gives its token.

        Raises
        ------
        ServiceError
            `NOT_FOUND`, `CONFLICT` if they are kept out.
        """
        with self.database.reading() as connection:
            person = self._found(connection, key)
        if not person.is_active:
            raise ServiceError(Problem.CONFLICT, f"{person.login_name} is kept out: let them in before.")
        return self.links.for_password(person, by.who)

    def link(self, key: str, *, issuer: str, subject: str, by: Administrator) -> Person:
        """Say who somebody is at an identity provider, so that they come in by it with this account.

        Raises
        ------
        ServiceError
            `NOT_FOUND`; `INVALID_REQUEST` without a subject; `CONFLICT` if it is somebody's already.
        """
        if not issuer.strip() or not 0 < len(subject) <= _MOST_OF_A_SUBJECT:
            raise ServiceError(Problem.INVALID_REQUEST, "A link needs the provider's issuer and subject.")
        now_us = self.trail.clock()
        with self.trail.acting() as act:
            person = self._found(act.connection, key)
            if find_linked(act.connection, issuer=issuer, subject=subject) is not None:
                raise ServiceError(Problem.CONFLICT, f"{subject!r} of {issuer} is somebody's already.")
            before = linked_identities(act.connection, person.id)
            link_identity(act.connection, issuer=issuer, subject=subject, user_id=person.id, now_us=now_us)
            after = linked_identities(act.connection, person.id)
            self._record(act, person, by, before={"links": before}, after={"links": after})
        return person

    def _set_licence(self, key: str, licence: Licence | None, *, by: Administrator) -> Person:
        with self.trail.acting() as act:
            person = self._found(act.connection, key)
            if by.user == person.key:
                raise ServiceError(
                    Problem.NOT_ALLOWED, "Nobody vouches for their own licence: ask another operator."
                )
            set_licence(act.connection, person.id, licence)
            changed = replace(person, licence=licence)
            before, after = differing(described(person), described(changed))
            self._record(act, person, by, before=before, after=after)
        return changed

    def _found(self, connection: "Connection", key: str) -> Person:
        person = find_person(connection, key=key)
        if person is None:
            raise _nobody(key)
        return person

    def _record(
        self,
        act: Act,
        person: Person,
        by: Administrator,
        *,
        before: Mapping[str, object] | None,
        after: Mapping[str, object] | None,
    ) -> None:
        details = {"person": person.login_name, "before": before, "after": after}
        act.record(
            AuditEvent(
                Action.PERMISSION_CHANGED,
                by.who,
                person.home_site or LOCAL_SITE,
                self.trail.clock(),
                details=details,
            )
        )


def _changed(person: Person, change: Change) -> Person:
    grants = Grants(
        person.grants.roles if change.roles is None else frozenset(str(role) for role in change.roles),
        person.grants.specialties if change.specialties is None else change.specialties,
        person.grants.scope if change.scope is None else change.scope,
    )
    return replace(
        person,
        name_zh=person.name_zh if change.name_zh is None else shown_name(change.name_zh, of="a person"),
        name_en=person.name_en if change.name_en is None else shown_name(change.name_en, of="a person"),
        home_site=person.home_site if change.home_site == "" else change.home_site,
        is_active=person.is_active if change.is_active is None else change.is_active,
        grants=grants,
    )


def _require_sites(connection: "Connection", scope: Scope, home_site: str | None) -> None:
    asked = (scope.sites or frozenset()) | ({home_site} if home_site else frozenset())
    if missing := sorted(asked - known_sites(connection)):
        raise ServiceError(Problem.INVALID_REQUEST, f"There is no site {', '.join(missing)}: make it before.")


def _is_in(scope: Scope, person: Person) -> bool:
    return scope.sites is None or person.home_site in scope.sites


def _nobody(name: str) -> ServiceError:
    return ServiceError(Problem.NOT_FOUND, f"There is nobody {name!r}.")
