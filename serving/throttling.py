"""Keeps one sender from taking the service from all others: so many requests a second, some more in a burst.

A token bucket for each address, and one for each account, in this process alone. Programs on this machine
are not limited: a proxy here speaks for others, whose addresses it tells (FIRSTREAD_TRUSTED_PROXIES).
"""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.errors import STATUS_OF_PROBLEM, Problem, ServiceError
from serving.identity.caller import SignedInBy, acting_caller
from serving.network_addresses import customer_network
from serving.problems import document

# Of 200 bytes each. One that is pushed out begins anew, full; to profit, a sender needs as many addresses.
_MOST_KEYS = 20_000


class Buckets:
    """Holds for each key how many requests it may make now.

    Parameters
    ----------
    per_s : float, 1/s
        Each key's rate; 0 lets everything pass.
    burst : float
        How many may come at once.
    clock : callable
        Gives seconds that only grow.

    Examples
    --------
    >>> buckets = Buckets(per_s=2.0, burst=2, clock=lambda: 0.0)
    >>> [buckets.wait_s("a"), buckets.wait_s("a"), buckets.wait_s("a"), buckets.wait_s("b")]
    [0.0, 0.0, 0.5, 0.0]
    """

    def __init__(self, *, per_s: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._turn = threading.Lock()
        self._filled: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, at which moment

    def wait_s(self, key: str) -> float:
        """Take a token of a key, 0.0; or leave all as it is and give the seconds until there is one."""
        if self._per_s <= 0:
            return 0.0
        with self._turn:
            now_s = self._clock()
            tokens, at_s = self._filled.pop(key, (self._burst, now_s))
            tokens = min(self._burst, tokens + (now_s - at_s) * self._per_s)
            missing = max(0.0, 1.0 - tokens)
            self._filled[key] = (tokens if missing else tokens - 1.0, now_s)
            while len(self._filled) > _MOST_KEYS:
                self._filled.popitem(last=False)
        return missing / self._per_s


class Throttle:
    """Wraps an application; see the module's text."""

    def __init__(self, app: ASGIApp, buckets: Buckets) -> None:
        self._app = app
        self._buckets = buckets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        key = key_of_address(scope["client"][0]) if scope["type"] == "http" and scope.get("client") else None
        wait_s = 0.0 if key is None else self._buckets.wait_s(key)
        if not wait_s:
            await self._app(scope, receive, send)
            return
        answer = document(
            Request(scope),
            Problem.TOO_MANY_REQUESTS,
            STATUS_OF_PROBLEM[Problem.TOO_MANY_REQUESTS],
            "Too many requests came from this address: wait as long as Retry-After says; whoever sends many "
            "images sends more of them in one request.",
        )
        answer.headers["Retry-After"] = str(math.ceil(wait_s))
        await answer(scope, receive, send)


def refuse_too_many(buckets: Buckets) -> Callable[[Request], Awaitable[None]]:
    """Make the check that an account does not ask too often; it runs once the caller is known."""

    async def refuse(request: Request) -> None:
        caller = acting_caller(request)
        if caller.signed_in_by is SignedInBy.NOTHING and caller.user is None:
            return  # nobody in particular: the address counts
        wait_s = buckets.wait_s(caller.user or f"{caller.signed_in_by}:{caller.who.name}")
        if wait_s:
            raise ServiceError(
                Problem.TOO_MANY_REQUESTS,
                "Too many requests came under this account: wait as long as Retry-After says.",
                headers={"Retry-After": str(math.ceil(wait_s))},
            )

    return refuse


def key_of_address(address: str) -> str | None:
    """Give whose bucket an address shares, None for this machine's own.

    Whoever has one address of IPv6 has the 2^64 of its network.

    Examples
    --------
    >>> key_of_address("192.0.2.7"), key_of_address("2001:db8::1:2:3:4"), key_of_address("127.0.0.1")
    ('192.0.2.7', '2001:db8::/64', None)
    """
    try:
        return None if ip_address(address).is_loopback else customer_network(address)
    except ValueError:
        return address  # a Unix socket's, or a test's
