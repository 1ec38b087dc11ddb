"""An association that stands: messages come and go on it, whichever side asked for it.

One thread reads and writes; what a message carries passes through piece by piece, so that an instance of
two gigabytes takes the memory of one fragment. Everything has its time (:mod:`serving.dimse.line`).
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain

from serving.dimse.commands import (
    MOST_BYTES,
    Command,
    Field,
    Tag,
    has_data_set,
    number,
    read_command,
    write_command,
)
from serving.dimse.errors import BrokenLineError, DimseError, GarbledError
from serving.dimse.line import Line, Patience
from serving.dimse.pdu import (
    INVALID_PARAMETER,
    RELEASE,
    RELEASED,
    UNEXPECTED_PDU,
    UNRECOGNISED_PDU,
    Kind,
    write_abort,
)

# No side gains from longer ones, and each is held whole when it is written.
_LONGEST_FRAGMENT = 128 * 1024
_HEAD_BYTES = 6
# Of what is no data: releases and aborts have four bytes.
_MOST_OF_SHORT = 1024
# Less leaves no room for a value behind the heads.
SHORTEST_LENGTH = 64
_IS_COMMAND, _IS_LAST = 1, 2


@dataclass(frozen=True, slots=True)
class Context:
    """An accepted context."""

    number: int
    abstract: str
    syntax: str


@dataclass(frozen=True, slots=True)
class Message:
    """A message whose command has come; its data set, if it has one, is still to be read."""

    context: Context
    command: dict[Tag, str | int]

    @property
    def has_data(self) -> bool:
        """Whether a data set follows."""
        return has_data_set(self.command)


@dataclass(slots=True)
class _Fragment:
    context: int
    is_command: bool
    is_last: bool
    n_left: int


class Association:
    """Reads and writes messages.

    Parameters
    ----------
    line : Line
        The connection, on which the association was granted.
    contexts : mapping of int to Context
        Those accepted, by their number.
    max_length : int
        The longest P-DATA that may come, 0 for any.
    peer_max_length : int
        The longest that the other side takes, 0 for any.
    patience : Patience
        How long the other side is waited for.
    """

    def __init__(
        self,
        line: Line,
        contexts: Mapping[int, Context],
        *,
        max_length: int,
        peer_max_length: int,
        patience: Patience,
    ) -> None:
        if 0 < peer_max_length < SHORTEST_LENGTH:
            raise GarbledError(f"the other side takes {peer_max_length} bytes at a time")
        self.contexts = dict(contexts)
        self.is_over = False
        self.is_waiting = False
        self._line = line
        self._max_length = max_length
        self._patience = patience
        longest = min(peer_max_length or _LONGEST_FRAGMENT, _LONGEST_FRAGMENT)
        self._fragment_bytes = longest - _HEAD_BYTES
        self._pdu_left = 0
        self._begun_s = 0.0
        self._n_come = 0
        self._last_id = 0

    def receive(self, *, wait_s: float | None = None) -> Message | None:
        """Wait for the next message; None if the other side released the association.

        Raises
        ------
        DimseError
            If nothing comes in time, what comes is no message, or the line breaks.
        """
        self._begun_s, self._n_come = self._line.clock(), 0
        first_until = self._begun_s + (self._patience.idle_s if wait_s is None else wait_s)
        data = bytearray()
        self.is_waiting = True
        while True:
            fragment = self._next_fragment(first_until if not data else None, may_release=not data)
            self.is_waiting = False
            if fragment is None:
                self.is_over = True
                return None
            if not fragment.is_command:
                raise GarbledError("a data set came without a command", reason=UNEXPECTED_PDU)
            for piece in self._pieces(fragment):
                data += piece
                if len(data) > MOST_BYTES:
                    raise GarbledError(f"a command is longer than {MOST_BYTES:,} bytes")
            if fragment.is_last:
                break
        context = self.contexts.get(fragment.context)
        if context is None:
            raise GarbledError(f"a message came in a context that was not accepted ({fragment.context})")
        return Message(context, read_command(bytes(data)))

    def data_of(self, message: Message, take: Callable[[memoryview], object]) -> None:
        """Hand a message's data set to `take`, piece by piece; a piece counts until the next one."""
        if not message.has_data:
            return
        while True:
            fragment = self._next_fragment(None, may_release=False)
            if fragment is None or fragment.is_command or fragment.context != message.context.number:
                raise GarbledError("a data set is broken off by something else", reason=UNEXPECTED_PDU)
            for piece in self._pieces(fragment):
                take(piece)
            if fragment.is_last:
                return

    def whole_data_of(self, message: Message, *, at_most: int) -> bytes:
        """Give a message's data set, which is a query or the like."""
        data = bytearray()

        def take(piece: memoryview) -> None:
            if len(data) + len(piece) > at_most:
                raise GarbledError(f"an identifier is longer than {at_most:,} bytes")
            data.extend(piece)

        self.data_of(message, take)
        return bytes(data)

    def send(self, context: Context, command: Command, data: Iterable[bytes] | None = None) -> None:
        """Send a message, its data set as it is made."""
        begun_s, n_sent = self._line.clock(), 0
        pieces = self._units(context, write_command(command, has_data=data is not None), _IS_COMMAND)
        if data is not None:
            pieces = chain(pieces, self._units_of_data(context, data))
        pending = b""
        for unit in pieces:
            if len(pending) + len(unit) <= _LONGEST_FRAGMENT:
                pending += unit  # a short answer goes in one packet
                continue
            n_sent += self._write(pending, begun_s, n_sent)
            pending = unit
        self._write(pending, begun_s, n_sent)

    def next_id(self) -> int:
        """Give the number of the next message that is sent."""
        self._last_id = self._last_id % 0xFFFF + 1
        return self._last_id

    def is_cancelled(self, message_id: int) -> bool:
        """Whether the other side wants no more of the answers to a message; never waits.

        Raises
        ------
        DimseError
            If something else came, which has no place while a message is answered.
        """
        while not self.is_over and self._line.has_come():
            message = self.receive()
            if message is None:
                return True
            if number(message.command, Tag.FIELD) != Field.CANCEL:
                raise GarbledError("a message came while another is answered", reason=UNEXPECTED_PDU)
            if number(message.command, Tag.ANSWERED_ID) == message_id:
                return True
        return self.is_over

    def release(self) -> None:
        """End the association in good order, waiting for the other side's consent."""
        until_s = self._line.clock() + self._patience.handshake_s
        with suppress(DimseError):
            self._line.write(RELEASE, until_s=until_s)
            while True:
                kind, n_bytes = self._head(until_s)
                if kind == Kind.RELEASE:  # both at once (PS3.8 7.2.2.7)
                    self._line.write(RELEASED, until_s=until_s)
                self._skip(n_bytes, until_s)
                if kind in {Kind.RELEASED, Kind.ABORT}:
                    break
        self.close()

    def abort(self, *, source: int = 0, reason: int = 0) -> None:
        """End the association at once; `source` 0 is the program, 2 the protocol."""
        with suppress(DimseError):
            self._line.write(write_abort(source=source, reason=reason), until_s=self._line.clock() + 2.0)
        self.close()

    def close(self) -> None:
        """Close the connection, from whichever thread."""
        self.is_over = True
        self._line.close()

    def _until(self) -> float:
        left = self._patience.pace.seconds_left(self._n_come, self._line.clock() - self._begun_s)
        return self._line.clock() + left

    def _next_fragment(self, first_until: float | None, *, may_release: bool) -> _Fragment | None:
        if self._pdu_left == 0:
            kind, self._pdu_left = self._head(self._until() if first_until is None else first_until)
            if first_until is not None:
                self._begun_s = self._line.clock()
            if kind == Kind.RELEASE and may_release:
                self._skip(self._pdu_left, self._until())
                self._pdu_left = 0
                self._line.write(RELEASED, until_s=self._until())
                return None
            if kind == Kind.ABORT:
                raise BrokenLineError("the other side aborted the association")
            if kind != Kind.DATA:
                raise GarbledError(f"a unit of kind {kind} came out of place", reason=UNEXPECTED_PDU)
            if self._max_length and self._pdu_left > self._max_length:
                raise GarbledError(
                    f"a unit of {self._pdu_left:,} bytes came, {self._max_length:,} were agreed on",
                    reason=INVALID_PARAMETER,
                )
        if self._pdu_left < _HEAD_BYTES:
            raise GarbledError("a unit of data holds none", reason=INVALID_PARAMETER)
        n_bytes, context, control = struct.unpack(">IBB", self._line.read(_HEAD_BYTES, until_s=self._until()))
        if n_bytes < 2 or n_bytes + 4 > self._pdu_left:
            raise GarbledError("a fragment is longer than what holds it", reason=INVALID_PARAMETER)
        self._pdu_left -= _HEAD_BYTES
        return _Fragment(context, bool(control & _IS_COMMAND), bool(control & _IS_LAST), n_bytes - 2)

    def _pieces(self, fragment: _Fragment) -> Iterator[memoryview]:
        while fragment.n_left:
            piece = self._line.some(fragment.n_left, until_s=self._until())
            fragment.n_left -= len(piece)
            self._pdu_left -= len(piece)
            self._n_come += len(piece)
            yield piece

    def _head(self, until_s: float) -> tuple[int, int]:
        kind, n_bytes = struct.unpack(">BxI", self._line.read(_HEAD_BYTES, until_s=until_s))
        if kind not in set(Kind):
            raise GarbledError(f"what came is no unit of the protocol ({kind})", reason=UNRECOGNISED_PDU)
        if kind != Kind.DATA and n_bytes > _MOST_OF_SHORT:
            raise GarbledError(f"a unit of kind {kind} has {n_bytes:,} bytes", reason=INVALID_PARAMETER)
        return kind, n_bytes

    def _skip(self, n_bytes: int, until_s: float) -> None:
        while n_bytes:
            n_bytes -= len(self._line.some(n_bytes, until_s=until_s))

    def _units(self, context: Context, data: bytes, control: int) -> Iterator[bytes]:
        for start in range(0, len(data), self._fragment_bytes):
            piece = data[start : start + self._fragment_bytes]
            is_last = start + self._fragment_bytes >= len(data)
            yield _unit(context, piece, control | (_IS_LAST if is_last else 0))

    def _units_of_data(self, context: Context, data: Iterable[bytes]) -> Iterator[bytes]:
        held = bytearray()
        size = self._fragment_bytes
        for piece in data:
            held += piece
            while len(held) > size:  # the last one is held back: it must say that it is
                yield _unit(context, held[:size], 0)
                del held[:size]
        yield _unit(context, held, _IS_LAST)

    def _write(self, data: bytes, begun_s: float, n_sent: int) -> int:
        left = self._patience.pace.seconds_left(n_sent, self._line.clock() - begun_s)
        self._line.write(data, until_s=self._line.clock() + left)
        return len(data)


def _unit(context: Context, piece: bytes | bytearray, control: int) -> bytes:
    head = struct.pack(">BxIIBB", Kind.DATA, len(piece) + 6, len(piece) + 2, context.number, control)
    return head + piece
