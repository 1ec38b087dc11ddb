"""What the operator says of the identity provider, and what may go wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

CALLBACK: Final = "/sign-in/openid/callback"
"""Where the provider sends the browser back to."""

SECONDS_TO_SIGN_IN: Final = 600
"""How long a sign-in may take between here and there."""


class Fault(StrEnum):
    """Why a sign-in by the provider failed; stands in the audit trail."""

    UNREACHABLE = "provider-unreachable"
    MISCONFIGURED = "provider-misconfigured"
    REFUSED = "provider-refused"
    STATE = "state-unknown-or-used"
    ISSUER = "issuer-mixed-up"
    ID_TOKEN = "id-token-invalid"  # noqa: S105 - a reason, not a secret
    NO_ROLE = "no-role"
    DEACTIVATED = "deactivated"


class OpenIdError(Exception):
    """A sign-in by the provider that did not succeed.

    Parameters
    ----------
    fault : Fault
        The stable code.
    detail : str
        What was wrong and what to do; says nothing of a token or a secret.
    """

    def __init__(self, fault: Fault, detail: str) -> None:
        self.fault = fault
        self.detail = detail
        super().__init__(f"{fault}: {detail}")


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """Where in the ID token something stands; a dot leads into an object (``realm_access.roles``)."""

    name: str = "name"
    login: str = "preferred_username"
    roles: str = "groups"
    sites: str = ""
    specialties: str = ""
    licence: str = ""
    licence_issuer: str = ""
    licence_expiry: str = ""


@dataclass(frozen=True, slots=True)
class OpenIdTerms:
    """A provider that people may sign in by.

    `hosts` are those that we may call, beside the issuer's own; `roles` says which value of the claim means
    which of our roles, and is empty if operators give the roles here.
    """

    issuer: str
    client_id: str
    client_secret: str | None
    redirect_uri: str
    label: str = "OpenID"
    scopes: tuple[str, ...] = ("openid", "profile")
    hosts: frozenset[str] = frozenset()
    claims: ClaimNames = ClaimNames()
    roles: Mapping[str, str] = field(default_factory=dict)

    @property
    def callable_hosts(self) -> frozenset[str]:
        """Every host that may be called or that a browser may be sent to."""
        return self.hosts | {urlsplit(self.issuer).netloc.lower()}

    @property
    def scheme(self) -> str:
        """The only scheme that is spoken: https, unless the issuer is on this machine."""
        return urlsplit(self.issuer).scheme
