"""Bounds what a request may be before anyone reads it: its address, its headers, its body, its time.

Routes that take images read their body as it comes, under limits of their own (:mod:`serving.intake.pace`).
For every other route the body is read here, whole, small and in time, and only then is the route asked: so
no route can be held open by a sender that trickles, and none has to count bytes.
"""

from collections.abc import Collection
from dataclasses import dataclass

import anyio
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import STATUS_OF_PROBLEM, Problem
from serving.problems import document


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """How large and how slow a request may be, but for the body of one that brings images.

    Parameters
    ----------
    body_bytes, address_bytes, header_bytes : int
        Of the body; of the path with its query; of all headers together.
    n_headers : int
    body_s : float, s
        Within this the whole body must be here.
    """

    body_bytes: int = 1024 * 1024
    address_bytes: int = 8 * 1024
    header_bytes: int = 16 * 1024
    n_headers: int = 100
    body_s: float = 30.0


class Bounds:
    """Wraps an application; see the module's text.

    Parameters
    ----------
    app : ASGIApp
        What answers.
    limits : RequestLimits
        What is refused.
    streamed : collection of (str, str)
        Methods and paths whose route reads the body itself; a path that ends with a slash stands for those
        below it.
    """

    def __init__(self, app: ASGIApp, limits: RequestLimits, *, streamed: Collection[tuple[str, str]]) -> None:
        self._app = app
        self._limits = limits
        self._streamed = frozenset(streamed)
        self._streamed_below = tuple(one for one in self._streamed if one[1].endswith("/"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused = self._refused(scope)
        if refused is None and not self._is_streamed(scope):
            body = await self._read(scope, receive)
            if body is None:
                return  # the sender is gone
            if isinstance(body, bytes):
                await self._app(scope, _Replayed(body, receive), send)
                return
            refused = body
        if refused is None:
            await self._app(scope, receive, send)
            return
        problem, detail = refused
        answer = document(Request(scope), problem, STATUS_OF_PROBLEM[problem], detail)
        answer.headers["Connection"] = (
            "close"  # what of the body has not come must not be taken for a request
        )
        await answer(scope, receive, send)

    def _is_streamed(self, scope: Scope) -> bool:
        method, path = scope["method"], str(scope["path"])
        return (method, path) in self._streamed or any(
            method == one and path.startswith(below) for one, below in self._streamed_below
        )

    def _refused(self, scope: Scope) -> tuple[Problem, str] | None:
        limits = self._limits
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > limits.address_bytes:
            return (
                Problem.ADDRESS_TOO_LONG,
                f"The address is longer than {limits.address_bytes:,} bytes: put what it says into the body.",
            )
        headers = scope["headers"]
        if (
            len(headers) > limits.n_headers
            or sum(len(name) + len(value) for name, value in headers) > limits.header_bytes
        ):
            return (
                Problem.HEADERS_TOO_LARGE,
                f"More than {limits.n_headers} headers or {limits.header_bytes:,} bytes of them: send fewer.",
            )
        return None

    async def _read(self, scope: Scope, receive: Receive) -> bytes | tuple[Problem, str] | None:
        limits = self._limits
        too_large = (
            Problem.BODY_TOO_LARGE,
            f"The body is larger than the {limits.body_bytes:,} bytes that this address takes.",
        )
        if _declared(scope) > limits.body_bytes:
            return too_large
        body = bytearray()
        try:
            with anyio.fail_after(limits.body_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    body += message.get("body", b"")
                    if len(body) > limits.body_bytes:
                        return too_large
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            return (
                Problem.UPLOAD_TOO_SLOW,
                f"The body was not here within {limits.body_s:g} s: send it again on a better line.",
            )


class _Replayed:
    """Gives a body that was read already, then what the connection says."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        message: Message = {"type": "http.request", "body": self._body, "more_body": False}
        self._body = None
        return message


def _declared(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0
