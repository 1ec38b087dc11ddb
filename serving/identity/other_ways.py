"""The ways in beside the cookie of a session: tokens, and what a proxy or a connection shows."""

import hashlib
import hmac
import time
from collections.abc import Callable
from pathlib import Path

from serving.audit.trail import AuditTrail
from serving.identity.authentication import Authenticator
from serving.identity.bearer import BearerTokens
from serving.identity.guesses import Guesses
from serving.identity.proxies import TrustedProxies
from serving.identity.sealing import open_seal
from serving.identity.shown_identities import PeerCertificates, ProxyHeaders, ProxyProofs, ShownIdentities
from serving.settings import Settings
from serving.store.database import Database

_WRONG_TOKENS_A_MINUTE = 20


def ways_beside_sessions(settings: Settings, database: Database, trail: AuditTrail) -> list[Authenticator]:
    """Open the ways that `settings` ask for; tokens always are one.

    Raises
    ------
    StartError
        If the key of the home cannot be read.
    """
    guesses = Guesses(most=_WRONG_TOKENS_A_MINUTE, window_s=60.0, clock=time.monotonic)
    ways: list[Authenticator] = [BearerTokens(database, guesses, clock=trail.clock)]
    headers = ProxyHeaders(
        user=settings.proxy_user_header,
        certificate=settings.proxy_certificate_header,
        subject=settings.proxy_subject_header,
        verified=settings.proxy_verify_header,
    )
    if not headers.of_identity and settings.tls_client_certificates == "off":
        return ways
    identities = ShownIdentities(database, page_tokens(settings.home), trail.clock)
    if headers.of_identity:
        proxies = TrustedProxies.parse(",".join(settings.trusted_proxies))
        ways.append(ProxyProofs(identities, proxies, headers))
    if settings.tls_client_certificates != "off":
        ways.append(PeerCertificates(identities))
    return ways


def page_tokens(home: Path) -> Callable[[str], str]:
    """Give what makes the tokens of an account's pages without a session: the home's key signs them."""
    seal = open_seal(home)

    def page_token(user: str) -> str:
        return hmac.new(seal.key, f"pages of {user}".encode(), hashlib.sha256).hexdigest()

    return page_token
