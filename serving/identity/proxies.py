"""What a reverse proxy says of a request, believed only of the proxies that the operator named.

Anyone can write a header. So the address of the client, the scheme and, above all, the identity that a
proxy established are read only if the connection comes from a trusted proxy's address; from everyone else
they are as if they had not been sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

from serving.network_addresses import plain_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Headers = Sequence[tuple[bytes, bytes]]

PEER: Final = "firstread.peer"
"""Where the address of the connection itself stands in a request's scope (:mod:`serving.forwarding`)."""


class ContradictionError(Exception):
    """A header that says who asks came twice: one of them may be the client's own."""


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """The networks whose word counts.

    Examples
    --------
    >>> proxies = TrustedProxies.parse("10.1.0.0/24, ::1")
    >>> proxies.has("10.1.0.7"), proxies.has("10.2.0.7"), proxies.has("::ffff:10.1.0.7"), proxies.has("x")
    (True, False, True, False)
    """

    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "TrustedProxies":
        """Read addresses and networks, separated by commas.

        Raises
        ------
        ValueError
            If one is neither, or is every address there is.
        """
        networks = tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
        if any(network.prefixlen == 0 for network in networks):
            raise ValueError("a network of every address would let anyone say who they are")
        return cls(networks)

    def has(self, text: str) -> bool:
        """Whether an address is a trusted proxy's."""
        address = _address(text)
        return address is not None and any(
            address.version == network.version and address in network for network in self.networks
        )

    def client_of(self, peer: str, forwarded_for: Sequence[str]) -> str:
        """Give the client's address: the last in the chain that no trusted proxy vouches to be another's.

        Each proxy appends whom it heard; what stands before the last foreign address is the client's own
        claim. A link that is no address ends the chain at the proxy that reported it.

        Examples
        --------
        >>> proxies = TrustedProxies.parse("10.1.0.0/24")
        >>> proxies.client_of("10.1.0.7", ["6.6.6.6, 192.0.2.5, 10.1.0.8"])
        '192.0.2.5'
        >>> proxies.client_of("192.0.2.99", ["6.6.6.6"])
        '192.0.2.99'
        """
        client = peer
        if not self.has(peer):
            return client
        for link in reversed([part.strip() for line in forwarded_for for part in line.split(",")]):
            address = _address(link)
            if address is None:
                break
            client = str(address)
            if not self.has(client):
                break
        return client


def only_value(headers: Headers, name: str) -> str | None:
    """Give what a header says, None if it is absent or empty.

    Raises
    ------
    ContradictionError
        If it came more than once.

    Examples
    --------
    >>> only_value([(b"x-remote-user", b"li.na"), (b"host", b"a")], "X-Remote-User")
    'li.na'
    """
    wanted = name.lower().encode("latin-1")
    found = [value for header, value in headers if header.lower() == wanted]
    if len(found) > 1:
        raise ContradictionError(f"{name} came {len(found)} times: have the proxy replace it, not add to it.")
    text = found[0].decode("utf-8", "replace").strip() if found else ""
    return text or None


def _address(text: str) -> Address | None:
    """Read an address, with or without a port; one of IPv4 that is wrapped in IPv6 is unwrapped."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return plain_address(text)
    except ValueError:
        return None
