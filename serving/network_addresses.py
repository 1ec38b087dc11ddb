"""Addresses of the network as they are compared: one of IPv4 in IPv6 is that of IPv4."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network


def plain_address(text: str) -> IPv4Address | IPv6Address:
    """Read an address; one of IPv4 that is wrapped in IPv6 is unwrapped.

    Raises
    ------
    ValueError
        If it is none.

    Examples
    --------
    >>> str(plain_address("::ffff:192.0.2.7")), str(plain_address("fe80::1"))
    ('192.0.2.7', 'fe80::1')
    """
    address = ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def customer_network(text: str) -> str:
    """Give what counts as one address: of IPv6 the 64 bits that a customer is given.

    Raises
    ------
    ValueError
        If it is no address.

    Examples
    --------
    >>> customer_network("2001:db8::1:2:3:4"), customer_network("192.0.2.7")
    ('2001:db8::/64', '192.0.2.7')
    """
    address = plain_address(text)
    return str(ip_network((address, 64), strict=False) if isinstance(address, IPv6Address) else address)
