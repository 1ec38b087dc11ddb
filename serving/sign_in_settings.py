"""What an operator sets about proofs from elsewhere: an identity provider, proxies, certificates."""

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

Texts = Annotated[tuple[str, ...], NoDecode]


class SignInSettings(BaseModel):
    """The part of :class:`serving.settings.Settings` that is about proofs from elsewhere; all off by default.

    Examples
    --------
    >>> SignInSettings(oidc_roles="radiology=reader, it=operator").oidc_roles
    ('radiology=reader', 'it=operator')
    """

    public_url: str = Field(
        default="", description="Address by which browsers reach the service, such as https://firstread.org."
    )

    oidc_issuer: str = Field(
        default="", description="Identity provider, as its discovery document writes it; empty: none."
    )
    oidc_client_id: str = ""
    oidc_client_secret: SecretStr | None = None
    oidc_client_secret_file: Path | None = Field(
        default=None, description="File that holds the secret, as container hosts hand it out."
    )
    oidc_label: str = Field(default="OpenID", description="What the button to sign in is called.")
    oidc_scopes: Texts = ("openid", "profile")
    oidc_hosts: Texts = Field(
        default=(), description="Hosts of the provider beside the issuer's own, where it has several."
    )
    oidc_roles: Texts = Field(
        default=(),
        description="Which value of the claim means which role, as radiology=reader,it=operator; empty: "
        "operators give the roles here.",
    )
    oidc_roles_claim: str = "groups"
    oidc_name_claim: str = "name"
    oidc_login_claim: str = "preferred_username"
    oidc_sites_claim: str = Field(
        default="",
        description="Claim with the ids of the sites, * for every site; empty: operators give them.",
    )
    oidc_second_factor: bool = Field(
        default=False, description="The provider asks for a second factor, so that ours is not asked for."
    )
    oidc_specialties_claim: str = ""
    oidc_licence_claim: str = ""
    oidc_licence_issuer_claim: str = ""
    oidc_licence_expiry_claim: str = ""

    trusted_proxies: Texts = Field(
        default=(), description="Addresses and networks of reverse proxies whose headers are believed."
    )
    proxy_user_header: str = Field(
        default="", description="Header in which a trusted proxy names who signed in, such as X-Remote-User."
    )
    proxy_certificate_header: str = Field(
        default="", description="Header with the client's certificate (nginx: $ssl_client_escaped_cert)."
    )
    proxy_subject_header: str = Field(
        default="", description="Header with the certificate's subject (nginx: $ssl_client_s_dn)."
    )
    proxy_verify_header: str = Field(
        default="X-SSL-Client-Verify", description="Header that says SUCCESS of a certificate that is valid."
    )

    tls_certificate: Path | None = Field(default=None, description="Certificate chain (PEM): speak https.")
    tls_key: Path | None = Field(default=None, description="Its key (PEM).")
    tls_client_ca: Path | None = Field(
        default=None, description="Authorities (PEM) whose certificates clients may show."
    )
    tls_client_certificates: Literal["off", "optional", "required"] = "off"

    @field_validator("oidc_scopes", "oidc_hosts", "oidc_roles", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("oidc_scopes", mode="after")
    @classmethod
    def _split_at_spaces(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        scopes = tuple(dict.fromkeys(word for part in value for word in part.split()))
        if "openid" not in scopes:
            raise ValueError("openid must be among the scopes")
        return scopes

    @field_validator("oidc_roles")
    @classmethod
    def _check_roles(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for part in value:
            name, sign, role = part.rpartition("=")
            if not (sign and name.strip() and role.strip()):
                raise ValueError(f"{part!r} is not written as value=role")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _check_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for part in value:
            if ip_network(part).prefixlen == 0:
                raise ValueError("a network of every address would let anyone say who they are")
        return value

    @field_validator("public_url", "oidc_issuer")
    @classmethod
    def _check_address(cls, value: str) -> str:
        if not value:
            return value
        parts = urlsplit(value)
        is_here = parts.hostname in {"localhost", "127.0.0.1", "::1"}
        if not parts.hostname or parts.scheme not in {"https", "http"} or parts.query or parts.username:
            raise ValueError("it must be an address such as https://name")
        if parts.scheme == "http" and not is_here:
            raise ValueError("it must begin with https:// (http:// is for this machine alone)")
        return value

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.oidc_issuer and not (self.oidc_client_id and self.public_url):
            raise ValueError("FIRSTREAD_OIDC_ISSUER needs FIRSTREAD_OIDC_CLIENT_ID and FIRSTREAD_PUBLIC_URL")
        if self.oidc_client_secret is not None and self.oidc_client_secret_file is not None:
            raise ValueError("give FIRSTREAD_OIDC_CLIENT_SECRET or _FILE, not both")
        named = self.proxy_user_header or self.proxy_certificate_header or self.proxy_subject_header
        if named and not self.trusted_proxies:
            raise ValueError(f"{named} is believed of trusted proxies alone: name FIRSTREAD_TRUSTED_PROXIES")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("FIRSTREAD_TLS_CERTIFICATE and FIRSTREAD_TLS_KEY go together")
        wants = self.tls_client_certificates != "off"
        if wants and (self.tls_client_ca is None or self.tls_certificate is None):
            raise ValueError(
                "FIRSTREAD_TLS_CLIENT_CERTIFICATES needs FIRSTREAD_TLS_CERTIFICATE and _CLIENT_CA"
            )
        return self
