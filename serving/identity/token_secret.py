"""The secret of an API token: made once, shown once, kept as its hash, and told from any other text.

A secret is ``firstread_``, 40 random letters and digits (238 bits) and six that check them. The beginning
and the check let a scanner find a secret in code or a log without asking us; they also let us refuse a
mistyped one without asking the database. A plain SHA-256 is enough for what nobody can guess: a slow hash
guards passwords, which people choose.

References
----------
The form is that of GitHub's tokens, https://github.blog/engineering/behind-githubs-new-authentication-token-formats/.
"""

import hashlib
import re
import secrets
import string
import zlib
from typing import Final

PREFIX: Final = "firstread_"

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_N_RANDOM = 40
_N_CHECKED = 6

# For the rules of a secret scanner, and for our own log (a secret must never stand in it).
PATTERN: Final = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_N_RANDOM + _N_CHECKED}}}")


def new_secret() -> str:
    """Make a secret.

    Examples
    --------
    >>> is_well_formed(new_secret())
    True
    """
    random_part = "".join(secrets.choice(_ALPHABET) for _ in range(_N_RANDOM))
    return PREFIX + random_part + _check_of(random_part)


def is_well_formed(text: str) -> bool:
    """Whether a text can be one of our secrets: its form and its check agree.

    Examples
    --------
    >>> is_well_formed("firstread_" + "a" * 40 + "3gcfED"), is_well_formed("firstread_" + "a" * 46)
    (True, False)
    """
    if PATTERN.fullmatch(text) is None:
        return False
    body = text.removeprefix(PREFIX)
    return secrets.compare_digest(_check_of(body[:_N_RANDOM]), body[_N_RANDOM:])


def hash_of(secret: str) -> str:
    """Give what is kept of a secret: its SHA-256 in hexadecimal digits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _check_of(random_part: str) -> str:
    number = zlib.crc32(random_part.encode("ascii"))
    digits = ""
    while number:
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits.rjust(_N_CHECKED, _ALPHABET[0])
