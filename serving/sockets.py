"""Listens on an address, for whichever protocol."""

import socket


def listening_socket(host: str, port: int, *, n_waiting: int) -> socket.socket:
    """Give a socket that listens on an address of IPv4 or IPv6; `n_waiting` may wait to be accepted.

    Raises
    ------
    OSError
        If the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends without delay (TCP_NODELAY) only where the protocol is named: without it each answer
    # on a connection that is kept waited 40 ms for the receiver's acknowledgement of its head.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(n_waiting)
    except OSError:
        listener.close()
        raise
    return listener
