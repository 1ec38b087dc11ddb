"""Two ends of one connection in one process, and the units of the protocol by hand."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from serving.dimse.association import Association, Context
from serving.dimse.line import Line, Patience
from serving.intake.pace import Pace

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
CONTEXT = Context(1, CT, EXPLICIT)
IMPATIENT = Patience(0.5, 0.5, Pace(start_s=0.5, min_bytes_per_s=1e9))


def unit(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxI", kind, len(body)) + body


def data_unit(*fragments: tuple[int, bytes], context: int = 1) -> bytes:
    """Write a P-DATA of fragments, each with its control byte."""
    return unit(
        4,
        b"".join(struct.pack(">IBB", len(data) + 2, context, control) + data for control, data in fragments),
    )


@contextmanager
def ends(
    *, max_length: int = 0, peer_max_length: int = 0, patience: Patience = IMPATIENT
) -> Iterator[tuple[Association, socket.socket]]:
    """Give an association, and the socket at its other end."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(10.0)
    association = Association(
        Line(ours),
        {1: CONTEXT},
        max_length=max_length,
        peer_max_length=peer_max_length,
        patience=patience,
    )
    try:
        yield association, theirs
    finally:
        association.close()
        theirs.close()
