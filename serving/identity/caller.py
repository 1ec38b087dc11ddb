"""Who asks: the person, token or program behind a request, as what they act and which sites they see."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from fastapi import Depends, Request

from serving.audit.origin import origin_of
from serving.errors import Problem, ServiceError
from serving.store.audit_chain import ActorKind, Who
from serving.store.sites import LOCAL_SITE
from serving.store.tenancy import Scope

_PLACE = "firstread.caller"


class Role(StrEnum):
    """As what somebody acts; a person may have several."""

    UPLOADER = "uploader"
    READER = "reader"
    SUPERVISOR = "supervisor"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    SERVICE = "service"


class TokenScope(StrEnum):
    """What a token is good for; each row of the table of permissions names the one that opens it."""

    UPLOAD = "upload"
    READ = "read"
    METRICS = "metrics"


class SignedInBy(StrEnum):
    """How a caller proved who they are."""

    NOTHING = "nothing"
    PASSWORD = "password"  # noqa: S105 - a way to sign in, not a secret
    TOKEN = "token"  # noqa: S105 - the same
    OIDC = "oidc"
    PROXY = "proxy"
    CERTIFICATE = "certificate"


class Stage(StrEnum):
    """How far somebody has come in: the password alone opens nothing where a second factor is due."""

    SECOND_FACTOR = "second-factor"
    ENROLMENT = "enrolment"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Parameters
    ----------
    who : Who
        What stands in the audit trail.
    roles : frozenset of Role
        As what they act; none for a stranger.
    scope : Scope
        The sites whose rows they see.
    home_site : str or None
        The site that what they send belongs to.
    specialties : frozenset of str
        What a reader reads.
    may_read : bool
        Whether acts of reading are allowed: a verified licence that has not expired.
    user, session : str or None
        Keys of the account and of the session; None where there is none, as for a token.
    signed_in_by : SignedInBy
        How they proved it.
    csrf : str or None
        What a page must send back, for callers whose browser adds the proof by itself.
    token_scopes : frozenset of TokenScope or None
        What a token is good for; None for people, whose roles alone count.
    stage : Stage
        How far they have come; short of `OPEN` they have no role and see nothing.
    """

    who: Who
    roles: frozenset[Role]
    scope: Scope
    home_site: str | None
    specialties: frozenset[str] = frozenset()
    may_read: bool = False
    user: str | None = None
    session: str | None = None
    signed_in_by: SignedInBy = SignedInBy.NOTHING
    csrf: str | None = None
    token_scopes: frozenset[TokenScope] | None = None
    stage: Stage = Stage.OPEN


NOBODY: Final = Scope(frozenset())
EVERY_SITE: Final = Scope(None)


def stranger(request: Request) -> Caller:
    """Give the caller of whom nothing is known, who sees nothing."""
    return Caller(origin_of(request), frozenset(), NOBODY, None)


def local_caller(request: Request) -> Caller:
    """Give the caller of a service without sign-in: whoever reaches it may do everything."""
    return Caller(
        origin_of(request, ActorKind.ANONYMOUS, "local"),
        frozenset(Role),
        EVERY_SITE,
        LOCAL_SITE,
        may_read=True,
    )


def remember(request: Request, caller: Caller) -> None:
    """Put the caller where the rest of the request finds them; the gate alone does so."""
    request.scope[_PLACE] = caller
    request.scope["firstread.who"] = caller.who


def acting_caller(request: Request) -> Caller:
    """Give who asks, as the gate found out."""
    caller = request.scope.get(_PLACE)
    # No caller: the request did not pass the gate. Then it is nobody's, whatever it carries.
    return caller if isinstance(caller, Caller) else stranger(request)


def acting_scope(request: Request) -> Scope:
    """Give the sites whose rows the caller sees."""
    return acting_caller(request).scope


def acting_site(request: Request) -> str:
    """Give the site that what the caller sends belongs to.

    Raises
    ------
    ServiceError
        `NO_SITE` if the caller belongs to none.
    """
    site = acting_caller(request).home_site
    if site is None:
        raise ServiceError(
            Problem.NO_SITE,
            "This account belongs to no site, and what it sends must: have the operator name one.",
        )
    return site


ActingCaller = Annotated[Caller, Depends(acting_caller)]
ActingScope = Annotated[Scope, Depends(acting_scope)]
ActingSite = Annotated[str, Depends(acting_site)]
