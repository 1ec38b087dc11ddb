"""How often somebody may try: a few times at once, then ever more slowly, and nobody is kept out for good.

Tries are counted on what they are made on. An account's own count would let anyone lock a doctor out by
typing wrong passwords, so it only bites on browsers that the account was never signed in with; a known
browser has a count of its own, which nobody else can raise. No wait is longer than a quarter of an hour.

A try is counted before it is checked and taken back when it was right, so that many at the same moment are
not checked before the first is counted.

References
----------
.. [1] OWASP, "Device cookies": slowing down online guessing without locking users out.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from serving.identity.refused_sign_in import Reason, SignInRefusedError
from serving.network_addresses import customer_network
from serving.store.database import Database
from serving.store.second_factors import Failures, clear_failures, failures_of, forget_failures, set_failures
from serving.store.turns import take_turns_at

Thing: TypeAlias = tuple[str, str]

_US = 1_000_000
_KEPT_US = 86400 * _US


@dataclass(frozen=True, slots=True)
class Pace:
    """So many tries are free; the wait after the next is `first_s`, and doubles up to `most_s`."""

    n_free: int
    first_s: float = 5.0
    most_s: float = 900.0

    def wait_s(self, n_failures: int) -> float:
        """Give how long to wait after so many tries that went wrong.

        Examples
        --------
        >>> [Pace(5).wait_s(n) for n in (4, 5, 6, 7, 50)]
        [0.0, 5.0, 10.0, 20.0, 900.0]
        """
        if n_failures < self.n_free:
            return 0.0
        return min(self.first_s * 2.0 ** min(n_failures - self.n_free, 30), self.most_s)


# An address may be that of a whole hospital; an account that is tried from everywhere is under attack.
PACES: Final[Mapping[str, Pace]] = {
    "pair": Pace(5),
    "device": Pace(5),
    "account": Pace(20, most_s=300.0),
    "address": Pace(50),
    "factor": Pace(5),
    "present": Pace(5),
    "link": Pace(50),
}

FORGOTTEN_AFTER_S: Final = 3600.0


@dataclass(frozen=True)
class Tries:
    """Counts tries in the database, so that a restart or another process changes nothing."""

    database: Database

    def begin(self, things: Iterable[Thing], *, now_us: int) -> list[Thing]:
        """Count a try on some things; gives those that must wait from now on.

        Raises
        ------
        SignInRefusedError
            `BLOCKED` if one of them has to wait; then nothing is counted.
        """
        things = list(things)
        blocked: list[Thing] = []
        with self.database.writing() as connection:
            take_turns_at(connection, [f"tries {kind} {subject}" for kind, subject in things])
            forget_failures(connection, before_us=now_us - _KEPT_US)
            found = failures_of(connection, things)
            until_us = max((one.blocked_until_us for one in found.values()), default=0)
            # a clock that was set back must not keep anybody out for longer than the longest wait
            wait_s = min((until_us - now_us) / _US, max(PACES[kind].most_s for kind, _ in things))
            if wait_s > 0:
                raise SignInRefusedError(Reason.BLOCKED, seconds=max(1, round(wait_s)))
            for thing in things:
                before = found.get(thing)
                counted = _counted(thing, before, now_us)
                set_failures(connection, thing, counted)
                if counted.blocked_until_us > now_us:
                    blocked.append(thing)
        return blocked

    def take_back(self, things: Iterable[Thing], *, now_us: int) -> None:
        """Take back a try that turned out right, and all on the account; an address keeps the others."""
        with self.database.writing() as connection:
            for thing in things:
                if thing[0] not in {"address", "link"}:
                    clear_failures(connection, [thing])
                    continue
                found = failures_of(connection, [thing]).get(thing)
                if found is not None:
                    n_failures = max(0, found.n_failures - 1)
                    set_failures(connection, thing, Failures(n_failures, found.last_failed_at_us, now_us))


def tried_on(login_name: str, address: str | None, device: str | None) -> list[Thing]:
    """Give what a sign-in is counted on; names are kept as hashes, for people type passwords there too."""
    account, network = _hashed(login_name), network_of(address)
    if device is not None:
        return [("device", device)]
    return [("pair", _hashed(f"{account}|{network}")), ("account", account), ("address", network)]


def network_of(address: str | None) -> str:
    """Give what counts as one address: of IPv6 the 64 bits that a customer is given.

    Examples
    --------
    >>> network_of("2001:db8::1:2"), network_of("192.0.2.7"), network_of(None)
    ('2001:db8::/64', '192.0.2.7', 'unknown')
    """
    try:
        return customer_network(address or "")
    except ValueError:
        return "unknown" if address is None else _hashed(address)


def _counted(thing: Thing, before: Failures | None, now_us: int) -> Failures:
    is_fresh = before is None or now_us - before.last_failed_at_us > FORGOTTEN_AFTER_S * _US
    n_failures = 1 if is_fresh or before is None else before.n_failures + 1
    wait_us = round(PACES[thing[0]].wait_s(n_failures) * _US)
    return Failures(n_failures, now_us, now_us + wait_us)


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
