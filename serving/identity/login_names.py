"""The one form in which login names are kept and compared."""

import re
import unicodedata

from serving.identity.refused_sign_in import Reason, SignInRefusedError

_NAME = re.compile(r"[\w.@-]{2,64}")


def login_name(typed: str) -> str:
    """Bring what was typed into the form in which names are compared.

    Examples
    --------
    >>> login_name(" Wang.Fang ")
    'wang.fang'
    """
    return unicodedata.normalize("NFKC", typed).strip().casefold()


def new_login_name(typed: str) -> str:
    """Give the name of a new account.

    Raises
    ------
    SignInRefusedError
        `NAME_INVALID` if it holds anything but letters, digits, and ``. _ - @``.
    """
    name = login_name(typed)
    if _NAME.fullmatch(name) is None:
        raise SignInRefusedError(Reason.NAME_INVALID)
    return name
