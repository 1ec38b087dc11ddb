"""What every answer carries: a request id, and the headers that keep a browser from being used against us."""

import re
import secrets

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.telemetry.naming import naming

# Nothing from elsewhere, no inline script; the pages' own styles and one script come from /assets.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), microphone=(), camera=()",
    "Cache-Control": "no-store",  # what is no secret says so itself
}

# Two years; without subdomains, which are not ours to speak for.
_STRICT_TRANSPORT = "max-age=63072000"

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Protection:
    """Wraps an application; see the module's text."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _given_id(scope) or secrets.token_hex(8)
        scope["firstread.request_id"] = request_id
        is_head = scope["method"] == "HEAD"
        if is_head:  # what can be read can be asked about (RFC 9110, 9.3.2); routes know GET alone
            scope["method"] = "GET"

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if scope["scheme"] == "https":
                    headers.setdefault("Strict-Transport-Security", _STRICT_TRANSPORT)
            elif is_head:
                message["body"] = b""
            await send(message)

        with naming(request_id=request_id):
            await self._app(scope, receive, send_protected)


def _given_id(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text = str(value.decode("latin-1"))
            return text if _REQUEST_ID.fullmatch(text) else None
    return None
