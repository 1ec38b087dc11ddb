"""Serves an application over HTTP until it is told to stop."""

import ipaddress
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from serving.errors import StartError
from serving.hosting.peer_certificate import CertifiedProtocol
from serving.sockets import listening_socket

log = logging.getLogger(__name__)

# Beyond what serving.bodies refuses with a reason; h11 then says 400 and closes.
_MOST_OF_A_HEAD = 32 * 1024

# After the last request: scoring is handed back, the audit trail signed, the database closed.
_SECONDS_TO_HAND_BACK = 30

# Each may hold a megabyte; a process may have 1,024 open files by default, and images need some.
_MOST_CONNECTIONS = 800


def open_socket(host: str, port: int, *, allow_remote: bool, with_sign_in: bool) -> socket.socket:
    """Listen on an address before anything else is started.

    Raises
    ------
    StartError
        If the address is not this machine's own and that was not asked for, or the port is taken.
    """
    if not with_sign_in and not is_loopback(host):
        raise StartError(
            f"{host} can be reached from other machines: without sign-in anyone there would see every study. "
            "Leave --without-sign-in out, or listen on 127.0.0.1."
        )
    if not allow_remote and not is_loopback(host):
        raise StartError(
            f"{host} can be reached from other machines, and what they send, passwords too, could be read on "
            "the way: put a proxy with TLS in front of it, and add --allow-remote."
        )
    try:
        listener = listening_socket(host, port, n_waiting=128)
    except OSError as error:
        raise StartError(
            f"port {port} on {host} cannot be used ({error.strerror}): name another by --port."
        ) from error
    return listener


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def address_of(listener: socket.socket, *, is_tls: bool = False) -> str:
    """Give the address that a person types."""
    host, port = listener.getsockname()[:2]
    return f"{'https' if is_tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}/"


def serve_until_stopped(
    app: FastAPI,
    listener: socket.socket,
    *,
    on_ready: Callable[[], None],
    seconds_to_stop: int,
    tls: Callable[[], ssl.SSLContext] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, by TLS if there is a context; calls `on_ready` once it answers.

    Nobody is let in after that, and requests under way are finished, within `seconds_to_stop`; one that is
    cut off then was not acknowledged.
    """
    config = uvicorn.Config(
        app,
        log_config=None,  # it would write to handlers of its own, tracebacks with values among it
        http=CertifiedProtocol,
        ssl_context_factory=None if tls is None else lambda _config, _default: tls(),
        # uvicorn's own reading of X-Forwarded-For trusts every process of this machine; ours trusts the
        # proxies that the operator named (serving.forwarding).
        proxy_headers=False,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=seconds_to_stop,
        h11_max_incomplete_event_size=_MOST_OF_A_HEAD,
        limit_concurrency=_MOST_CONNECTIONS,
        lifespan="off",
    )
    server = _Server(config, on_ready, last_s=seconds_to_stop + _SECONDS_TO_HAND_BACK)
    with _no_traceback_on_interrupt():
        server.run(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None], *, last_s: float) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._last_s = last_s

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        _end_at_the_latest(self._last_s)
        await super().shutdown(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()


def _end_at_the_latest(seconds: float) -> None:
    """End the process after `seconds`, should something it waits for never end.

    A thread that waits for a database that hangs would keep it alive for ever. What was acknowledged is on
    the disk; what was not scored is scored after the next start.
    """

    def end() -> None:
        log.critical("the service did not end within %g s of being told to: it is ended", seconds)
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


@contextmanager
def _no_traceback_on_interrupt() -> Iterator[None]:
    # uvicorn stops in good order and then raises the signal it was stopped by once more
    try:
        yield
    except KeyboardInterrupt:
        return
