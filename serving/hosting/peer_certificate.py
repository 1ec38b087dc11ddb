"""Lets the application see the certificate that a client proved to hold, for mutual TLS without a proxy.

uvicorn checks a client's certificate but does not pass it on, so its protocol is told here to put it where
ASGI's extension for TLS has it: ``scope["extensions"]["tls"]["client_cert_chain"]``, PEM, the client's own
first. Only what the handshake verified against the configured authority gets there.

References
----------
https://asgi.readthedocs.io/en/latest/specs/tls.html
"""

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

from serving.hosting.connections import BoundedProtocol

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application


class CertifiedProtocol(BoundedProtocol):
    """HTTP/1.1, bounded, that tells the application whose certificate the connection has."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Take up a connection."""
        super().connection_made(transport)
        connection = transport.get_extra_info("ssl_object")
        der = None if connection is None else connection.getpeercert(binary_form=True)
        if der:
            self.app = _showing(self.app, ssl.DER_cert_to_PEM_cert(der))


def _showing(app: "ASGI3Application", pem: str) -> "ASGI3Application":
    # uvicorn's own types of scope, receive and send are its own; they pass through untouched
    async def with_certificate(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        scope.setdefault("extensions", {})["tls"] = {"client_cert_chain": [pem]}
        await app(scope, receive, send)

    return with_certificate
