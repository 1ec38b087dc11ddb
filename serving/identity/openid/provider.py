"""The identity provider as we know it: what it says of itself (discovery), its keys, and its two doors.

References
----------
OpenID Connect Discovery 1.0; OpenID Connect Core 1.0, 3.1; RFC 7636 (PKCE); RFC 9207 (issuer of an answer);
OpenID Connect RP-Initiated Logout 1.0.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass

import httpx2
from authlib.common.urls import add_params_to_uri
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import OAuth2Client
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import BaseModel, ConfigDict, ValidationError

from serving.identity.openid.outbound import client_options, open_client, require_allowed
from serving.identity.openid.terms import Fault, OpenIdError, OpenIdTerms

# Both are asked for again after this time; keys also when a token names one that is not known.
_SECONDS_KEPT = 3600.0
_SECONDS_BETWEEN_KEYS = 5.0

# A provider that did not answer, or answered wrong, is not asked again for so long.
_SECONDS_AWAY = 5.0


class Metadata(BaseModel):
    """What a provider says of itself, as far as we ask."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str | None = None
    id_token_signing_alg_values_supported: tuple[str, ...] = ()
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the provider gave for a code; never kept beyond the sign-in."""

    id_token: str
    access_token: str


class Provider:
    """Asks one provider.

    Parameters
    ----------
    terms : OpenIdTerms
        Which one, and as whom.
    clock : callable
        Gives seconds that never run backwards.
    """

    def __init__(self, terms: OpenIdTerms, *, clock: Callable[[], float]) -> None:
        self.terms = terms
        self._clock = clock
        self._turn = threading.Lock()
        self._metadata: tuple[float, Metadata] | None = None
        self._keys: tuple[float, KeySet] | None = None
        self._failure: tuple[float, OpenIdError] | None = None

    def metadata(self) -> Metadata:
        """Give what the provider says of itself.

        Raises
        ------
        OpenIdError
            If it cannot be reached, or says that it is another.
        """
        with self._turn:
            if self._metadata is None or self._clock() - self._metadata[0] > _SECONDS_KEPT:
                self._metadata = (self._clock(), self._discover_unless_just_failed())
            return self._metadata[1]

    def keys(self, *, fresh: bool = False) -> KeySet:
        """Give the provider's keys; `fresh` asks again, as after a rotation, but not all the time.

        Raises
        ------
        OpenIdError
            If they cannot be read.
        """
        uri = self.metadata().jwks_uri
        with self._turn:
            age_s = float("inf") if self._keys is None else self._clock() - self._keys[0]
            if self._keys is None or age_s > (_SECONDS_BETWEEN_KEYS if fresh else _SECONDS_KEPT):
                self._keys = (self._clock(), self._fetch_keys(uri))
            return self._keys[1]

    def sign_in_address(self, *, state: str, nonce: str, verifier: str) -> str:
        """Give the address that a browser is sent to."""
        with self._client() as client:
            address, _ = client.create_authorization_url(
                self.metadata().authorization_endpoint, state=state, nonce=nonce, code_verifier=verifier
            )
        return str(address)

    def exchange(self, code: str, *, verifier: str) -> Tokens:
        """Trade a code for tokens.

        Raises
        ------
        OpenIdError
            If the provider refuses it, as one that was used before.
        """
        with self._client() as client:
            try:
                given = client.fetch_token(
                    self.metadata().token_endpoint,
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=verifier,
                    redirect_uri=self.terms.redirect_uri,
                )
            except OAuthError as error:
                raise OpenIdError(
                    Fault.REFUSED, f"the provider does not take the code ({error.error}): sign in again."
                ) from error
            except (httpx2.HTTPError, ValueError) as error:
                raise OpenIdError(Fault.UNREACHABLE, f"the provider gives no token ({error}).") from error
        id_token, access_token = given.get("id_token"), given.get("access_token")
        if not isinstance(id_token, str) or not isinstance(access_token, str):
            raise OpenIdError(
                Fault.MISCONFIGURED, "the provider gives no ID token: it needs the scope openid."
            )
        return Tokens(id_token, access_token)

    def sign_out_address(self, *, after: str) -> str | None:
        """Give the address at which the provider's own session ends, None if it has none.

        The provider asks the person and sends the browser on to `after`, which must be registered there.
        """
        end = self.metadata().end_session_endpoint
        if end is None:
            return None
        params = {"client_id": self.terms.client_id, "post_logout_redirect_uri": after}
        return str(add_params_to_uri(end, list(params.items())))

    def _client(self) -> OAuth2Client:
        methods = self.metadata().token_endpoint_auth_methods_supported
        method = next((m for m in ("client_secret_basic", "client_secret_post") if m in methods), None)
        return OAuth2Client(
            client_id=self.terms.client_id,
            client_secret=self.terms.client_secret,
            token_endpoint_auth_method=(method or "client_secret_basic")
            if self.terms.client_secret
            else "none",
            scope=" ".join(self.terms.scopes),
            redirect_uri=self.terms.redirect_uri,
            code_challenge_method="S256",
            **client_options(self.terms),
        )

    def _discover_unless_just_failed(self) -> Metadata:
        """Discover; who comes while the provider is away is told so at once, and holds no thread."""
        if self._failure is not None and self._clock() - self._failure[0] < _SECONDS_AWAY:
            raise OpenIdError(self._failure[1].fault, self._failure[1].detail)
        try:
            found = self._discover()
        except OpenIdError as error:
            self._failure = (self._clock(), error)
            raise
        self._failure = None
        return found

    def _discover(self) -> Metadata:
        url = f"{self.terms.issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            found = Metadata.model_validate(self._fetch(url))
        except ValidationError as error:
            missing = ", ".join(".".join(map(str, one["loc"])) for one in error.errors())
            raise OpenIdError(Fault.MISCONFIGURED, f"{url} does not tell {missing}.") from error
        if found.issuer != self.terms.issuer:
            raise OpenIdError(
                Fault.ISSUER,
                f"{url} speaks for {found.issuer!r}: FIRSTREAD_OIDC_ISSUER must be written the same, to the "
                "last slash.",
            )
        doors = (
            found.authorization_endpoint,
            found.token_endpoint,
            found.jwks_uri,
            found.end_session_endpoint,
        )
        for address in doors:
            if address is not None:
                require_allowed(address, self.terms)
        return found

    def _fetch_keys(self, uri: str) -> KeySet:
        try:
            return KeySet.import_key_set(self._fetch(uri))  # type: ignore[arg-type]  # it looks at what it takes
        except (JoseError, KeyError, TypeError, ValueError) as error:
            raise OpenIdError(Fault.MISCONFIGURED, f"{uri} holds no keys ({error}).") from error

    def _fetch(self, url: str) -> object:
        with open_client(self.terms) as client:
            answer = client.get(url)
        if answer.status_code != httpx2.codes.OK:
            raise OpenIdError(Fault.UNREACHABLE, f"{url} answers with status {answer.status_code}.")
        try:
            return json.loads(answer.content)
        except ValueError as error:
            raise OpenIdError(Fault.MISCONFIGURED, f"{url} is no JSON.") from error
