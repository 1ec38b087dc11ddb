"""``Authorization: Bearer``: a program proves itself by the secret of a token.

A secret that is right is always heard. Wrong ones are answered with ever the same 401, and with 429 once an
address brought too many within a minute: a hospital's programs share an address, and one that guesses must
not shut the others out.
"""

import logging
import math
from collections.abc import Callable

from fastapi import Request

from serving.audit.origin import origin_of
from serving.errors import Problem, ServiceError
from serving.identity.authentication import CredentialRefusedError
from serving.identity.caller import Caller, Role, SignedInBy, TokenScope
from serving.identity.guesses import Guesses
from serving.identity.token_secret import hash_of, is_well_formed
from serving.store.api_tokens import ApiToken, find_token_by_secret, note_use
from serving.store.audit_chain import ActorKind
from serving.store.database import Database
from serving.store.tenancy import Scope

log = logging.getLogger(__name__)

_SCHEME = "bearer"

# The last use is for people who clear up: a minute's precision saves a commit a request.
_NOTED_EVERY_US = 60 * 1_000_000


class BearerTokens:
    """Knows tokens; one of the chain of :mod:`serving.identity.authentication`.

    Parameters
    ----------
    database : Database
        Where tokens are kept.
    guesses : Guesses
        Counts what was wrong.
    clock : callable
        Gives the time in microseconds since 1970 UTC.
    """

    challenge: str | None = 'Bearer realm="firstread"'

    def __init__(self, database: Database, guesses: Guesses, *, clock: Callable[[], int]) -> None:
        self._database = database
        self._guesses = guesses
        self._clock = clock

    def __call__(self, request: Request) -> Caller | None:
        """Find out whose token came along, None if none did."""
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != _SCHEME:
            return None
        token, reason = self._look_up(secret.strip())
        if token is None or reason is not None:
            raise self._refused(request, token, reason or "unknown")
        self._note_use(token)
        return token_caller(request, token, SignedInBy.TOKEN)

    def _look_up(self, secret: str) -> tuple[ApiToken | None, str | None]:
        if not is_well_formed(secret):
            return None, "malformed"
        with self._database.reading() as connection:
            token = find_token_by_secret(connection, hash_of(secret))
        return token, None if token is None else ended(token, now_us=self._clock())

    def _refused(self, request: Request, token: ApiToken | None, reason: str) -> Exception:
        address = request.client.host if request.client else ""
        wait_s = self._guesses.wait_s(address)
        self._guesses.failed(address)
        if wait_s > 0:
            return ServiceError(
                Problem.TOO_MANY_TRIES,
                "Too many tokens that were not valid came from this address: wait, and mend the program.",
                headers={"Retry-After": str(math.ceil(wait_s))},
            )
        named = {} if token is None else {"token": token.key, "token_name": token.name}
        return CredentialRefusedError("token", reason, details=named)

    def _note_use(self, token: ApiToken) -> None:
        now_us = self._clock()
        if token.last_used_at_us is not None and now_us - token.last_used_at_us < _NOTED_EVERY_US:
            return
        try:
            with self._database.writing() as connection:
                note_use(connection, token.key, at_us=now_us)
        except self._database.failures as error:
            # a full disk must not keep anybody from what can still be read
            log.error("the use of the token %s could not be noted: %s", token.key, type(error).__name__)


def ended(token: ApiToken, *, now_us: int) -> str | None:
    """Say why a token is good no more, None if it still is."""
    if token.revoked_at_us is not None:
        return "revoked"
    return "expired" if token.expires_at_us <= now_us else None


def token_caller(request: Request, token: ApiToken, signed_in_by: SignedInBy) -> Caller:
    """Give who asks by a token: a program, for one site, for what the token is good for."""
    return Caller(
        origin_of(request, ActorKind.TOKEN, f"{token.name} ({token.key})"),
        frozenset({Role.SERVICE}),
        Scope(frozenset({token.site})),
        token.site,
        signed_in_by=signed_in_by,
        token_scopes=frozenset(TokenScope(one) for one in token.scopes),
    )
