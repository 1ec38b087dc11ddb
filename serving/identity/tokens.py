"""API tokens: made for a site by who may, shown once, good for what they name, ended at a time or at once."""

import secrets
from dataclasses import dataclass

from serving.audit.trail import Act, AuditTrail
from serving.errors import Problem, ServiceError
from serving.identity.caller import TokenScope
from serving.identity.shown_names import shown_name
from serving.identity.token_secret import hash_of, new_secret
from serving.store.api_tokens import ApiToken, add_token, find_token, list_tokens, revoke_token
from serving.store.audit_chain import Action, AuditEvent, Who
from serving.store.database import Database
from serving.store.sites import has_site
from serving.store.tenancy import Scope

MOST_DAYS = 730
_DAY_US = 24 * 3600 * 1_000_000


@dataclass(frozen=True, slots=True)
class MadeToken:
    """A token with its secret, which nobody can give again."""

    token: ApiToken
    secret: str


class Tokens:
    """Makes, lists and ends the tokens of sites, each change in the audit trail.

    Parameters
    ----------
    database : Database
        Where they are kept.
    trail : AuditTrail
        Where changes are recorded.
    """

    def __init__(self, database: Database, trail: AuditTrail) -> None:
        self._database = database
        self._trail = trail

    def make(
        self, *, name: str, site: str, scopes: frozenset[TokenScope], days: int, who: Who, scope: Scope
    ) -> MadeToken:
        """Make a token.

        Parameters
        ----------
        name : str
            What it is for, in the words of who makes it.
        site : str
            Whose studies it sends and sees.
        scopes : frozenset of TokenScope
            What it is good for.
        days : int
            How long.
        who : Who
            Who makes it.
        scope : Scope
            The sites that they may make tokens for.

        Raises
        ------
        ServiceError
            `NOT_FOUND` if there is no such site in scope, `INVALID_REQUEST` if it would be good for nothing
            or for too long.
        """
        shown = shown_name(name, of="a token")
        if not scopes or not 1 <= days <= MOST_DAYS or not shown:
            raise ServiceError(
                Problem.INVALID_REQUEST,
                f"A token needs a name, one scope or more, and 1 to {MOST_DAYS} days to live.",
            )
        now_us, secret = self._trail.clock(), new_secret()
        token = ApiToken(
            key=secrets.token_hex(16),
            name=shown,
            site=site,
            scopes=frozenset(str(one) for one in scopes),
            created_at_us=now_us,
            created_by=who.name,
            expires_at_us=now_us + days * _DAY_US,
        )
        with self._trail.acting() as act:
            if not _has(scope, site) or not has_site(act.connection, site):
                raise ServiceError(
                    Problem.NOT_FOUND, f"There is no site {site!r} that you may make tokens for."
                )
            add_token(act.connection, token, secret_sha256=hash_of(secret))
            self._record(act, token, who, before=None, after=_described(token))
        return MadeToken(token, secret)

    def all(self, *, scope: Scope) -> list[ApiToken]:
        """Give the tokens of the sites in scope, the newest first, without their secrets."""
        with self._database.reading() as connection:
            return list_tokens(connection, scope=scope)

    def revoke(self, key: str, *, who: Who, scope: Scope) -> ApiToken:
        """End a token at once; one that is ended already stays as it is.

        Raises
        ------
        ServiceError
            `NOT_FOUND` if there is no such token in scope.
        """
        with self._trail.acting() as act:
            token = find_token(act.connection, key, scope=scope)
            if token is None:
                raise ServiceError(Problem.NOT_FOUND, f"There is no token {key!r}.")
            if token.revoked_at_us is None:
                revoke_token(act.connection, key, at_us=self._trail.clock())
                self._record(act, token, who, before=_described(token), after=None)
            ended = find_token(act.connection, key, scope=scope)
        assert ended is not None
        return ended

    def _record(
        self,
        act: Act,
        token: ApiToken,
        who: Who,
        *,
        before: dict[str, object] | None,
        after: dict[str, object] | None,
    ) -> None:
        details = {"token": token.key, "before": before, "after": after}
        act.record(
            AuditEvent(Action.PERMISSION_CHANGED, who, token.site, self._trail.clock(), details=details)
        )


def _has(scope: Scope, site: str) -> bool:
    return scope.sites is None or site in scope.sites


def _described(token: ApiToken) -> dict[str, object]:
    return {"name": token.name, "scopes": sorted(token.scopes), "expires_at_us": token.expires_at_us}
