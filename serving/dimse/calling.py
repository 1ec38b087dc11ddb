"""Asks another program for an association: to send it what was asked for, or to ask it something."""

import socket
import ssl
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from serving.dimse.association import Association
from serving.dimse.errors import BrokenLineError, DimseError, GarbledError, RefusedError
from serving.dimse.line import Line, Patience
from serving.dimse.negotiation import contexts_of
from serving.dimse.pdu import (
    MOST_BYTES_OF_A_REQUEST,
    Kind,
    Proposal,
    Refusal,
    Request,
    Roles,
    read_acceptance,
    read_refusal,
    write_request,
)

# PS3.8 table 9-21, in words; by source and reason.
_WHY: Mapping[tuple[int, int], str] = {
    (1, 1): "it gives no reason",
    (1, 2): "it does not know DICOM's application context",
    (1, 3): "it does not know the calling AE title",
    (1, 7): "it does not know the called AE title",
    (2, 1): "it gives no reason",
    (2, 2): "it does not speak this version of the protocol",
    (3, 1): "it is congested for now",
    (3, 2): "it has as many associations as it takes",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a program is called, and by which title."""

    title: str
    host: str
    port: int


@dataclass(frozen=True)
class Calling:
    """Opens associations as one AE title.

    Parameters
    ----------
    title : str
        Our own.
    patience : Patience
        How long the other side is waited for.
    max_length : int
        The longest P-DATA that it may send.
    tls : callable
        Gives the context in which it is called by TLS.
    """

    title: str
    patience: Patience = field(default_factory=Patience)
    max_length: int = 256 * 1024
    tls: Callable[[], ssl.SSLContext] = ssl.create_default_context

    def __call__(
        self,
        place: Place,
        proposals: Sequence[Proposal],
        *,
        roles: Mapping[str, Roles] | None = None,
        is_tls: bool = False,
    ) -> Association:
        """Open an association; who opens it releases it.

        Raises
        ------
        RefusedError
            If it is refused, or nothing of it is accepted.
        DimseError
            If nobody answers there in time, or with something else.
        """
        connection = self._connected(place, is_tls=is_tls)
        line = Line(connection)
        until_s = line.clock() + self.patience.handshake_s
        request = Request(place.title, self.title, tuple(proposals), roles or {}, self.max_length)
        try:
            line.write(write_request(request), until_s=until_s)
            kind, n_bytes = struct.unpack(">BxI", line.read(6, until_s=until_s))
            if kind not in {Kind.ACCEPT, Kind.REJECT, Kind.ABORT} or n_bytes > MOST_BYTES_OF_A_REQUEST:
                raise GarbledError(f"{place.host}:{place.port} answers with something that is not DICOM")
            body = line.read(n_bytes, until_s=until_s)
            if kind == Kind.REJECT:
                raise RefusedError(f"{place.title} refuses the association: {_words(read_refusal(body))}")
            if kind == Kind.ABORT:
                raise RefusedError(f"{place.title} aborts the association")
            acceptance = read_acceptance(body)
            association = Association(
                line,
                contexts_of(proposals, acceptance.grants),
                max_length=self.max_length,
                peer_max_length=acceptance.max_length,
                patience=self.patience,
            )
        except DimseError:
            line.close()
            raise
        if not association.contexts:
            association.release()
            raise RefusedError(f"{place.title} accepts nothing of what it is asked for")
        return association

    def _connected(self, place: Place, *, is_tls: bool) -> socket.socket:
        try:
            connection = socket.create_connection((place.host, place.port), timeout=self.patience.handshake_s)
        except OSError as error:
            raise BrokenLineError(
                f"nobody answers at {place.host}:{place.port} ({error.strerror or error})"
            ) from error
        if not is_tls:
            return connection
        try:
            return self.tls().wrap_socket(connection, server_hostname=place.host)
        except (OSError, ssl.SSLError) as error:
            with suppress(OSError):
                connection.close()
            raise BrokenLineError(f"no TLS with {place.host}:{place.port} ({error})") from error


def _words(refusal: Refusal) -> str:
    return _WHY.get((refusal.source, refusal.reason), f"reason {refusal.source}/{refusal.reason}")
