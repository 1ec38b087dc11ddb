"""A connection that waits for nobody for ever: every reading and writing has a time by which it is done."""

import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from serving.dimse.errors import BrokenLineError, TooSlowError
from serving.intake.pace import Pace

# A P-DATA of 128 KiB, which is what dcmtk and Orthanc send, is read at once.
_BUFFER_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the other side is waited for.

    Parameters
    ----------
    handshake_s : float, s
        From the connection to the request of an association (ARTIM, PS3.8 9.1.5), TLS included.
    idle_s : float, s
        Between two messages.
    pace : Pace
        The slowest that a message may come or be taken.
    """

    handshake_s: float = 30.0
    idle_s: float = 300.0
    pace: Pace = field(default_factory=lambda: Pace(start_s=30.0))


class Line:
    """Reads and writes whole pieces on a connected socket, until a time.

    Parameters
    ----------
    connection : socket
        Connected; closed by :meth:`close`.
    clock : callable
        Gives seconds that only grow.
    """

    def __init__(self, connection: socket.socket, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._socket = connection
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0
        self._timeout: float | None = None
        with suppress(OSError):  # a pair of sockets of a test has no delay to switch off
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read(self, n_bytes: int, *, until_s: float) -> bytes:
        """Give exactly so many bytes.

        Raises
        ------
        BrokenLineError
            If the connection ends before.
        TooSlowError
            If they are not there by `until_s` of the clock.
        """
        if self._end - self._start >= n_bytes:
            piece = bytes(self._view[self._start : self._start + n_bytes])
            self._start += n_bytes
            return piece
        pieces = bytearray()
        while len(pieces) < n_bytes:
            pieces += self.some(n_bytes - len(pieces), until_s=until_s)
        return bytes(pieces)

    def some(self, at_most: int, *, until_s: float) -> memoryview:
        """Give what has come, at least one byte and no more than so many; counts until the next reading."""
        if self._start == self._end:
            self._wait(until_s)
            try:
                n_bytes = self._socket.recv_into(self._buffer)
            except TimeoutError as error:
                raise TooSlowError("the other side sends too slowly, or nothing") from error
            except OSError as error:
                raise BrokenLineError(f"the connection broke ({error.strerror or error})") from error
            if n_bytes == 0:
                raise BrokenLineError("the other side closed the connection")
            self._start, self._end = 0, n_bytes
        start = self._start
        self._start = min(self._end, start + at_most)
        return self._view[start : self._start]

    def write(self, data: bytes | bytearray, *, until_s: float) -> None:
        """Send all of it.

        Raises
        ------
        BrokenLineError
            If the connection ends before.
        TooSlowError
            If it is not taken by `until_s` of the clock.
        """
        self._wait(until_s)
        try:
            self._socket.sendall(data)
        except TimeoutError as error:
            raise TooSlowError("the other side takes what it is sent too slowly") from error
        except OSError as error:
            raise BrokenLineError(f"the connection broke ({error.strerror or error})") from error

    def has_come(self) -> bool:
        """Whether a reading would find something at once, were it the end."""
        if self._start < self._end:
            return True
        pending = getattr(self._socket, "pending", None)
        if pending is not None and pending():
            return True
        watch = select.poll()
        try:
            watch.register(self._socket, select.POLLIN)
        except ValueError:  # closed
            return True
        return bool(watch.poll(0))

    def close(self) -> None:
        """End the connection, whoever waits on it."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            self._socket.close()

    def _wait(self, until_s: float) -> None:
        left = until_s - self.clock()
        if left <= 0:
            raise TooSlowError("the other side is too slow")
        # To set it costs a call of the system; a second more or less is not noticed.
        if self._timeout is None or left < 2.0 or abs(left - self._timeout) > 1.0:
            self._timeout = left
            try:
                self._socket.settimeout(left)
            except OSError as error:
                raise BrokenLineError("the connection is closed") from error
