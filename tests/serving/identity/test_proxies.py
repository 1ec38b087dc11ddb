"""What is believed of a proxy, and of whom it is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.identity.proxies import (
    ContradictionError,
    TrustedProxies,
    only_value,
)

PROXIES = TrustedProxies.parse("10.1.0.0/24, 2001:db8::1")


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("10.1.0.7", [], "10.1.0.7"),
        ("10.1.0.7", ["192.0.2.5"], "192.0.2.5"),
        ("10.1.0.7", ["6.6.6.6", "192.0.2.5"], "192.0.2.5"),
        ("10.1.0.7", ["6.6.6.6, 192.0.2.5, 10.1.0.9"], "192.0.2.5"),
        ("10.1.0.7", ["10.1.0.8, 10.1.0.9"], "10.1.0.8"),
        ("10.1.0.7", ["192.0.2.5:4711"], "192.0.2.5"),
        ("10.1.0.7", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("10.1.0.7", ["::ffff:192.0.2.5"], "192.0.2.5"),
        ("10.1.0.7", ["192.0.2.5, unknown"], "10.1.0.7"),
        ("10.1.0.7", ["192.0.2.5, "], "10.1.0.7"),
        ("2001:db8::1", ["192.0.2.5"], "192.0.2.5"),
        ("::ffff:10.1.0.7", ["192.0.2.5"], "192.0.2.5"),
        ("192.0.2.99", ["127.0.0.1"], "192.0.2.99"),
        ("testclient", ["127.0.0.1"], "testclient"),
    ],
)
def test_the_client_is_the_last_whom_no_trusted_proxy_speaks_for(
    peer: str, forwarded_for: list[str], client: str
) -> None:
    assert PROXIES.client_of(peer, forwarded_for) == client


@given(st.lists(st.text(max_size=40), max_size=5))
def test_nothing_that_a_stranger_writes_changes_their_address(lines: list[str]) -> None:
    assert PROXIES.client_of("192.0.2.99", lines) == "192.0.2.99"


@given(st.lists(st.text(max_size=40), max_size=5))
def test_whatever_a_client_writes_before_the_proxys_own_line_counts_for_nothing(lines: list[str]) -> None:
    assert PROXIES.client_of("10.1.0.7", [*lines, "192.0.2.5"]) == "192.0.2.5"


@pytest.mark.parametrize("text", ["0.0.0.0/0", "10.0.0.1, ::/0", "proxy.example", "10.0.0.1/33"])
def test_networks_that_are_none_or_everybody_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"network|appear"):
        TrustedProxies.parse(text)


def test_nobody_is_trusted_unless_named() -> None:
    assert not TrustedProxies.parse("").has("127.0.0.1")


def test_a_header_that_came_twice_is_a_contradiction() -> None:
    with pytest.raises(ContradictionError):
        only_value([(b"x-remote-user", b"li.na"), (b"X-Remote-User", b"root")], "X-Remote-User")
    assert only_value([(b"x-remote-user", b"  ")], "X-Remote-User") is None
    assert only_value([(b"x_remote_user", b"root")], "X-Remote-User") is None
