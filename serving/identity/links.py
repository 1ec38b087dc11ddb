"""One-time links: the first user's set-up, and a password for those who have none or lost it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from serving.audit.trail import AuditTrail
from serving.identity.presence import who_of
from serving.identity.refused_sign_in import Reason, SignInRefusedError
from serving.identity.signing_in import Visitor
from serving.identity.tries import Tries, network_of
from serving.store.audit_chain import Action, AuditEvent, Result, Who
from serving.store.database import Database
from serving.store.people import Person, count_people
from serving.store.sessions import add_link, find_link, load_person, new_token
from serving.store.sites import LOCAL_SITE
from serving.store.times import now_us

_US = 1_000_000


class Purpose(StrEnum):
    """What a link opens."""

    SET_UP = "set-up"
    PASSWORD = "password"  # noqa: S105 - a purpose, not a secret


@dataclass(frozen=True)
class Links:
    """Makes and checks links; a newer one of the same purpose and person takes the older one's place."""

    database: Database
    trail: AuditTrail
    tries: Tries
    hours: float = 24.0
    clock: Callable[[], int] = now_us

    def for_set_up(self, by: Who) -> str | None:
        """Make the link of the first user; None if there are people already."""
        with self.trail.acting() as act:
            if count_people(act.connection):
                return None
            token = new_token()
            now = self.clock()
            add_link(
                act.connection,
                token,
                purpose=Purpose.SET_UP,
                user_id=None,
                created_by=by.name,
                now_us=now,
                expires_at_us=self._expires(now),
            )
            act.record(
                AuditEvent(Action.PERMISSION_CHANGED, by, LOCAL_SITE, now, details={"link": Purpose.SET_UP})
            )
        return token

    def for_password(self, person: Person, by: Who) -> str:
        """Make a link by which somebody chooses a password."""
        token = new_token()
        now = self.clock()
        with self.trail.acting() as act:
            add_link(
                act.connection,
                token,
                purpose=Purpose.PASSWORD,
                user_id=person.id,
                created_by=by.name,
                now_us=now,
                expires_at_us=self._expires(now),
            )
            details = {"link": Purpose.PASSWORD, "person": person.login_name}
            site = person.home_site or LOCAL_SITE
            act.record(AuditEvent(Action.PERMISSION_CHANGED, by, site, now, details=details))
        return token

    def check(self, visitor: Visitor, token: str, purpose: Purpose) -> Person | None:
        """Find whose link it is, without using it up; None for the set-up.

        Raises
        ------
        SignInRefusedError
            `LINK_INVALID` if it cannot be used any more, or is none; `BLOCKED` after too many of those.
        """
        things = [("link", network_of(visitor.who.address))]
        now = self.clock()
        self.tries.begin(things, now_us=now)
        with self.database.reading() as connection:
            link = find_link(connection, token, purpose=purpose, now_us=now)
            person = None if link is None else load_person(connection, link)
        if link is None or (person is not None and not person.is_active):
            details = {"link": purpose}
            who = visitor.who if person is None else who_of(person, visitor.who, now_us=now)
            self.trail.note(
                AuditEvent(Action.LOGGED_IN, who, LOCAL_SITE, now, result=Result.REFUSED, details=details)
            )
            raise SignInRefusedError(Reason.LINK_INVALID)
        self.tries.take_back(things, now_us=now)
        return person

    def _expires(self, now: int) -> int:
        return now + round(self.hours * 3600 * _US)
