"""Writes one line of the log for each request, and hands its figures on.

The route's template stands in the line, never the path as it was asked for: an address can hold anything,
a patient's name too. What an endpoint lets escape is logged here, described and not printed.
"""

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.telemetry.traces import NO_TRACES, Traces

log = logging.getLogger(__name__)

# What nothing was found for; one name, however many addresses are tried.
NO_ROUTE = "(none)"

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_STUDY_KEY = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Answered:
    """A request that was answered; `status` 499 if its sender was gone before."""

    method: str
    route: str
    status: int
    seconds: float
    bytes_in: int
    bytes_out: int


class Access:
    """Wraps an application; see the module's text.

    Parameters
    ----------
    app : ASGIApp
        What answers.
    observe : callable
        Is told of each request that was answered.
    traces : Traces
        Where a span of each goes.
    """

    def __init__(
        self,
        app: ASGIApp,
        observe: Callable[[Answered], None] = lambda _: None,
        traces: Traces = NO_TRACES,
    ) -> None:
        self._app = app
        self._observe = observe
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._traces.span("request", headers=_context(scope)) as span:
            answered = await self._answer(scope, receive, send)
            span.rename(f"{answered.method} {answered.route}")
            span.say(
                method=answered.method,
                route=answered.route,
                status=answered.status,
                request_id=str(scope.get("firstread.request_id", "")),
            )
            if answered.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                span.failed()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> Answered:
        started = time.perf_counter()
        status, bytes_in, bytes_out, is_whole = 0, 0, 0, False

        async def counted_receive() -> Message:
            nonlocal bytes_in
            message = await receive()
            bytes_in += len(message.get("body", b""))
            return message

        async def counted_send(message: Message) -> None:
            nonlocal status, bytes_out, is_whole
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                bytes_out += len(message.get("body", b""))
                is_whole = not message.get("more_body", False)
            await send(message)

        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        try:
            await self._app(scope, counted_receive, counted_send)
        except Exception:
            log.exception("a request failed", extra={"method": method, "route": route_of(scope)})
            if not is_whole:
                raise  # the server ends the connection, so that nobody takes the part for the whole
        finally:
            answered = Answered(
                method, route_of(scope), status or 499, time.perf_counter() - started, bytes_in, bytes_out
            )
            self._observe(answered)
            _say(scope, answered)
        return answered


def _context(scope: Scope) -> dict[str, str]:
    """Give the headers by which a sender's own trace goes on here (W3C Trace Context)."""
    return {
        name.decode("ascii"): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in {b"traceparent", b"tracestate"}
    }


def route_of(scope: Scope) -> str:
    """Give the template of the route that a request found, such as ``/api/v1/studies/{study}``."""
    return str(getattr(scope.get("route"), "path", None) or NO_ROUTE)


def _say(scope: Scope, answered: Answered) -> None:
    client = scope.get("client")
    study = str(scope.get("path_params", {}).get("study", ""))
    level = logging.WARNING if answered.status >= HTTPStatus.INTERNAL_SERVER_ERROR else logging.INFO
    log.log(
        level,
        "request",
        extra={
            "method": answered.method,
            "route": answered.route,
            "status": answered.status,
            "ms": round(answered.seconds * 1000, 1),
            "bytes_in": answered.bytes_in,
            "bytes_out": answered.bytes_out,
            "caller": _caller(scope),
            "client": client[0] if client else None,
            "study": study if _STUDY_KEY.fullmatch(study) else None,
        },
    )


def _caller(scope: Scope) -> str:
    # Who signed in, by the key of the account (serving.identity); its name stands in the audit trail.
    caller = scope.get("firstread.caller")
    return str(getattr(caller, "user", None) or "anonymous")
