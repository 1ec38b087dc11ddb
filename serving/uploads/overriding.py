"""What holds for every address of resumable uploads: the method by a header, and the protocol's version.

Some lines let GET and POST through alone; a client behind one sends a POST that says what it stands for
(X-HTTP-Method-Override, tus 1.0.0).
"""

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.uploads.protocol import VERSION

PREFIX: Final = "/api/v1/uploads"

# HEAD is answered as GET here: the answer to what is a POST on the wire may have a body.
_METHODS = {b"PATCH": "PATCH", b"DELETE": "DELETE", b"HEAD": "GET"}


class TusManners:
    """Wraps an application; see the module's text."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or not _is_ours(scope["path"]):
            await self._app(scope, receive, send)
            return
        if scope["method"] == "POST":
            for name, value in scope["headers"]:
                if name == b"x-http-method-override":
                    scope = {**scope, "method": _METHODS.get(bytes(value).upper(), "POST")}

        async def send_with_version(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Tus-Resumable"] = VERSION
            await send(message)

        await self._app(scope, receive, send_with_version)


def _is_ours(path: str) -> bool:
    return path == PREFIX or path.startswith(f"{PREFIX}/")
