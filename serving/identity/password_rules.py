"""Which passwords are taken: long enough and not among those that are tried first; nothing is prescribed.

References
----------
.. [1] NIST SP 800-63B-4 (2025), 3.1.1.2: at least 15 characters where a password stands alone, 8 beside a
   second factor; at least 64 allowed; no rules of composition, no change by the calendar; compared against a
   list of common ones; Unicode normalised.
"""

import unicodedata
from collections.abc import Collection
from functools import cache
from itertools import pairwise
from pathlib import Path

from serving.identity.refused_sign_in import Reason, SignInRefusedError

SHORTEST_ALONE = 15
SHORTEST_BESIDE_A_SECOND_FACTOR = 8
LONGEST = 256

_COMMON = Path(__file__).with_name("common_passwords.txt")
_SHORTEST_PERSONAL = 4


def normalised(password: str) -> str:
    """Give the form in which a password is hashed, so that it is the same from every keyboard."""
    return unicodedata.normalize("NFKC", password)


def check_password(password: str, *, names: Collection[str], has_second_factor: bool) -> None:
    """Refuse a new password that would not hold.

    Raises
    ------
    SignInRefusedError
        Says what is wrong with it.

    Examples
    --------
    >>> check_password("correct horse battery", names=["wang"], has_second_factor=False)
    """
    text = normalised(password)
    shortest = shortest_password(has_second_factor=has_second_factor)
    if len(text) < shortest:
        raise SignInRefusedError(Reason.PASSWORD_SHORT, characters=shortest)
    if len(text) > LONGEST:
        raise SignInRefusedError(Reason.PASSWORD_LONG)
    plain = text.casefold()
    if _unit(plain) in _common() or len(_unit(plain)) <= 3 or _is_run(plain):
        raise SignInRefusedError(Reason.PASSWORD_COMMON)
    rest = plain
    for name in sorted(
        {part for one in names for part in _parts(one)} | {"firstread"}, key=len, reverse=True
    ):
        rest = rest.replace(name, "")
    if len(rest) < SHORTEST_BESIDE_A_SECOND_FACTOR // 2:
        raise SignInRefusedError(Reason.PASSWORD_PERSONAL)


def shortest_password(*, has_second_factor: bool) -> int:
    """Give the least number of characters."""
    return SHORTEST_BESIDE_A_SECOND_FACTOR if has_second_factor else SHORTEST_ALONE


def _parts(name: str) -> list[str]:
    whole = normalised(name).casefold()
    return [part for part in {whole, *whole.replace(".", " ").split()} if len(part) >= _SHORTEST_PERSONAL]


def _unit(text: str) -> str:
    """Give what a text repeats: ``passwordpassword`` says no more than ``password``."""
    at = (text + text).find(text, 1)
    return text[:at]


def _is_run(text: str) -> bool:
    steps = {ord(after) - ord(before) for before, after in pairwise(text)}
    # 0 follows 9 on the keyboard
    return steps <= {1, -9} or steps <= {-1, 9}


@cache
def _common() -> frozenset[str]:
    lines = _COMMON.read_text(encoding="utf-8").splitlines()
    return frozenset(line.strip() for line in lines if line and not line.startswith("#"))
