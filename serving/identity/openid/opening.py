"""Opens sign-in by the provider that the settings name."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from serving.errors import StartError
from serving.identity.caller import Role
from serving.identity.guesses import Guesses
from serving.identity.openid.terms import CALLBACK, ClaimNames, OpenIdTerms
from serving.identity.signing_in import SigningIn
from serving.settings import Settings

if TYPE_CHECKING:  # Authlib and its client take a third of a second, so they are loaded for a provider alone
    from serving.identity.openid.service import OpenIdSignIn

# A department that begins its shift comes from one address; a flood of rows is what this is against.
_BEGUN_A_MINUTE = 120


def terms_of(settings: Settings) -> OpenIdTerms | None:
    """Give what the settings say of the provider, None if they name none.

    Raises
    ------
    StartError
        If the secret's file cannot be read, or a role is none of ours.
    """
    if not settings.oidc_issuer:
        return None
    return OpenIdTerms(
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        client_secret=_secret(settings),
        redirect_uri=f"{settings.public_url.rstrip('/')}{CALLBACK}",
        label=settings.oidc_label,
        scopes=settings.oidc_scopes,
        hosts=frozenset(host.lower() for host in settings.oidc_hosts),
        claims=ClaimNames(
            name=settings.oidc_name_claim,
            login=settings.oidc_login_claim,
            roles=settings.oidc_roles_claim,
            sites=settings.oidc_sites_claim,
            specialties=settings.oidc_specialties_claim,
            licence=settings.oidc_licence_claim,
            licence_issuer=settings.oidc_licence_issuer_claim,
            licence_expiry=settings.oidc_licence_expiry_claim,
        ),
        roles=_roles(settings),
    )


def open_openid(settings: Settings, signing_in: SigningIn) -> "OpenIdSignIn | None":
    """Open sign-in by the provider, which is first asked when somebody comes: it may be away at the start.

    Raises
    ------
    StartError
        See :func:`terms_of`.
    """
    terms = terms_of(settings)
    if terms is None:
        return None
    from serving.identity.openid.flow import OpenIdFlow  # noqa: PLC0415 - see above
    from serving.identity.openid.provider import Provider  # noqa: PLC0415
    from serving.identity.openid.service import OpenIdSignIn, StoredPending  # noqa: PLC0415

    flow = OpenIdFlow(
        Provider(terms, clock=time.monotonic),
        StoredPending(signing_in.database),
        clock=signing_in.clock,
    )
    begun = Guesses(most=_BEGUN_A_MINUTE, window_s=60.0, clock=time.monotonic)
    return OpenIdSignIn(
        flow, signing_in, signing_in.trail, begun, asks_second_factor=settings.oidc_second_factor
    )


def _secret(settings: Settings) -> str | None:
    if settings.oidc_client_secret_file is None:
        given = settings.oidc_client_secret
        return None if given is None else given.get_secret_value()
    try:
        return settings.oidc_client_secret_file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise StartError(
            f"FIRSTREAD_OIDC_CLIENT_SECRET_FILE {settings.oidc_client_secret_file} cannot be read: {error}."
        ) from error


def _roles(settings: Settings) -> Mapping[str, str]:
    known = [str(role) for role in Role if role is not Role.SERVICE]
    roles: dict[str, str] = {}
    for part in settings.oidc_roles:
        value, _, role = part.rpartition("=")
        if role.strip() not in known:
            raise StartError(
                f"FIRSTREAD_OIDC_ROLES: {role.strip()!r} is no role; they are {', '.join(known)}."
            )
        roles[value.strip()] = role.strip()
    return roles
