"""Listens for HL7 messages by MLLP: many connections, none of which can hold the service up.

A connection may be silent for long, as those of interface engines are; a message, once begun, must end in
time. Connections live in one thread's event loop; what a message asks for is done in a few others.
"""

import asyncio
import logging
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from serving.network_addresses import plain_address
from serving.orders.framing import Framer, NoFrameError, framed

log = logging.getLogger(__name__)

_T = TypeVar("_T")

# One writes at a time anyway; the others read and wait for their turn.
_THREADS = 4
_BYTES_AT_ONCE = 64 * 1024
_SECONDS_TO_STOP = 10.0
_SECONDS_TO_REST = 1.0


class Taker(Protocol):
    """Takes messages (:class:`serving.orders.inbox.Inbox`)."""

    def knows(self, address: str) -> bool:
        """Whether any sender's messages may come from an address."""

    def take(self, raw: bytes, *, address: str) -> list[bytes]:
        """Carry a message out and give the answers to it."""


@dataclass(frozen=True, slots=True)
class MllpLimits:
    """How much and how slowly may be sent.

    Parameters
    ----------
    message_bytes : int
        Of one message.
    message_s : float, s
        Within this a message that has begun must end, and an answer be taken.
    idle_s : float, s
        A connection may be silent for so long between messages.
    connections, connections_an_address : int
        At a time, over all and from one address.
    """

    message_bytes: int = 256 * 1024
    message_s: float = 15.0
    idle_s: float = 3600.0
    connections: int = 100
    connections_an_address: int = 20


@dataclass
class _Listener:
    taker: Taker
    limits: MllpLimits
    pool: ThreadPoolExecutor
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    open_from: Counter[str] = field(default_factory=Counter)
    conversations: "set[asyncio.Task[None]]" = field(default_factory=set)
    working: "set[asyncio.Task[None]]" = field(default_factory=set)
    silent_until_s: float = 0.0

    async def serve(self, line: socket.socket, address: str, sealed: Mapping[str, Any]) -> None:
        """Shake hands if messages are sealed, and take what the other side sends."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_BYTES_AT_ONCE)
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, line, **sealed)
        except (OSError, TimeoutError) as error:  # TLS's errors are of these
            log.info("an HL7 connection ended before it began: %s", type(error).__name__)
            line.close()
            return
        await self.converse(reader, asyncio.StreamWriter(transport, protocol, reader, loop), address)

    async def converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str
    ) -> None:
        """Take what one connection sends until it ends, or breaks a limit."""
        task = asyncio.current_task()
        assert task is not None
        self.conversations.add(task)
        self.open_from[address] += 1
        try:
            if await self._is_admitted(address):
                await self._take_messages(reader, writer, address)
        except NoFrameError as error:
            log.warning("an HL7 connection is ended: %s", error, extra={"address": address})
        except TimeoutError:
            log.warning("an HL7 connection is ended: it is too slow", extra={"address": address})
        except (ConnectionError, ssl.SSLError):
            log.info("an HL7 connection broke off", extra={"address": address})
        except asyncio.CancelledError:
            if not self.stopping.is_set():
                raise
        finally:
            await self._close(writer)
            self.conversations.discard(task)
            self.open_from[address] -= 1
            if not self.open_from[address]:
                del self.open_from[address]

    async def _close(self, writer: asyncio.StreamWriter) -> None:
        writer.close()
        try:
            async with asyncio.timeout(0 if self.stopping.is_set() else self.limits.message_s):
                await writer.wait_closed()
        except (ConnectionError, ssl.SSLError, TimeoutError):
            writer.transport.abort()  # it does not take what is written to it
            await asyncio.sleep(0)  # until the loop has let go of its socket

    def _tell_of_refusal(self, why: str, address: str) -> None:
        """Log a refused connection, one a second at most: who asks a thousand times fills no disk."""
        now_s = asyncio.get_running_loop().time()
        if now_s >= self.silent_until_s:
            self.silent_until_s = now_s + 1.0
            log.warning("an HL7 connection is refused: %s", why, extra={"address": address})

    async def _is_admitted(self, address: str) -> bool:
        limits = self.limits
        if self.open_from.total() > limits.connections:
            self._tell_of_refusal("there are too many", address)
            return False
        if self.open_from[address] > limits.connections_an_address:
            self._tell_of_refusal("there are too many of its address", address)
            return False
        if not await self._in_pool(self._knows, address):
            self._tell_of_refusal("its address is no sender's", address)
            return False
        return True

    async def _take_messages(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str
    ) -> None:
        loop = asyncio.get_running_loop()
        framer = Framer(self.limits.message_bytes)
        due = loop.time() + self.limits.idle_s
        while not self.stopping.is_set():
            was_within = framer.is_within
            async with asyncio.timeout_at(due):
                data = await reader.read(_BYTES_AT_ONCE)
            if not data:
                if framer.is_within:
                    log.warning("an HL7 message broke off", extra={"address": address})
                return
            n_taken = 0
            for message in framer.feed(data):
                n_taken += 1
                await self._take(message, writer, address)
            if not framer.is_within:
                due = loop.time() + self.limits.idle_s
            elif n_taken or not was_within:  # a message has begun: it must end in time, however it trickles
                due = loop.time() + self.limits.message_s

    def _in_pool(self, work: Callable[..., _T], *arguments: object) -> "asyncio.Future[_T]":
        return asyncio.get_running_loop().run_in_executor(self.pool, work, *arguments)

    def _knows(self, address: str) -> bool:
        return self.taker.knows(address)

    async def _take(self, message: bytes, writer: asyncio.StreamWriter, address: str) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.working.add(task)  # is not cut off: what is carried out is answered
        try:
            for answer in await self._in_pool(self._taken, message, address):
                writer.write(framed(answer))
            async with asyncio.timeout(self.limits.message_s):
                await writer.drain()
        finally:
            self.working.discard(task)

    def _taken(self, message: bytes, address: str) -> list[bytes]:
        try:
            return self.taker.take(message, address=address)
        except Exception:  # a message must not end the thread, and no answer is given: it is sent again
            log.exception("an HL7 message could not be taken", extra={"address": address})
            raise NoFrameError("a message could not be taken") from None

    async def stop(self) -> None:
        """Let what is being carried out be answered; end the rest, those too that have only just come."""
        loop = asyncio.get_running_loop()
        self.stopping.set()
        for task in self.conversations - self.working:
            task.cancel()
        last = loop.time() + _SECONDS_TO_STOP
        while (others := asyncio.all_tasks() - {asyncio.current_task()}) and loop.time() < last:
            await asyncio.wait(others, timeout=last - loop.time(), return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(0)  # until the loop has let go of their sockets


@contextmanager
def listening(
    listener: socket.socket,
    taker: Taker,
    *,
    limits: MllpLimits | None = None,
    tls: Callable[[], ssl.SSLContext] | None = None,
) -> Iterator[None]:
    """Take messages from a socket that listens, for as long as the context lasts; then it is closed.

    Parameters
    ----------
    listener : socket
        Bound and listening.
    taker : Taker
        Carries the messages out, in threads.
    limits : MllpLimits or None
        None: the usual.
    tls : callable or None
        Makes the context, if messages are sealed.
    """
    terms = limits or MllpLimits()
    ready, loop = threading.Event(), asyncio.new_event_loop()
    end = asyncio.Event()
    sealed: dict[str, Any] = {}
    if tls is not None:
        sealed = {"ssl": tls(), "ssl_handshake_timeout": terms.message_s, "ssl_shutdown_timeout": 5.0}

    async def listen() -> None:
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="hl7") as pool, listener:
            conversations = _Listener(taker, terms, pool)
            door = _Door(listener, lambda line, address: conversations.serve(line, address, sealed))
            door.open()
            ready.set()
            await end.wait()
            door.close()
            await conversations.stop()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(listen())

    thread = threading.Thread(target=run, name="hl7", daemon=True)
    thread.start()
    ready.wait()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()


class _Door:
    """Lets connections in, and from one moment on none any more.

    asyncio's own server loses one that comes while it is being closed (CPython 3.11).
    """

    def __init__(
        self, listener: socket.socket, serve: Callable[[socket.socket, str], Coroutine[Any, Any, None]]
    ) -> None:
        self._listener = listener
        self._serve = serve
        self._is_open = False
        self._served: set[asyncio.Task[None]] = set()  # the loop alone would forget them

    def open(self) -> None:
        """Begin to let in."""
        self._is_open = True
        self._listener.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listener, self._let_in)

    def close(self) -> None:
        """Let nobody in any more."""
        self._is_open = False
        asyncio.get_running_loop().remove_reader(self._listener)

    def _let_in(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            line, name = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return  # it has gone again
        except OSError as error:  # too many files are open: others end first
            log.error("HL7 connections wait: %s", error.strerror)
            loop.remove_reader(self._listener)
            loop.call_later(_SECONDS_TO_REST, lambda: self.open() if self._is_open else None)
            return
        line.setblocking(False)
        task = loop.create_task(self._serve(line, _plain_address(str(name[0]))))
        self._served.add(task)
        task.add_done_callback(self._served.discard)


def _plain_address(name: str) -> str:
    """Give an address without its zone; one of IPv4 in IPv6 is that of IPv4.

    Examples
    --------
    >>> _plain_address("::ffff:192.0.2.7"), _plain_address("fe80::1%eth0")
    ('192.0.2.7', 'fe80::1')
    """
    return str(plain_address(name.partition("%")[0]))
