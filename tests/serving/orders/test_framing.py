"""Messages among the bytes of a connection, however they are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.orders.framing import MOST_BETWEEN, Framer, NoFrameError, framed

INSIDE = st.binary(max_size=40).map(lambda raw: raw.replace(b"\x0b", b"").replace(b"\x1c", b""))


@given(st.lists(INSIDE, max_size=5), st.integers(1, 7))
def test_every_message_is_given_once_however_it_is_cut(messages: list[bytes], n_bytes: int) -> None:
    wire = b"".join(framed(message) + b"\r\n" for message in messages)
    framer = Framer(1000)
    pieces = [wire[start : start + n_bytes] for start in range(0, len(wire), n_bytes)]
    assert [message for piece in pieces for message in framer.feed(piece)] == messages
    assert not framer.is_within


def test_the_return_behind_the_end_is_not_waited_for() -> None:
    framer = Framer(1000)
    assert list(framer.feed(b"\x0bone\x1c\x0btwo\x1c")) == [b"one", b"two"]


def test_a_message_whose_end_is_missing_ends_where_the_next_begins() -> None:
    framer = Framer(1000)
    assert list(framer.feed(b"\x0bMSH|half")) == []
    assert framer.is_within
    assert list(framer.feed(b"\x0bwhole\x1c\r")) == [b"whole"]
    assert framer.n_broken_off == 1


def test_what_stands_before_the_first_message_is_passed_over_up_to_a_limit() -> None:
    assert list(Framer(1000).feed(b"hello\r\n" + framed(b"m"))) == [b"m"]
    with pytest.raises(NoFrameError, match="outside"):
        list(Framer(1000).feed(b"x" * (MOST_BETWEEN + 1)))
    slow = Framer(1000)
    for _ in range(MOST_BETWEEN):
        assert list(slow.feed(b"x")) == []
    with pytest.raises(NoFrameError, match="outside"):
        list(slow.feed(b"x"))


@pytest.mark.parametrize("n_bytes", [1, 64, 5000])
def test_a_message_that_is_too_large_is_not_kept(n_bytes: int) -> None:
    framer = Framer(1000)
    list(framer.feed(b"\x0b"))
    for _ in range(1000 // n_bytes):
        assert list(framer.feed(b"x" * n_bytes)) == []
    with pytest.raises(NoFrameError, match="1,000"):
        list(framer.feed(b"x" * n_bytes))
