"""What the standard has done with each attribute of a data set that is to lose its patient.

The table itself is data (``confidentiality.toml``). Where it offers a choice that depends on the kind of
object (``X/Z/D``), what is chosen here suits them all: an attribute that may be required stays, with a value
that says nothing.

References
----------
PS3.15 E.1.1 (actions), Table E.1-1 (attributes), E.3.4 (Clean Descriptors), E.3.6 (Retain Longitudinal
Temporal Information with Modified Dates), Table E.3.10-1 (safe private attributes).
"""

import tomllib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword

_TEMPORAL_VRS = frozenset({"DA", "DT", "TM"})
# Dates of birth are no part of the option "modified dates": they are emptied or removed.
_NEVER_SHIFTED = ("PatientBirthDate", "PatientBirthTime")


class Action(StrEnum):
    """What happens to an attribute (PS3.15 E.1.1)."""

    REMOVE = "X"
    EMPTY = "Z"
    REPLACE = "D"
    MAP_UID = "U"
    SHIFT = "C, dates"
    CLEAN = "C, descriptions"
    CLEAN_CODES = "C, codes"
    PROVE = "not listed"


_CHOSEN = {
    "X": Action.REMOVE,
    "Z": Action.EMPTY,
    "D": Action.REPLACE,
    "U": Action.MAP_UID,
    "X/Z": Action.EMPTY,
    "X/D": Action.REPLACE,
    "Z/D": Action.REPLACE,
    "X/Z/D": Action.REPLACE,
    # A reference to an image stays one: its items are cleaned like the rest and their UIDs mapped.
    "X/Z/U*": Action.PROVE,
}


@dataclass(frozen=True, slots=True)
class SafePrivate:
    """The attributes of one private creator that may stay: the last byte of the element, and its VR."""

    group: int
    vr_of_element: dict[int, str]


def action_of(tag: int) -> Action:
    """Say what happens to a standard attribute; one that is not listed must prove itself by its value.

    Examples
    --------
    >>> str(action_of(0x00100010)), str(action_of(0x00080020)), str(action_of(0x00280010))
    ('Z', 'C, dates', 'not listed')
    """
    # A file's meta information and commands are made anew or gone; curves and overlays go whole.
    if tag >> 16 < 0x0008 or tag >> 24 in {0x50, 0x60} or tag & 0xFFFF == 0:
        return Action.REMOVE
    return _actions().get(tag, Action.PROVE)


def safe_private_of(creator: str) -> SafePrivate | None:
    """Give what may stay of a private creator's block, None if nothing may."""
    return _safe_private().get(creator)


@cache
def _table() -> dict[str, Any]:
    text = resources.files("data.dicom").joinpath("confidentiality.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@cache
def _actions() -> dict[int, Action]:
    table = _table()
    actions: dict[int, Action] = {}
    for code, action in _CHOSEN.items():
        for name in table[code].split():
            tag = _tag(name)
            is_temporal = action is not Action.PROVE and _vr(tag) in _TEMPORAL_VRS
            shifts = is_temporal and name not in _NEVER_SHIFTED
            actions[tag] = Action.SHIFT if shifts else action
    actions.update(dict.fromkeys((_tag(name) for name in table["clean"].split()), Action.CLEAN))
    actions.update(dict.fromkeys((_tag(name) for name in table["clean_codes"].split()), Action.CLEAN_CODES))
    return actions


@cache
def _safe_private() -> dict[str, SafePrivate]:
    return {
        creator: SafePrivate(
            block["group"], {int(element, 16): vr for element, vr in block["elements"].items()}
        )
        for creator, block in _table()["safe_private"].items()
    }


def _tag(name: str) -> int:
    tag = tag_for_keyword(name)
    return int(name, 16) if tag is None else tag


def _vr(tag: int) -> str:
    try:
        return str(dictionary_VR(tag))
    except KeyError:
        return ""
