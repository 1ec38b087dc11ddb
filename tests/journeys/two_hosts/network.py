"""Hosts on one wire: network namespaces on a bridge, each of which can be unplugged.

An unplugged host's packets vanish without a word, as behind a switch that lost its power: nobody's connection
is refused or reset.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

BRIDGE = "frbridge"
NETWORK = "10.77.9"
# The machine itself stands on the bridge, too: it is the third host, with sender and object store.
HERE = f"{NETWORK}.254"


@dataclass(frozen=True, slots=True)
class Host:
    """A namespace with one address."""

    name: str
    address: str

    def command(self, *words: str) -> list[str]:
        """Give the command that runs another one on this host."""
        return ["ip", "netns", "exec", f"fr-{self.name}", *words]

    def unplug(self) -> None:
        """Let its packets vanish, both ways."""
        _ip("link", "set", f"fr-{self.name}", "down")

    def plug_in(self) -> None:
        """Let them through again."""
        _ip("link", "set", f"fr-{self.name}", "up")


@contextmanager
def network(*names: str) -> Iterator[list[Host]]:
    """Make hosts on one wire, and take them away again; needs root and iproute2."""
    hosts = [Host(name, f"{NETWORK}.{number}") for number, name in enumerate(names, start=1)]
    try:
        _ip("link", "add", BRIDGE, "type", "bridge")
        _ip("addr", "add", f"{HERE}/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        for host in hosts:
            _add(host)
        yield hosts
    finally:
        for host in hosts:
            _ip("netns", "del", f"fr-{host.name}", is_needed=False)
            _ip("link", "del", f"fr-{host.name}", is_needed=False)
        _ip("link", "del", BRIDGE, is_needed=False)


def _add(host: Host) -> None:
    space, ours, theirs = f"fr-{host.name}", f"fr-{host.name}", f"frn-{host.name}"
    _ip("netns", "add", space)
    _ip("link", "add", ours, "type", "veth", "peer", "name", theirs)
    _ip("link", "set", theirs, "netns", space)
    _ip("link", "set", ours, "master", BRIDGE)
    _ip("link", "set", ours, "up")
    _ip("-n", space, "addr", "add", f"{host.address}/24", "dev", theirs)
    _ip("-n", space, "link", "set", theirs, "up")
    _ip("-n", space, "link", "set", "lo", "up")


def _ip(*words: str, is_needed: bool = True) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if is_needed and done.returncode != 0:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()} (it takes root and iproute2)")
