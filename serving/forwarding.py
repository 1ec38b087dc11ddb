"""Takes a trusted proxy's word for the client's address and scheme, and nobody else's.

The audit trail and the limits on guessing go by the client's address; behind a proxy that is the one in
``X-Forwarded-For``. A proxy that is not named in ``FIRSTREAD_TRUSTED_PROXIES`` is a client like any other.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from serving.identity.proxies import PEER, TrustedProxies


class Forwarding:
    """Wraps an application; see the module's text."""

    def __init__(self, app: ASGIApp, *, proxies: TrustedProxies) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "http" and scope.get("client"):
            peer, port = scope["client"]
            scope[PEER] = peer
            if self._proxies.has(peer):
                client = self._proxies.client_of(peer, _values(scope, b"x-forwarded-for"))
                scope["client"] = (client, port if client == peer else 0)
                schemes = _values(scope, b"x-forwarded-proto")
                if schemes and schemes[-1].strip().lower() in {"http", "https"}:
                    scope["scheme"] = schemes[-1].strip().lower()
        await self._app(scope, receive, send)


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for header, value in scope["headers"] if header == name]
