"""A token as the interface speaks of it; its secret stands in one answer alone."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from serving.identity.caller import TokenScope
from serving.identity.tokens import MOST_DAYS, MadeToken
from serving.store.api_tokens import ApiToken
from serving.store.times import from_us

Name = Annotated[str, Field(min_length=1, max_length=100, description="What it is for.")]


class TokenRequest(BaseModel):
    """What a token is to be."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    site: str = Field(max_length=64, description="Whose studies it sends and sees.")
    scopes: Annotated[frozenset[TokenScope], Field(min_length=1, description="What it is good for.")]
    days: int = Field(default=365, ge=1, le=MOST_DAYS, description="How long it is good.")


class TokenEntry(BaseModel):
    """A token without its secret."""

    id: str
    name: str
    site: str
    scopes: list[TokenScope]
    created_at: datetime
    created_by: str
    expires_at: datetime
    last_used_at: datetime | None = Field(description="To the minute; null: never.")
    revoked_at: datetime | None

    @classmethod
    def of(cls, token: ApiToken) -> Self:
        """Describe a token."""
        return cls(**_values(token))


class NewToken(TokenEntry):
    """A token with its secret, which nobody can give again."""

    secret: str = Field(description="Goes into the header Authorization, behind the word Bearer.")

    @classmethod
    def made(cls, made: MadeToken) -> Self:
        """Describe a token that was made just now."""
        return cls(**_values(made.token), secret=made.secret)


class TokenList(BaseModel):
    """The tokens of the sites that the caller administers, the newest first."""

    tokens: list[TokenEntry]


def _values(token: ApiToken) -> dict[str, object]:
    return {
        "id": token.key,
        "name": token.name,
        "site": token.site,
        "scopes": sorted(token.scopes),
        "created_at": from_us(token.created_at_us),
        "created_by": token.created_by,
        "expires_at": from_us(token.expires_at_us),
        "last_used_at": None if token.last_used_at_us is None else from_us(token.last_used_at_us),
        "revoked_at": None if token.revoked_at_us is None else from_us(token.revoked_at_us),
    }
