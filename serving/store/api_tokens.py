"""The tokens by which programs of a site ask: kept as the hash of their secret, revoked and never removed.

A row that was revoked stays, since the audit trail names it.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, or_, select, update

from serving.store.identity_tables import api_tokens
from serving.store.tenancy import Scope, within


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token without its secret; times in microseconds since 1970 UTC."""

    key: str
    name: str
    site: str
    scopes: frozenset[str]
    created_at_us: int
    created_by: str
    expires_at_us: int
    last_used_at_us: int | None = None
    revoked_at_us: int | None = None


def add_token(connection: Connection, token: ApiToken, *, secret_sha256: str) -> None:
    """Keep a new token."""
    connection.execute(
        insert(api_tokens).values(
            key=token.key,
            token_sha256=secret_sha256,
            name=token.name,
            site_id=token.site,
            scopes=sorted(token.scopes),
            created_at=token.created_at_us,
            created_by=token.created_by,
            expires_at=token.expires_at_us,
        )
    )


def find_token_by_secret(connection: Connection, secret_sha256: str) -> ApiToken | None:
    """Give the token whose secret has this hash, whatever became of it."""
    row = connection.execute(_selected().where(api_tokens.c.token_sha256 == secret_sha256)).first()
    return None if row is None else _token(row)


def find_token(connection: Connection, key: str, *, scope: Scope) -> ApiToken | None:
    """Give a token of the sites in scope."""
    query = _selected().where(api_tokens.c.key == key, within(scope, api_tokens.c.site_id))
    row = connection.execute(query).first()
    return None if row is None else _token(row)


def list_tokens(connection: Connection, *, scope: Scope) -> list[ApiToken]:
    """Give the tokens of the sites in scope, the newest first, the revoked among them."""
    query = _selected().where(within(scope, api_tokens.c.site_id)).order_by(api_tokens.c.id.desc())
    return [_token(row) for row in connection.execute(query)]


def revoke_token(connection: Connection, key: str, *, at_us: int) -> None:
    """End a token, unless it is ended already."""
    connection.execute(
        update(api_tokens)
        .where(api_tokens.c.key == key, api_tokens.c.revoked_at.is_(None))
        .values(revoked_at=at_us)
    )


def note_use(connection: Connection, key: str, *, at_us: int) -> None:
    """Note that a token was used, unless a later use is noted already."""
    connection.execute(
        update(api_tokens)
        .where(
            api_tokens.c.key == key,
            or_(api_tokens.c.last_used_at.is_(None), api_tokens.c.last_used_at < at_us),
        )
        .values(last_used_at=at_us)
    )


def _selected() -> Select[*tuple[Any, ...]]:
    return select(
        api_tokens.c.key,
        api_tokens.c.name,
        api_tokens.c.site_id,
        api_tokens.c.scopes,
        api_tokens.c.created_at,
        api_tokens.c.created_by,
        api_tokens.c.expires_at,
        api_tokens.c.last_used_at,
        api_tokens.c.revoked_at,
    )


def _token(row: Row[*tuple[Any, ...]]) -> ApiToken:
    key, name, site, scopes, *rest = row
    return ApiToken(key, name, site, frozenset(scopes), *rest)
