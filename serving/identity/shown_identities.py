"""Proofs that come with a connection: a certificate that TLS verified, or a trusted proxy's word.

Off unless the operator names headers or authorities. A header of identity that comes from anywhere else than
a trusted proxy is refused and kept in the trail: whoever sends one wants to be taken for somebody.
"""

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request

from serving.identity.authentication import CredentialRefusedError
from serving.identity.bearer import ended, token_caller
from serving.identity.caller import EVERY_SITE, Caller, SignedInBy
from serving.identity.certificates import Shown, plain_subject, read_certificate
from serving.identity.login_names import login_name
from serving.identity.presence import caller_of
from serving.identity.proxies import PEER, ContradictionError, TrustedProxies, only_value
from serving.store.api_tokens import find_token
from serving.store.client_certificates import find_certificate
from serving.store.database import Database
from serving.store.people import find_person

_VERIFIED = "SUCCESS"


@dataclass(frozen=True, slots=True)
class ProxyHeaders:
    """Names of the headers in which a trusted proxy says who asks; empty: it does not."""

    user: str = ""
    certificate: str = ""
    subject: str = ""
    verified: str = "X-SSL-Client-Verify"

    @property
    def of_identity(self) -> tuple[str, ...]:
        """Those that name somebody."""
        return tuple(name for name in (self.user, self.certificate, self.subject) if name)


@dataclass(frozen=True)
class ShownIdentities:
    """Turns what was shown into a caller.

    `page_token` gives what the pages of an account send back, since a browser adds such a proof by itself.
    """

    database: Database
    page_token: Callable[[str], str]
    clock: Callable[[], int]

    def person(self, request: Request, name: str, by: SignedInBy) -> Caller:
        """Give the caller that a person is.

        Raises
        ------
        CredentialRefusedError
            If nobody has that name, or is kept out.
        """
        with self.database.reading() as connection:
            person = find_person(connection, login_name=login_name(name))
        if person is None or not person.is_active:
            reason = "unknown" if person is None else "inactive"
            raise CredentialRefusedError(str(by), reason)
        token = self.page_token(person.key)
        return caller_of(person, request, signed_in_by=by, now_us=self.clock(), csrf=token)

    def owner(self, request: Request, shown: Shown) -> Caller | None:
        """Give whose certificate it is; None if it is nobody's here.

        Raises
        ------
        CredentialRefusedError
            If its person is kept out, or its token is ended.
        """
        named = [("subject", shown.subject)]
        if shown.fingerprint is not None:
            named.append(("fingerprint", shown.fingerprint))
        with self.database.reading() as connection:
            owned = find_certificate(connection, named)
            token = None
            if owned is not None and owned.token_key is not None:
                token = find_token(connection, owned.token_key, scope=EVERY_SITE)
        if owned is not None and owned.login_name is not None:
            return self.person(request, owned.login_name, SignedInBy.CERTIFICATE)
        if token is None:
            return None
        if reason := ended(token, now_us=self.clock()):
            raise CredentialRefusedError("certificate", reason, details={"token": token.key})
        return token_caller(request, token, SignedInBy.CERTIFICATE)


@dataclass(frozen=True)
class PeerCertificates:
    """Knows clients by the certificate of their TLS connection to us."""

    identities: ShownIdentities
    challenge: str | None = None

    def __call__(self, request: Request) -> Caller | None:
        """Give whose certificate the connection has."""
        tls = request.scope.get("extensions", {}).get("tls") or {}
        chain = tls.get("client_cert_chain")
        return self.identities.owner(request, read_certificate(chain[0])) if chain else None


@dataclass(frozen=True)
class ProxyProofs:
    """Knows clients by the word of a trusted proxy."""

    identities: ShownIdentities
    proxies: TrustedProxies
    headers: ProxyHeaders
    challenge: str | None = None

    def __call__(self, request: Request) -> Caller | None:
        """Give who a trusted proxy says that asks.

        Raises
        ------
        CredentialRefusedError
            If somebody else says so, a header came twice, or the certificate was not verified.
        """
        raw = request.scope["headers"]
        try:
            said = {name: value for name in self.headers.of_identity if (value := only_value(raw, name))}
            verified = only_value(raw, self.headers.verified)
        except ContradictionError as error:
            raise CredentialRefusedError("proxy", "contradiction") from error
        if not said:
            return None
        peer = str(request.scope.get(PEER, ""))
        if not self.proxies.has(peer):
            raise CredentialRefusedError("proxy", "untrusted", details={"peer": peer})
        if user := said.get(self.headers.user):
            return self.identities.person(request, user, SignedInBy.PROXY)
        if verified != _VERIFIED:
            raise CredentialRefusedError("certificate", "not-verified")
        try:
            certificate = said.get(self.headers.certificate)
            shown = (
                Shown(plain_subject(said[self.headers.subject]))
                if certificate is None
                else read_certificate(certificate)
            )
        except ValueError as error:
            raise CredentialRefusedError("certificate", "malformed") from error
        return self.identities.owner(request, shown)
