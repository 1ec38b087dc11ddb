"""Takes HL7 messages beside HTTP, where the settings name a port for them."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from serving.errors import StartError
from serving.hosting.server import is_loopback
from serving.hosting.tls import tls_of
from serving.orders.inbox import Inbox
from serving.orders.listener import MllpLimits, listening
from serving.orders.service import Orders
from serving.settings import Settings
from serving.sockets import listening_socket


def open_hl7_socket(settings: Settings, *, allow_remote: bool) -> socket.socket | None:
    """Listen for HL7 before anything else is started, None if that was not asked for.

    Raises
    ------
    StartError
        If messages would cross a network unsealed and that was not asked for, or the port is taken.
    """
    host, port = settings.hl7_host, settings.hl7_port
    if port is None:
        return None
    if not (is_loopback(host) or settings.hl7_tls or allow_remote):
        raise StartError(
            f"FIRSTREAD_HL7_HOST {host} can be reached from other machines, and orders name patients: set "
            "FIRSTREAD_HL7_TLS=true, or add --allow-remote if the network itself is sealed."
        )
    try:
        listener = listening_socket(host, port, n_waiting=64)
    except OSError as error:
        raise StartError(
            f"FIRSTREAD_HL7_PORT {port} on {host} cannot be used ({error.strerror}): name another."
        ) from error
    return listener


@contextmanager
def hl7_at_work(listener: socket.socket | None, orders: Orders, settings: Settings) -> Iterator[str | None]:
    """Take messages until the context ends, and give the address; nothing without a socket."""
    if listener is None:
        yield None
        return
    limits = MllpLimits(
        message_bytes=settings.hl7_max_message_bytes, connections=settings.hl7_max_connections
    )
    with ExitStack() as parts:
        parts.enter_context(
            listening(
                listener, Inbox(orders), limits=limits, tls=tls_of(settings) if settings.hl7_tls else None
            )
        )
        host, port = listener.getsockname()[:2]
        yield f"{'mllps' if settings.hl7_tls else 'mllp'}://{f'[{host}]' if ':' in host else host}:{port}"
