"""Tells a text that speaks of an examination alone from one that may speak of a person.

A text is harmless if every word of it stands in ``vocabulary.toml``, or is a number of at most two digits,
or of four with a unit. Nothing is guessed: a name, a place or an identifier that nobody thought of is an
unknown word, so the whole text goes.
"""

import re
import tomllib
from enum import StrEnum
from functools import cache
from importlib import resources

_WORD = re.compile(r"[A-Za-z0-9]+")
_SPACE = re.compile(r"[\s,;:./_+*()\[\]<>=&%'\"#\\-]*")
# 10mm, 120kv and t2 are words; 3 digits are too few for an identifier only where a unit follows.
_NUMBER = re.compile(r"\d{1,2}|\d{1,4}(mm|cm|kv|kvp|ma|mas|ms|s|sec|ml|hu|deg)")
_MAX_LENGTH = 256
_MAX_NUMBERS = 3


class Speech(StrEnum):
    """Where a text stands, which says what words are expected there."""

    FREE = "free"
    CODED = "terms"
    MAKER = "makers"


def is_harmless(text: str, speech: Speech = Speech.FREE) -> bool:
    """Whether a text consists of known words and small numbers, three numbers at most.

    Examples
    --------
    >>> is_harmless("CT CHEST W/O CONTRAST 5mm"), is_harmless("Chest of Mr. Wang"), is_harmless("19 73 04 12")
    (True, False, False)
    """
    if len(text) > _MAX_LENGTH or _SPACE.fullmatch(_WORD.sub("", text)) is None:
        return False
    known = _words(speech)
    n_numbers = 0
    for word in _WORD.findall(text.lower()):
        if word in known:
            continue
        if _NUMBER.fullmatch(word) is None:
            return False
        n_numbers += 1
    return n_numbers <= _MAX_NUMBERS


@cache
def _words(speech: Speech) -> frozenset[str]:
    text = resources.files("data.dicom").joinpath("vocabulary.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    left_out = {Speech.CODED.value, Speech.MAKER.value} - {speech.value}
    words = " ".join(table[group] for group in table if group not in left_out).lower().split()
    return frozenset(part for word in words for part in word.split("_"))
