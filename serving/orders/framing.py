"""The frames of MLLP: a message stands between VT and FS CR, and what stands elsewhere is none.

References
----------
HL7 v2 Implementation Guide, Transport Specification: MLLP, release 1, section 3.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

START = b"\x0b"
END = b"\x1c"
RETURN = b"\r"

# A line's end or two stands between messages; one that sends more than this speaks something else.
MOST_BETWEEN = 1024


class NoFrameError(Exception):
    """What comes is no MLLP, or a message is too large; the connection can only be closed."""


@dataclass
class Framer:
    """Takes bytes as they come and gives the messages among them.

    A start within a message begins a new one: its sender broke off, and the end is not missed for ever.
    The CR behind FS is not waited for.
    """

    most_bytes: int
    _message: bytearray | None = None
    _n_between: int = 0
    n_broken_off: int = field(default=0)

    @property
    def is_within(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._message is not None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Give the messages that end in these bytes, without their frames.

        Raises
        ------
        NoFrameError
            If a message is too large, or much comes that is in none.
        """
        while data:
            if self._message is None:
                data = self._find_start(data)
                continue
            start, end = data.find(START), data.find(END)
            if start >= 0 and (end < 0 or start < end):
                self.n_broken_off += 1
                self._message = bytearray()
                data = data[start + 1 :]
                continue
            self._message += data if end < 0 else data[:end]
            if len(self._message) > self.most_bytes:
                raise NoFrameError(f"a message has more than {self.most_bytes:,} bytes")
            if end < 0:
                return
            message, self._message = bytes(self._message), None
            self._n_between = 0
            data = data[end + 1 :]
            yield message

    def _find_start(self, data: bytes) -> bytes:
        start = data.find(START)
        self._n_between += len(data) if start < 0 else start
        if self._n_between > MOST_BETWEEN:
            raise NoFrameError(f"more than {MOST_BETWEEN:,} bytes stand outside of any message")
        if start < 0:
            return b""
        self._message = bytearray()
        return data[start + 1 :]


def framed(message: bytes) -> bytes:
    r"""Put a message into its frame.

    Examples
    --------
    >>> framed(b"MSH|")
    b'\x0bMSH|\x1c\r'
    """
    return START + message + END + RETURN
