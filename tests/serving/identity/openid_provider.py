"""An OpenID provider at work: Authlib's server side behind real HTTP on the loopback.

It knows one client and lets whoever its test names sign in at once. A test may spoil what it says: the
claims, the algorithm, the key, the document that describes it.
"""

import base64
import functools
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2
from authlib.oauth2.rfc6749 import AuthorizationServer, OAuth2Error, OAuth2Request
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9207 import IssuerParameter
from authlib.oidc.core.grants import OpenIDCode
from joserfc import jwt
from joserfc.jwk import ECKey, Key, KeySet, OctKey, RSAKey

CLIENT_ID = "firstread"
CLIENT_SECRET = "a-secret-of-the-test"


def rsa_key() -> RSAKey:
    return RSAKey.generate_key(2048, parameters={"kid": secrets.token_hex(4), "use": "sig"})


def ec_key() -> ECKey:
    return ECKey.generate_key("P-256", parameters={"kid": secrets.token_hex(4), "use": "sig"})


@functools.cache
def _first_key() -> RSAKey:
    """Make the key by which a provider signs at first, once for all tests: it takes a while."""
    return rsa_key()


@dataclass
class Code:
    """An authorization code and what it stands for."""

    code: str
    redirect_uri: str
    scope: str
    nonce: str | None
    code_challenge: str | None
    code_challenge_method: str | None

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str | None:
        return self.nonce

    def get_auth_time(self) -> int:
        return int(time.time())

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


class _Client:
    """The one client."""

    def __init__(self, redirect_uri: str) -> None:
        self.redirect_uri = redirect_uri

    def get_client_id(self) -> str:
        return CLIENT_ID

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_allowed_scope(self, scope: str | None) -> str:
        return scope or "openid"

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self.redirect_uri

    def check_client_secret(self, client_secret: str) -> bool:
        return secrets.compare_digest(client_secret, CLIENT_SECRET)

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


class _Request(OAuth2Request):  # type: ignore[misc]  # Authlib is not annotated
    def __init__(self, method: str, uri: str, form: Mapping[str, str], headers: Mapping[str, str]) -> None:
        super().__init__(method=method, uri=uri, headers=headers)
        self._args = dict(parse_qsl(urlsplit(uri).query))
        self._form = dict(form)
        self.payload = BasicOAuth2Payload(self._args | self._form)

    @property
    def args(self) -> dict[str, str]:
        return self._args

    @property
    def form(self) -> dict[str, str]:
        return self._form


@dataclass
class OpenIdProvider:
    """The provider; its fields are what a test sets."""

    issuer: str
    redirect_uri: str
    person: dict[str, object] = field(default_factory=lambda: {"sub": "248289761001"})
    key: Key = field(default_factory=_first_key)
    algorithm: str = "RS256"
    published: list[Key] | None = None
    spoil_claims: Callable[[dict[str, Any]], None] = lambda _claims: None
    spoil_metadata: Callable[[dict[str, Any]], None] = lambda _metadata: None
    codes: dict[str, Code] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def rotate(self) -> None:
        """Sign by a new key from now on, and publish that one alone."""
        self.key = rsa_key()

    def metadata(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "end_session_endpoint": f"{self.issuer}/sign-out",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "HS256", "none"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "authorization_response_iss_parameter_supported": True,
        }
        self.spoil_metadata(document)
        return document

    def keys(self) -> dict[str, Any]:
        public = [self.key] if self.published is None else self.published
        return dict(KeySet(public).as_dict(private=any(isinstance(key, OctKey) for key in public)))


class _Server(AuthorizationServer):  # type: ignore[misc]  # Authlib is not annotated
    def __init__(self, provider: OpenIdProvider) -> None:
        super().__init__(scopes_supported=["openid", "profile", "email"])
        self.provider = provider
        self.register_token_generator(
            "default", BearerTokenGenerator(lambda **_: secrets.token_urlsafe(32), expires_generator=300)
        )
        self.register_grant(_grant_of(provider), [_id_tokens_of(provider), CodeChallenge(required=True)])
        self.register_extension(_issuer_parameter_of(provider))

    def register_extension(self, extension: Callable[[AuthorizationServer], None]) -> None:
        extension(self)

    def query_client(self, client_id: str) -> _Client | None:
        return _Client(self.provider.redirect_uri) if client_id == CLIENT_ID else None

    def save_token(self, token: object, request: object) -> None:
        """Keep nothing: no test uses the access token."""

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Tell nobody."""

    def create_oauth2_request(self, request: _Request) -> _Request:
        return request

    def handle_response(self, status: int, body: object, headers: list[tuple[str, str]]) -> "_Response":
        return _Response(status, body, headers)


class _Response:
    def __init__(self, status: int, body: object, headers: list[tuple[str, str]]) -> None:
        self.status = status
        self.body = body
        self.headers = dict(headers)

    @property
    def location(self) -> str | None:
        return self.headers.get("Location")

    @location.setter
    def location(self, value: str) -> None:
        self.headers["Location"] = value


def _grant_of(provider: OpenIdProvider) -> type[AuthorizationCodeGrant]:
    class Grant(AuthorizationCodeGrant):  # type: ignore[misc]  # Authlib is not annotated
        def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
            data = request.payload.data
            provider.codes[code] = Code(
                code,
                request.payload.redirect_uri,
                request.scope,
                data.get("nonce"),
                data.get("code_challenge"),
                data.get("code_challenge_method"),
            )

        def query_authorization_code(self, code: str, _client: object) -> Code | None:
            return provider.codes.get(code)

        def delete_authorization_code(self, authorization_code: Code) -> None:
            del provider.codes[authorization_code.code]

        def authenticate_user(self, _code: Code) -> dict[str, object]:
            return provider.person

    return Grant


def _id_tokens_of(provider: OpenIdProvider) -> OpenIDCode:
    class IdTokens(OpenIDCode):  # type: ignore[misc]  # Authlib is not annotated
        def exists_nonce(self, nonce: str, _request: object) -> bool:
            return any(code.nonce == nonce for code in provider.codes.values())

        def get_client_claims(self, _client: _Client) -> dict[str, Any]:
            return {"iss": provider.issuer, "aud": [CLIENT_ID]}

        def generate_user_info(self, user: dict[str, object], _scope: str) -> dict[str, object]:
            return user

        def encode_id_token(self, token: dict[str, Any], request: OAuth2Request) -> str:
            """Sign as Authlib does, after the test has spoiled what it wants."""
            claims = self.get_compatible_claims(request)
            claims.update(self.get_authorization_code_claims(request.authorization_code))
            claims.update(self.generate_user_info(request.user, token["scope"]))
            provider.spoil_claims(claims)
            header = {"alg": provider.algorithm, "kid": provider.key.kid}
            if provider.algorithm == "none":
                return f"{_part(header)}.{_part(claims)}."
            return jwt.encode(header, claims, provider.key, [provider.algorithm])

    return IdTokens(require_nonce=True)


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _issuer_parameter_of(provider: OpenIdProvider) -> IssuerParameter:
    class Issuer(IssuerParameter):  # type: ignore[misc]  # Authlib is not annotated
        def get_issuer(self) -> str:
            return provider.issuer

    return Issuer()


def _handler_of(provider: OpenIdProvider, authorization: _Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(_answer(authorization, self._request({})))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._send(_answer(authorization, self._request(dict(parse_qsl(body.decode())))))

        def log_message(self, _form: str, *args: object) -> None:
            provider.asked.append(str(args[0]))

        def _request(self, form: dict[str, str]) -> _Request:
            return _Request(self.command, provider.issuer + self.path, form, dict(self.headers))

        def _send(self, answer: _Response) -> None:
            body = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name.lower() != "content-type":
                    self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

    return Handler


def _answer(authorization: _Server, request: _Request) -> _Response:
    provider = authorization.provider
    path = urlsplit(request.uri).path
    documents: dict[str, Callable[[], object]] = {
        "/.well-known/openid-configuration": provider.metadata,
        "/keys": provider.keys,
        "/endless": lambda: {"keys": [{"n": "A" * (2 * 1024 * 1024)}]},
    }
    if path in documents:
        return _Response(200, documents[path](), [])
    if path == "/authorize":
        return _authorize(authorization, request, provider)
    if path == "/token":
        given: _Response = authorization.create_token_response(request)
        return given
    if path == "/elsewhere":
        return _Response(302, "", [("Location", f"{provider.issuer}/keys")])
    return _Response(404, {"error": "nothing here"}, [])


@contextmanager
def openid_provider(redirect_uri: str) -> Iterator[OpenIdProvider]:
    """Run a provider whose client may be led back to one address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    provider = OpenIdProvider(f"http://127.0.0.1:{server.server_port}", redirect_uri)
    server.RequestHandlerClass = _handler_of(provider, _Server(provider))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _authorize(authorization: _Server, request: _Request, provider: OpenIdProvider) -> _Response:
    try:
        grant = authorization.get_consent_grant(request, end_user=provider.person)
    except OAuth2Error as error:
        refused: _Response = authorization.handle_error_response(request, error)
        return refused
    given: _Response = authorization.create_authorization_response(
        request, grant_user=provider.person, grant=grant
    )
    return given


def browse(address: str) -> dict[str, str]:
    """Go to the provider as a browser does; gives what it has the browser bring back."""
    answer = httpx2.get(address, follow_redirects=False, trust_env=False)
    assert answer.status_code == 302, answer.text
    return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))


def with_query(path: str, answer: Mapping[str, str]) -> str:
    """Write an answer as a browser brings it."""
    return f"{path}?{urlencode(answer)}"
