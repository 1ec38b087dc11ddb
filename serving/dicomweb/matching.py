"""Reads a search's parameters: what must match and how, what is to be returned, which page.

References
----------
PS3.18 8.3.4 (query parameters), PS3.4 C.2.2.2 (matching), PS3.18 10.6.1 (search transaction).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pydicom.datadict import keyword_for_tag, tag_for_keyword

from serving.errors import Problem, ServiceError
from serving.store.search import Condition, Key, Page

DEFAULT_LIMIT: Final = 100
LARGEST_LIMIT: Final = 1000
LARGEST_OFFSET: Final = 100_000
_MOST_VALUES = 200

NOT_FUZZY: Final = "The fuzzymatching parameter is not supported. Only literal matching has been performed."
MORE: Final = "There are additional results that can be requested."

# What can be searched by, by its keyword in DICOM.
KEY_OF: Final[Mapping[str, Key]] = {
    "StudyInstanceUID": Key.STUDY_UID,
    "PatientID": Key.PATIENT,
    "IssuerOfPatientID": Key.ISSUER,
    "PatientName": Key.PATIENT_NAME,
    "PatientBirthDate": Key.BIRTH_DATE,
    "PatientSex": Key.SEX,
    "StudyDate": Key.STUDY_DATE,
    "StudyTime": Key.STUDY_TIME,
    "AccessionNumber": Key.ACCESSION,
    "StudyID": Key.STUDY_ID,
    "StudyDescription": Key.STUDY_DESCRIPTION,
    "ReferringPhysicianName": Key.REFERRING_PHYSICIAN,
    "ModalitiesInStudy": Key.MODALITIES,
    "SeriesInstanceUID": Key.SERIES_UID,
    "Modality": Key.MODALITY,
    "SeriesNumber": Key.SERIES_NUMBER,
    "SeriesDescription": Key.SERIES_DESCRIPTION,
    "BodyPartExamined": Key.BODY_PART,
    "SOPClassUID": Key.SOP_CLASS,
    "SOPInstanceUID": Key.SOP_INSTANCE_UID,
    "InstanceNumber": Key.INSTANCE_NUMBER,
}
_UIDS = frozenset({Key.STUDY_UID, Key.SERIES_UID, Key.SOP_CLASS, Key.SOP_INSTANCE_UID})
_NUMBERS = frozenset({Key.SERIES_NUMBER, Key.INSTANCE_NUMBER})
_DATES = frozenset({Key.STUDY_DATE, Key.BIRTH_DATE})
_TIME = re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?")


@dataclass(frozen=True, slots=True)
class Search:
    """What is asked for; `included` are tags beyond those always returned, None for all there are."""

    conditions: tuple[Condition, ...]
    page: Page
    included: frozenset[str] | None
    warnings: tuple[str, ...]


def read_search(parameters: Iterable[tuple[str, str]], *, keys: Iterable[Key]) -> Search:
    """Read the query of a search.

    Parameters
    ----------
    parameters : iterable of (str, str)
        Names and values in their order.
    keys : iterable of Key
        What this resource can be searched by.

    Raises
    ------
    ServiceError
        `BAD_PARAMETER` if a parameter cannot be followed: to leave it out would give more than was asked for.
    """
    allowed = frozenset(keys)
    conditions: list[Condition] = []
    included: set[str] | None = set()
    limit, offset, warnings = DEFAULT_LIMIT, 0, []
    for name, value in parameters:
        if name == "includefield":
            fields = _included(value)
            included = None if fields is None or included is None else included | fields
        elif name == "limit":
            limit = min(_whole(name, value), LARGEST_LIMIT)
        elif name == "offset":
            offset = _whole(name, value)
        elif name == "fuzzymatching":
            if value.lower() not in {"true", "false"}:
                raise _bad(name, "it is true or false")
            warnings += [NOT_FUZZY] if value.lower() == "true" else []
        elif name != "accept":
            key = _key_of(name, allowed)
            if value:  # an empty one matches everything and asks for the attribute, which is returned anyway
                conditions.append(_condition(name, key, value))
    if offset > LARGEST_OFFSET:
        raise _bad("offset", f"it is at most {LARGEST_OFFSET:,}; narrow the search by StudyDate instead")
    return Search(
        tuple(conditions),
        Page(limit, offset),
        None if included is None else frozenset(included),
        tuple(warnings),
    )


def tag_of(name: str) -> str | None:
    """Give the tag that a keyword or eight digits name, None if there is no such element.

    Examples
    --------
    >>> tag_of("PatientName"), tag_of("00100010"), tag_of("Patient")
    ('00100010', '00100010', None)
    """
    if re.fullmatch(r"[0-9A-Fa-f]{8}", name):
        return name.upper()
    number = tag_for_keyword(name)
    return None if number is None else f"{number:08X}"


def _key_of(name: str, allowed: frozenset[Key]) -> Key:
    if "." in name:
        raise _bad(name, "elements within sequences are not searched")
    tag = tag_of(name)
    keyword = "" if tag is None else keyword_for_tag(int(tag, 16))
    key = KEY_OF.get(keyword)
    if key is None or key not in allowed:
        known = ", ".join(keyword for keyword, key in KEY_OF.items() if key in allowed)
        raise _bad(name, f"this is searched by {known}, includefield, limit, offset and fuzzymatching")
    return key


def _included(value: str) -> set[str] | None:
    fields = [field.strip() for field in value.split(",") if field.strip()]
    if "all" in fields:
        return None
    if nested := next((field for field in fields if "." in field), None):
        raise _bad("includefield", f"{nested} lies within a sequence, of which none is returned")
    tags = {field: tag_of(field) for field in fields}
    if unknown := [field for field, tag in tags.items() if tag is None]:
        raise _bad("includefield", f"{unknown[0]!r} is no element of DICOM")
    return {tag for tag in tags.values() if tag is not None}


def _condition(name: str, key: Key, value: str) -> Condition:
    if len(value) > 10_000:
        raise _bad(name, "it is too long")
    if key in _UIDS:
        uids = [uid for uid in re.split(r"[,\\]", value) if uid]
        if not uids or len(uids) > _MOST_VALUES:
            raise _bad(name, f"it is 1 to {_MOST_VALUES} UIDs")
        return Condition(key, values=tuple(uids))
    if key in _NUMBERS:
        return Condition(key, values=(_number(name, value),))
    if key in _DATES:
        return _range(name, key, value, _date, "")
    if key is Key.STUDY_TIME:
        return _range(name, key, value, _time, "~")
    return _text(name, key, value)


def _text(name: str, key: Key, value: str) -> Condition:
    text = value.rstrip("^").casefold() if key is Key.PATIENT_NAME else value
    if key is Key.PATIENT_NAME and "=" in text:
        raise _bad(name, "search by one form of the name; each of the three is compared")
    if "*" in text or "?" in text:
        return Condition(key, pattern=re.sub(r"\*+", "*", text))
    if key in {Key.MODALITIES, Key.MODALITY}:
        return Condition(key, values=tuple(re.split(r"[,\\]", text)[:_MOST_VALUES]))
    return Condition(key, values=(text,))


def _range(name: str, key: Key, value: str, read: Callable[[str, str], str], behind: str) -> Condition:
    first, hyphen, last = value.partition("-")
    if not (first or last):
        raise _bad(name, "it is a value, from-, -to or from-to")
    last = last if hyphen else first
    low = read(name, first) if first else None
    high = f"{read(name, last)}{behind}" if last else None
    return Condition(key, low=low, high=high)


def _date(name: str, text: str) -> str:
    if not re.fullmatch(r"\d{8}", text):
        raise _bad(name, f"{text!r} is no date as DICOM writes it (20240213)")
    return text


def _time(name: str, text: str) -> str:
    if not _TIME.fullmatch(text):
        raise _bad(name, f"{text!r} is no time as DICOM writes it (101530)")
    return text


def _number(name: str, value: str) -> int:
    if not re.fullmatch(r"[+-]?\d{1,10}", value) or abs(int(value)) >= 2**31:
        raise _bad(name, f"{value!r} is no number")
    return int(value)


def _whole(name: str, value: str) -> int:
    if not re.fullmatch(r"\d{1,9}", value):
        raise _bad(name, f"{value!r} is no whole number from 0")
    return int(value)


def _bad(name: str, problem: str) -> ServiceError:
    return ServiceError(Problem.BAD_PARAMETER, f"The parameter {name!r} cannot be followed: {problem}.")
