"""The listener at its socket: senders of other makes, and those that mean no good."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import pytest
from hl7.client import MLLPClient

from serving.errors import StartError
from serving.hosting.hl7 import hl7_at_work, open_hl7_socket
from serving.orders.framing import framed
from serving.orders.listener import MllpLimits, Taker, listening
from serving.settings import Settings
from tests.serving.identity.authority import Authority
from tests.serving.orders.messages import orm
from tests.serving.orders.received import SENDER, receiving

HERE = replace(SENDER, network="127.0.0.0/8")
MEBIBYTE = 1024 * 1024
IMPATIENT = MllpLimits(message_bytes=64 * 1024, message_s=0.5, idle_s=30.0)

# What a listener may grow by, whatever is sent to it: twenty messages of the largest size, split.
MOST_GROWTH_BYTES = 96 * MEBIBYTE


@dataclass
class Echo:
    """Answers each message with itself; may be told to wait."""

    may_answer: threading.Event = field(default_factory=threading.Event)
    is_asked: threading.Event = field(default_factory=threading.Event)
    known: bool = True
    error: Exception | None = None

    def knows(self, address: str) -> bool:
        return self.known and address == "127.0.0.1"

    def take(self, raw: bytes, *, address: str) -> list[bytes]:
        assert address == "127.0.0.1"
        self.is_asked.set()
        self.may_answer.wait(30)
        if self.error is not None:
            raise self.error
        return [raw]


@contextmanager
def served(taker: Taker, limits: MllpLimits = MllpLimits()) -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    with listening(listener, taker, limits=limits):
        yield port


@contextmanager
def echoing(limits: MllpLimits = MllpLimits(), **more: object) -> Iterator[tuple[int, Echo]]:
    echo = Echo(**more)  # type: ignore[arg-type]  # its fields
    echo.may_answer.set()
    with served(echo, limits) as port:
        yield port, echo


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def until_closed(line: socket.socket) -> bytes:
    """Give what comes until the other side closes, or breaks off."""
    got = b""
    try:
        while data := line.recv(65536):
            got += data
    except ConnectionError:
        pass
    return got


def test_a_sender_of_another_make_sends_orders_one_after_another(tmp_path: Path) -> None:
    with receiving(tmp_path / "test.sqlite", tmp_path, HERE) as here, served(here.inbox) as port:
        with MLLPClient("127.0.0.1", port) as client:
            for number in range(5):
                text = orm(number=str(number), accession=f"A{number}", placer=f"P{number}")
                answer = client.send_message(text.encode())
                assert f"MSA|AA|{number}".encode() in answer
        assert [len(here.orders(f"A{number}")) for number in range(5)] == [1] * 5


def test_messages_that_come_together_are_answered_in_their_order(tmp_path: Path) -> None:
    with receiving(tmp_path / "test.sqlite", tmp_path, HERE) as here, served(here.inbox) as port:
        with connected(port) as line:
            line.sendall(b"".join(framed(orm(number=str(number)).encode()) for number in range(9)))
            line.shutdown(socket.SHUT_WR)
            got = until_closed(line)
        answers = [part.partition(b"\r")[0] for part in got.split(b"\rMSA|")[1:]]
        assert answers == [f"AA|{number}".encode() for number in range(9)]


def test_a_message_that_trickles_is_ended_and_one_that_is_silent_between_is_not() -> None:
    with echoing(IMPATIENT) as (port, _):
        slow, calm = connected(port), connected(port)
        stop = threading.Event()

        def trickle() -> None:
            try:
                slow.sendall(b"\x0b")
                while not stop.wait(0.05):
                    slow.sendall(b"\x0bx")  # beginning anew gains no time
            except ConnectionError:
                return

        sender = threading.Thread(target=trickle)
        sender.start()
        assert until_closed(slow) == b""
        stop.set()
        sender.join()
        time.sleep(0.6)  # longer than a message may take
        calm.sendall(framed(b"there"))
        assert calm.recv(100) == framed(b"there")
        slow.close()
        calm.close()


@pytest.mark.parametrize(
    "wire",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 60,
        b"\x16\x03\x01" + b"\x01" * 2000,
        b"\x0b" + b"x" * 70_000,
        b"\x00" * 3000,
    ],
)
def test_what_is_no_mllp_or_too_large_closes_its_own_connection_alone(wire: bytes) -> None:
    with echoing(IMPATIENT) as (port, _), connected(port) as other, connected(port) as line:
        line.sendall(wire)
        assert until_closed(line) == b""
        other.sendall(framed(b"still here"))
        assert other.recv(100) == framed(b"still here")


def test_a_connection_that_breaks_off_within_a_message_is_forgotten() -> None:
    with echoing(replace(IMPATIENT, connections_an_address=100)) as (port, echo):
        for _ in range(20):
            with connected(port) as line:
                line.sendall(b"\x0bMSH|^~\\&|half")
        with connected(port) as line:
            line.sendall(framed(b"whole"))
            assert line.recv(100) == framed(b"whole")
        assert echo.is_asked.is_set()


def test_one_address_has_no_more_connections_than_it_may_and_gets_new_ones_for_old() -> None:
    limits = replace(IMPATIENT, connections_an_address=3)
    with echoing(limits) as (port, _):
        lines = [connected(port) for _ in range(3)]
        for line in lines:
            line.sendall(framed(b"a"))
            assert line.recv(100) == framed(b"a")
        with connected(port) as fourth:
            assert until_closed(fourth) == b""
        lines.pop().close()
        deadline = time.monotonic() + 30
        while True:  # until the listener has seen it go
            with connected(port) as again:
                again.sendall(framed(b"b"))
                if until_answer(again) == framed(b"b"):
                    break
            assert time.monotonic() < deadline
        for line in lines:
            line.close()


def until_answer(line: socket.socket) -> bytes:
    try:
        return line.recv(100)
    except ConnectionError:
        return b""


def test_an_unknown_address_is_closed_without_a_word() -> None:
    with echoing(known=False) as (port, echo):
        with connected(port) as line:
            line.sendall(framed(b"m"))
            assert until_closed(line) == b""
        assert not echo.is_asked.is_set()


def test_a_fault_of_ours_is_answered_by_nothing_so_that_the_sender_tries_again() -> None:
    with echoing(error=RuntimeError("a fault")) as (port, _):
        with connected(port) as line:
            line.sendall(framed(b"m"))
            assert until_closed(line) == b""
        with connected(port) as line:
            line.sendall(b"\x0b")


def test_what_is_being_carried_out_when_the_service_stops_is_still_answered() -> None:
    echo = Echo()
    listener = socket.create_server(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    context = listening(listener, echo)
    context.__enter__()
    line, idle = connected(port), connected(port)
    line.sendall(framed(b"m"))
    assert echo.is_asked.wait(30)
    stopper = threading.Thread(target=context.__exit__, args=(None, None, None))
    stopper.start()
    assert until_closed(idle) == b""  # nothing is waited for there
    echo.may_answer.set()
    assert until_closed(line) == framed(b"m")
    stopper.join(30)
    assert not stopper.is_alive()
    line.close()
    idle.close()


def test_two_hundred_senders_at_once_are_each_answered_or_closed(tmp_path: Path) -> None:
    limits = MllpLimits(connections=100, connections_an_address=100)
    with receiving(tmp_path / "test.sqlite", tmp_path, HERE) as here, served(here.inbox, limits) as port:
        together = threading.Barrier(200)

        def send(number: int) -> bytes:
            together.wait()
            text = orm(number=str(number), accession=f"A{number}", placer=f"P{number}").encode()
            while True:
                try:
                    with connected(port) as line:
                        line.sendall(framed(text))
                        line.shutdown(socket.SHUT_WR)
                        got = until_closed(line)
                except OSError:  # closed before it was written to
                    continue
                if got:
                    return got
                time.sleep(0.05)  # one too many: it comes again

        with ThreadPoolExecutor(200) as senders:
            answers = list(senders.map(send, range(200)))
        assert all(f"MSA|AA|{number}\r".encode() in answer for number, answer in enumerate(answers))
        assert all(len(here.orders(f"A{number}")) == 1 for number in range(200))


def test_memory_stays_bounded_whatever_is_sent(tmp_path: Path) -> None:
    process = psutil.Process()
    with receiving(tmp_path / "test.sqlite", tmp_path, HERE) as here, served(here.inbox) as port:
        wires = (  # there before anything is measured: they are the senders'
            framed(b"MSH|^~\\&|RIS|" + b"|" * 250_000),
            framed(b"MSH|^~\\&|RIS|" + b"^" * 19_000 + b"|" + b"&" * 900),
            framed(orm(question="x" * 200_000).encode()),
            framed(b"MSH|^~\\&|RIS|HOSP\r" * 10_000),
            b"\x0b" + b"x" * 20 * MEBIBYTE,
        )
        before = process.memory_info().rss
        for wire in wires:
            lines = [connected(port) for _ in range(10)]
            for line in lines:
                try:
                    line.sendall(wire)
                    line.shutdown(socket.SHUT_WR)
                except ConnectionError:
                    pass
            for line in lines:
                until_closed(line)
                line.close()
        assert process.memory_info().rss - before < MOST_GROWTH_BYTES


def test_by_tls_messages_are_sealed_and_who_does_not_speak_it_is_closed(tmp_path: Path) -> None:
    authority = Authority()
    certificate, key = authority.issue("firstread").write(tmp_path, "server")
    root, _ = authority.root.write(tmp_path, "root")
    settings = Settings(home=tmp_path, tls_certificate=certificate, tls_key=key, hl7_port=0, hl7_tls=True)
    listener = open_hl7_socket(settings, allow_remote=False)
    assert listener is not None
    port: int = listener.getsockname()[1]
    with (
        receiving(tmp_path / "test.sqlite", tmp_path, HERE) as here,
        hl7_at_work(listener, here.inbox.orders, settings) as address,
    ):
        assert address == f"mllps://127.0.0.1:{port}"
        with ssl.create_default_context(cafile=root).wrap_socket(
            connected(port), server_hostname="localhost"
        ) as line:
            line.sendall(framed(orm().encode()))
            assert b"MSA|AA|1" in line.recv(65536)
        with connected(port) as plain:
            plain.sendall(framed(orm(number="2").encode()))
            assert b"MSA" not in until_closed(plain)


def test_orders_cross_no_network_unsealed_unless_that_was_asked_for(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, hl7_port=0, hl7_host="0.0.0.0")
    with pytest.raises(StartError, match="FIRSTREAD_HL7_TLS"):
        open_hl7_socket(settings, allow_remote=False)
    listener = open_hl7_socket(settings, allow_remote=True)
    assert listener is not None
    with listener, pytest.raises(StartError, match="name another"):
        open_hl7_socket(
            settings.model_copy(update={"hl7_port": listener.getsockname()[1]}), allow_remote=True
        )
    assert open_hl7_socket(Settings(home=tmp_path), allow_remote=False) is None


def test_tls_for_hl7_needs_a_certificate(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="FIRSTREAD_HL7_TLS needs"):
        Settings(home=tmp_path, hl7_tls=True)
