"""Who asks, as JSON."""

from typing import Literal, Self

from pydantic import BaseModel, Field

from serving.identity.caller import Caller, Role, SignedInBy


class Me(BaseModel):
    """Who a request comes from, and what they may do."""

    name: str
    roles: list[Role]
    sites: list[str] | Literal["every"] = Field(description="Whose studies they see.")
    home_site: str | None = Field(description="The site that what they send belongs to.")
    specialties: list[str]
    may_read: bool = Field(description="Whether a verified licence that has not expired allows decisions.")
    signed_in_by: SignedInBy
    csrf_token: str | None = Field(
        description="To be sent as X-CSRF-Token with every change, by callers known by a cookie."
    )

    @classmethod
    def of(cls, caller: Caller) -> Self:
        """Put a caller into words."""
        return cls(
            name=caller.who.name,
            roles=sorted(caller.roles),
            sites="every" if caller.scope.sites is None else sorted(caller.scope.sites),
            home_site=caller.home_site,
            specialties=sorted(caller.specialties),
            may_read=caller.may_read,
            signed_in_by=caller.signed_in_by,
            csrf_token=caller.csrf,
        )
