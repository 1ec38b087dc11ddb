"""Passwords as argon2id, a few at a time: a flood of sign-ins waits or is sent away, and eats no memory.

References
----------
.. [1] RFC 9106, 4: the second recommended option, 64 MiB, three passes, four lanes.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Final

from serving.identity.password_rules import LONGEST, normalised
from serving.identity.refused_sign_in import Reason, SignInRefusedError

if TYPE_CHECKING:  # loaded when the first password comes
    import argon2

# Two at a time are 128 MiB; who waits holds one of the threads that answer requests, so few may.
AT_ONCE: Final = 2
WAITING: Final = 8
_SECONDS_OF_PATIENCE = 10.0

# The hash of 256 random bits that nobody knows, by the parameters of today: what a name that nobody has is
# checked against, so that the answer takes as long as for one that somebody has.
NOBODY: Final = (
    "$argon2id$v=19$m=65536,t=3,p=4$pcG3hWhpyW2yvtD4nv+NLg$l1CWEvGUdb925cj50V+E+ckug+5jUqaJCs1RF4rtlBk"
)


class PasswordHashing:
    """Makes and checks hashes; shared by all who sign in, for it counts them."""

    def __init__(
        self, *, at_once: int = AT_ONCE, waiting: int = WAITING, patience_s: float = _SECONDS_OF_PATIENCE
    ) -> None:
        self._turns = threading.BoundedSemaphore(at_once)
        self._places = threading.BoundedSemaphore(at_once + waiting)
        self._patience_s = patience_s

    @cached_property
    def _hasher(self) -> "argon2.PasswordHasher":
        import argon2  # noqa: PLC0415 - a service without sign-in never needs it

        return argon2.PasswordHasher.from_parameters(argon2.profiles.RFC_9106_LOW_MEMORY)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn; whoever checks or makes a hash holds one.

        Raises
        ------
        SignInRefusedError
            `BUSY` if too many wait already, or it took too long.
        """
        if not self._places.acquire(blocking=False):
            raise SignInRefusedError(Reason.BUSY, seconds=5)
        try:
            if not self._turns.acquire(timeout=self._patience_s):
                raise SignInRefusedError(Reason.BUSY, seconds=5)
            try:
                yield
            finally:
                self._turns.release()
        finally:
            self._places.release()

    def hash(self, password: str) -> str:
        """Give the hash to keep."""
        return self._hasher.hash(_bytes(password))

    def is_right(self, stored: str | None, password: str) -> bool:
        """Whether a password is that of a hash; None takes as long as any, and is never right."""
        import argon2  # noqa: PLC0415 - see above

        if len(password) > LONGEST:  # no password that was taken is longer
            password = ""
        try:
            self._hasher.verify(stored or NOBODY, _bytes(password))
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False
        return stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Whether a hash was made by other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)


def _bytes(password: str) -> bytes:
    return normalised(password).encode("utf-8", "surrogatepass")
