"""Sessions at work: opened when somebody signed in, found again by their cookie, ended in time."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, replace

from fastapi import Request

from serving.audit.origin import origin_of
from serving.identity.authentication import CredentialRefusedError
from serving.identity.caller import NOBODY, Caller, Role, SignedInBy, Stage
from serving.identity.cookies import SESSION, clearing, read_cookie
from serving.store.audit_chain import ActorKind, Who
from serving.store.database import Database
from serving.store.people import Person
from serving.store.sessions import Session, find_session, touch_session
from serving.store.times import now_us

_US = 1_000_000
_ROLES = {role.value: role for role in Role}

# A session that is used all the time is written down once a minute.
_TOUCH_AFTER_US = 60 * _US


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a session lasts: unused, in all, and between the password and the second factor."""

    idle_s: float = 30 * 60.0
    longest_s: float = 12 * 3600.0
    unfinished_s: float = 10 * 60.0

    def expires_at_us(self, stage: Stage, now_us: int) -> int:
        """Give when a session that begins now ends at the latest."""
        return now_us + round((self.longest_s if stage is Stage.OPEN else self.unfinished_s) * _US)


def who_of(person: Person, origin: Who, *, now_us: int) -> Who:
    """Give somebody's line in the audit trail, with the licence for as long as it is valid."""
    licence = person.valid_licence(now_us)
    verified = None if licence is None else f"{licence.number} ({licence.issuer})"
    return replace(origin, kind=ActorKind.PERSON, name=person.login_name, verified_identity=verified)


def caller_of(
    person: Person,
    request: Request,
    *,
    signed_in_by: SignedInBy,
    now_us: int,
    session: str | None = None,
    csrf: str | None = None,
    stage: Stage = Stage.OPEN,
) -> Caller:
    """Give the caller that somebody is; one who has not come through whole may do nothing yet."""
    is_through = stage is Stage.OPEN
    roles = frozenset(_ROLES[name] for name in person.grants.roles if name in _ROLES)
    return Caller(
        who_of(person, origin_of(request), now_us=now_us),
        roles if is_through else frozenset(),
        person.grants.scope if is_through else NOBODY,
        person.home_site,
        specialties=person.grants.specialties,
        may_read=is_through and person.valid_licence(now_us) is not None,
        user=person.key,
        session=session,
        signed_in_by=signed_in_by,
        csrf=csrf,
        stage=stage,
    )


def page_token(session_token: str) -> str:
    """Give what the pages of a session send back to show that they are ours."""
    return hmac.new(session_token.encode("utf-8", "surrogatepass"), b"csrf", hashlib.sha256).hexdigest()


class SessionAuthenticator:
    """Knows people by the cookie of their session."""

    # Not one of the registered schemes: it tells a program that the way in is a form.
    challenge: str | None = 'Session realm="firstread", form="/sign-in"'

    def __init__(
        self, database: Database, terms: Terms = Terms(), *, clock: Callable[[], int] = now_us
    ) -> None:
        self._database = database
        self._terms = terms
        self._clock = clock

    def __call__(self, request: Request) -> Caller | None:
        """Give whose session the cookie names.

        Raises
        ------
        CredentialRefusedError
            If there is a cookie, and no such session, or not any more.
        """
        token = read_cookie(request, SESSION)
        if token is None:
            return None
        now = self._clock()
        with self._database.reading() as connection:
            found = find_session(connection, token)
        problem = "unknown" if found is None else self._problem(*found, now)
        if found is None or problem is not None:
            raise CredentialRefusedError("session", problem or "unknown", clearing=clearing(request))
        session, person = found
        # a clock that was set back must not let a session live for ever
        if abs(now - session.last_seen_at_us) > _TOUCH_AFTER_US and is_act_of_a_person(request):
            with self._database.writing() as connection:
                touch_session(connection, session.id, now_us=now)
        return caller_of(
            person,
            request,
            signed_in_by=SignedInBy(session.signed_in_by),
            now_us=now,
            session=session.key,
            csrf=page_token(token),
            stage=Stage(session.stage),
        )

    def _problem(self, session: Session, person: Person, now: int) -> str | None:
        if session.ended_at_us is not None:
            return "ended"
        if not person.is_active:
            return "inactive"
        if now >= session.expires_at_us:
            return "expired"
        if now - session.last_seen_at_us >= self._terms.idle_s * _US:
            return "idle"
        return None


def is_act_of_a_person(request: Request) -> bool:
    """Whether somebody did something, as against a page that renews itself and the pictures it shows.

    A browser says so (Fetch Metadata): a page that a person opens carries ``Sec-Fetch-User``. What an open
    page asks for again and again to see whether images came is known by its address.
    """
    if request.method == "GET" and request.url.path.endswith("/arrival"):
        return False
    mode, kind = request.headers.get("sec-fetch-mode"), request.headers.get("sec-fetch-dest")
    if kind in {"image", "script", "style", "font"}:
        return False
    return mode != "navigate" or request.headers.get("sec-fetch-user") == "?1" or request.method == "POST"
