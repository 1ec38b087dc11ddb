"""Names that people give to things and to each other: what is shown must be there to be seen."""

import unicodedata

from serving.errors import Problem, ServiceError

# These two join letters or keep them apart in several scripts; all else of their kind hides or turns text.
_SHAPING = frozenset("\u200c\u200d")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def shown_name(given: str, *, of: str) -> str:
    """Give a name without the space around it; an empty one stays empty.

    Parameters
    ----------
    given : str
        What was typed.
    of : str
        Whose name it is, as the message says it: "a site".

    Raises
    ------
    ServiceError
        `INVALID_REQUEST` if it holds control characters or marks that turn the direction of writing, which
        can make one name look like another, or no letter and no digit.

    Examples
    --------
    >>> shown_name("  县医院 2 ", of="a site")
    '县医院 2'
    """
    name = given.strip()
    kinds = {letter: unicodedata.category(letter) for letter in name}
    if any(kind in _HIDDEN and letter not in _SHAPING for letter, kind in kinds.items()):
        raise ServiceError(
            Problem.INVALID_REQUEST,
            f"The name of {of} holds a character that cannot be seen (U+{_first_hidden(name):04X}): "
            "type it anew.",
        )
    if name and not any(kind[0] in "LN" for kind in kinds.values()):
        raise ServiceError(Problem.INVALID_REQUEST, f"The name of {of} holds no letter and no digit.")
    return name


def _first_hidden(name: str) -> int:
    return next(ord(one) for one in name if unicodedata.category(one) in _HIDDEN and one not in _SHAPING)
