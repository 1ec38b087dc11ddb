"""The only way by which sign-in calls out: to the provider's hosts, by its scheme, within limits.

Discovery is a document that somebody else writes; what it names must not lead us into the hospital's own
network. Redirects are not followed, proxies of the environment are not asked, and an answer is read up to a
megabyte. Certificates are checked against the system's store, where a hospital's own authority stands.
"""

import functools
import ssl
from collections.abc import Iterator

import httpx2

from serving.identity.openid.terms import Fault, OpenIdError, OpenIdTerms

_SECONDS_TO_ANSWER = 5.0
_MOST_BYTES = 1024 * 1024


class ProviderTransport(httpx2.BaseTransport):
    """Speaks HTTP with the provider's hosts alone."""

    def __init__(self, terms: OpenIdTerms) -> None:
        self._terms = terms
        self._inner = httpx2.HTTPTransport(verify=_certificates(), trust_env=False)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request.

        Raises
        ------
        OpenIdError
            `MISCONFIGURED` if it would go elsewhere, `UNREACHABLE` if nobody answers.
        """
        require_allowed(str(request.url), self._terms)
        try:
            answer = self._inner.handle_request(request)
            assert isinstance(answer.stream, httpx2.SyncByteStream)
            content = b"".join(_limited(answer.stream, str(request.url)))
        except httpx2.TransportError as error:
            raise OpenIdError(
                Fault.UNREACHABLE, f"{request.url.host} does not answer ({error}): try again later."
            ) from error
        finally:
            request.read()
        return httpx2.Response(answer.status_code, headers=answer.headers, content=content)

    def close(self) -> None:
        """Close every connection."""
        self._inner.close()


def open_client(terms: OpenIdTerms) -> httpx2.Client:
    """Make a client for discovery and keys."""
    return httpx2.Client(transport=ProviderTransport(terms), timeout=_SECONDS_TO_ANSWER, trust_env=False)


def client_options(terms: OpenIdTerms) -> dict[str, object]:
    """Give what Authlib's client needs to call by the same rules."""
    return {"transport": ProviderTransport(terms), "timeout": _SECONDS_TO_ANSWER, "trust_env": False}


def require_allowed(url: str, terms: OpenIdTerms) -> str:
    """Give an address of the provider's, if it is one.

    Raises
    ------
    OpenIdError
        `MISCONFIGURED` if its scheme or host is another.
    """
    parts = httpx2.URL(url)
    host = parts.netloc.decode("ascii").lower()
    if parts.scheme != terms.scheme or host not in terms.callable_hosts or parts.userinfo:
        raise OpenIdError(
            Fault.MISCONFIGURED,
            f"the provider names {parts.scheme}://{host}, which is not its own: if it is right, add {host} "
            "to FIRSTREAD_OIDC_HOSTS.",
        )
    return url


def _limited(stream: httpx2.SyncByteStream, url: str) -> Iterator[bytes]:
    n_bytes = 0
    try:
        for chunk in stream:
            n_bytes += len(chunk)
            if n_bytes > _MOST_BYTES:
                raise OpenIdError(Fault.MISCONFIGURED, f"{url} answers with more than {_MOST_BYTES:,} bytes.")
            yield chunk
    finally:
        stream.close()


@functools.cache
def _certificates() -> ssl.SSLContext:
    # reading the system's store takes some 20 ms, and it is the same for every call
    return ssl.create_default_context()
