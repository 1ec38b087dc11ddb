"""The one place where it is asked who wants something, and whether they may.

Every address of the application depends on the gate. It looks up the address's row in the table, finds out
who asks, and lets through, or answers 401 (who are you?) or 403 (you may not). An address without a row is
closed to everybody.
"""

import hmac
from collections.abc import Mapping, Sequence

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from starlette.routing import BaseRoute

from serving.errors import Problem, ServiceError
from serving.identity.authentication import Authenticator, CredentialRefusedError, WithoutSignIn, identify
from serving.identity.caller import Caller, Stage, acting_caller, remember, stranger
from serving.identity.permissions import PERMISSIONS, Address, Rule
from serving.identity.refusals import Refusals

PAGE_TOKEN_HEADER = "X-CSRF-Token"  # noqa: S105 - a header's name
PAGE_TOKEN_FIELD = "csrf"  # noqa: S105 - a field's name

_ASKING = {"GET", "HEAD", "OPTIONS"}
_CLOSED = Rule()


class Gate:
    """Finds out who asks and whether they may; see the module's text."""

    def __init__(
        self,
        authenticators: Sequence[Authenticator],
        refusals: Refusals,
        *,
        table: Mapping[Address, Rule] = PERMISSIONS,
    ) -> None:
        self._authenticators = tuple(authenticators)
        self._refusals = refusals
        self._table = table

    @classmethod
    def without_sign_in(cls, refusals: Refusals) -> "Gate":
        """Make a gate that takes everybody for the built-in caller."""
        return cls([WithoutSignIn()], refusals)

    @property
    def table(self) -> Mapping[Address, Rule]:
        """The rows."""
        return self._table

    async def admit(self, request: Request) -> None:
        """Let a request through, with its caller put where the rest of it finds them.

        Raises
        ------
        ServiceError
            `SIGN_IN_NEEDED` or `CREDENTIAL_REFUSED` (401), `NOT_ALLOWED` or `LICENCE_NEEDED` (403).
        """
        rule = self._rule_of(request)
        remember(request, stranger(request))
        if rule.is_public:  # answered also while every thread waits for a database that hangs
            return
        await run_in_threadpool(self._admit, request, rule)

    def _admit(self, request: Request, rule: Rule) -> None:
        caller = self._identify(request)
        remember(request, caller)
        if caller.stage is not Stage.OPEN and not rule.allows(caller):
            raise ServiceError(
                Problem.SIGN_IN_NEEDED,
                f"{request.url.path} is for those who are signed in, and the second factor is still to come.",
                headers=self._challenge(),
            )
        if not rule.allows(caller):
            self._refusals.note(request, caller, {"reason": Problem.NOT_ALLOWED, "roles": _named(caller)})
            raise ServiceError(Problem.NOT_ALLOWED, _not_allowed(rule, caller))
        if rule.needs_licence and not caller.may_read:
            self._refusals.note(request, caller, {"reason": Problem.LICENCE_NEEDED})
            raise ServiceError(
                Problem.LICENCE_NEEDED,
                "Reading a study needs a verified licence that has not expired: you may look, not decide. "
                "Have the operator enter the renewed licence.",
            )

    async def check_page_token(self, request: Request) -> None:
        """Refuse a change that no page of ours asked for, where the browser adds the proof by itself.

        Raises
        ------
        ServiceError
            `PAGE_TOKEN_WRONG` if the token is missing or of another session.
        """
        caller = acting_caller(request)
        if caller.csrf is None or request.method in _ASKING or self._rule_of(request).checks_csrf_itself:
            return
        given = request.headers.get(PAGE_TOKEN_HEADER)
        if given is None and _is_simple_form(request):
            field = (await request.form()).get(PAGE_TOKEN_FIELD)
            given = field if isinstance(field, str) else None
        await run_in_threadpool(self.check_given_token, request, given)

    def check_given_token(self, request: Request, given: str | None) -> None:
        """Check a page's token that was found elsewhere than in a header or a simple form.

        Raises
        ------
        ServiceError
            `PAGE_TOKEN_WRONG` if it is missing or of another session.
        """
        caller = acting_caller(request)
        if caller.csrf is None or (
            given is not None and hmac.compare_digest(_bytes(given), _bytes(caller.csrf))
        ):
            return
        reason = "missing" if given is None else "wrong"
        self._refusals.note(request, caller, {"reason": Problem.PAGE_TOKEN_WRONG, "token": reason})
        raise ServiceError(
            Problem.PAGE_TOKEN_WRONG,
            f"The token that proves that this service's own page asked is {reason}: load the page anew and "
            f"try again; a program sends it as {PAGE_TOKEN_HEADER}.",
        )

    def _identify(self, request: Request) -> Caller:
        try:
            caller = identify(self._authenticators, request)
        except CredentialRefusedError as error:
            self._refusals.note(
                request, stranger(request), {"reason": error.reason, "proof": error.kind, **error.details}
            )
            cookie = {"Set-Cookie": error.clearing} if error.clearing else {}
            raise ServiceError(
                Problem.CREDENTIAL_REFUSED,
                f"The {error.kind} that came along is not valid, or not any more: sign in again.",
                headers=self._challenge() | cookie,
            ) from error
        if caller is None:
            raise ServiceError(
                Problem.SIGN_IN_NEEDED,
                f"{request.url.path} is for those who are signed in: sign in at /sign-in.",
                headers=self._challenge(),
            )
        return caller

    def _challenge(self) -> dict[str, str]:
        schemes = [one.challenge for one in self._authenticators if one.challenge is not None]
        return {"WWW-Authenticate": ", ".join(schemes)} if schemes else {}

    def _rule_of(self, request: Request) -> Rule:
        route = request.scope.get("route")
        path = getattr(route, "path", None) if isinstance(route, BaseRoute) else None
        return self._table.get((request.method, str(path)), _CLOSED)


def _is_simple_form(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/x-www-form-urlencoded"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _named(caller: Caller) -> list[str]:
    return sorted(str(role) for role in caller.roles)


def _not_allowed(rule: Rule, caller: Caller) -> str:
    needed = ", ".join(sorted(str(role) for role in rule.roles)) or "nobody"
    return f"This is for {needed}; {caller.who.name} is {', '.join(_named(caller)) or 'none of these'}."
