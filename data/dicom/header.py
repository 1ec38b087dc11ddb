"""Reads what a DICOM file says of itself, without its pixels."""

import math
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.multival import MultiValue

from data.dicom.charset import (
    ENCODED_VRS,
    SINGLE_VALUE_VRS,
    character_sets,
    decode_text,
    split_values,
)
from data.dicom.files import (
    MALFORMED,
    OpenedObject,
    PixelElement,
    malformed_is_corrupt,
    open_object,
    quiet,
)

_SPECIFIC_CHARACTER_SET = 0x00080005
_LONGEST_UID = 64
_UID_LETTERS = frozenset("0123456789.")
_AGE_UNIT_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}


@dataclass(frozen=True, slots=True)
class Header:
    """The elements of one file, their text decoded.

    Parameters
    ----------
    path : Path
        The file.
    dataset : pydicom.dataset.FileDataset
        Its elements up to the pixel data; text holds what was meant, the file keeps what was sent.
    transfer_syntax : str
        The UID declared, or the one recognised where none is declared.
    pixels : PixelElement or None
        Where the pixel data stand, None for an object without.
    """

    path: Path
    dataset: FileDataset
    transfer_syntax: str
    pixels: PixelElement | None

    def text(self, keyword: str) -> str:
        """Give an element's text, several values joined by a backslash, ``""`` if it is absent."""
        return text_of(self.dataset, keyword)

    def number(self, keyword: str) -> float | None:
        """Give an element's first number, None if it is absent or not a number."""
        numbers = numbers_of(self.dataset, keyword)
        return numbers[0] if numbers else None

    def numbers(self, keyword: str) -> tuple[float, ...]:
        """Give an element's numbers, none if it is absent or one of them is not a number."""
        return numbers_of(self.dataset, keyword)


def read_header(path: Path, *, character_set: str | None = None) -> Header:
    r"""Read a file's header; the pixels stay where they are.

    Parameters
    ----------
    path : Path
        The file; what it is called does not matter.
    character_set : str or None
        Terms of Specific Character Set (``"GBK"``, ``r"\ISO 2022 IR 58"``) that win over what the file
        declares, for senders whose label is known to be wrong.

    Raises
    ------
    ImageError
        If the file is missing, empty, not DICOM, or its header is broken or larger than the limits.
    """
    with open_object(path) as opened:
        return header_of(path, opened, character_set=character_set)


def header_of(path: Path, opened: OpenedObject, *, character_set: str | None = None) -> Header:
    """Decode the text of an opened object's header."""
    with malformed_is_corrupt(path):
        label = text_of(opened.dataset, "SpecificCharacterSet") if character_set is None else character_set
        decode_dataset(opened.dataset, label, character_set)
    return Header(path, opened.dataset, opened.transfer_syntax, opened.pixels)


def decode_dataset(dataset: Dataset, label: str, override: str | None = None) -> None:
    """Replace the raw text elements of `dataset` by decoded ones, within sequences if overridden.

    Without an override pydicom decodes the items of sequences when someone looks at them.
    """
    terms = character_sets(label)
    # items() gives elements as they were read; any other access would fetch long values from the file.
    raw_elements: list[tuple[int, object]] = list(dataset.items())
    for tag, element in raw_elements:
        vr = (element.VR if isinstance(element, RawDataElement | DataElement) else None) or _dictionary_vr(
            tag
        )
        if isinstance(element, RawDataElement) and vr in ENCODED_VRS and isinstance(element.value, bytes):
            is_single = vr in SINGLE_VALUE_VRS
            text = decode_text(element.value, terms, is_name=vr == "PN", is_single=is_single)
            values = (text,) if is_single else split_values(text)
            # A private element whose block has no readable owner stays as it was sent.
            with quiet(), suppress(*MALFORMED):
                dataset[tag] = DataElement(tag, vr, list(values) if len(values) > 1 else text)
        elif override is not None and vr == "SQ":
            for item in _items(dataset, tag):
                decode_dataset(item, label, override)


def _items(dataset: Dataset, tag: int) -> tuple[Dataset, ...]:
    try:
        with quiet():
            return tuple(dataset[tag].value or ())
    except MALFORMED:
        return ()


def _dictionary_vr(tag: int) -> str | None:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return None


def value_of(dataset: Dataset, keyword: str) -> object:
    """Give an element's value, None if it is absent, empty or cannot be converted."""
    if keyword not in dataset:
        return None
    try:
        with quiet():
            value: object = dataset.get(keyword)
    except MALFORMED:
        return None
    return None if isinstance(value, str | bytes | MultiValue) and not value else value


def text_of(dataset: Dataset, keyword: str) -> str:
    """Give an element's text, several values joined by a backslash, ``""`` if it is absent."""
    value = value_of(dataset, keyword)
    if value is None:
        # A value that pydicom cannot convert (a word in a decimal string) is text all the same.
        sent = _sent_value(dataset, keyword)
        return sent.decode("latin-1").strip("\x00 ") if isinstance(sent, bytes) else ""
    if isinstance(value, MultiValue | list | tuple):
        return "\\".join(str(part).strip("\x00 ") for part in value)
    return str(value).strip("\x00 ")


def _sent_value(dataset: Dataset, keyword: str) -> object:
    tag = tag_for_keyword(keyword)
    if tag is None or tag not in dataset:
        return None
    try:
        with quiet():
            raw: object = dataset.get_item(tag)
    except MALFORMED:
        return None
    return raw.value if isinstance(raw, RawDataElement) else None


def numbers_of(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """Give an element's numbers, none if it is absent or one of them is not a finite number."""
    value = value_of(dataset, keyword)
    parts = value if isinstance(value, MultiValue | list | tuple) else (value,)
    numbers: list[float] = []
    for part in parts:
        try:
            number = float(part)
        except (TypeError, ValueError, OverflowError):
            return ()
        if not math.isfinite(number):
            return ()
        numbers.append(number)
    return tuple(numbers)


def integer_of(dataset: Dataset, keyword: str) -> int | None:
    """Give an element's first whole number, None if it is absent or not one."""
    numbers = numbers_of(dataset, keyword)
    return int(numbers[0]) if numbers and numbers[0] == int(numbers[0]) else None


def items_of(dataset: Dataset, keyword: str) -> tuple[Dataset, ...]:
    """Give a sequence's items, none if it is absent or cannot be read."""
    tag = tag_for_keyword(keyword)
    return _items(dataset, tag) if tag is not None and tag in dataset else ()


def functional_groups(dataset: Dataset, index: int) -> Iterator[Dataset]:
    """Yield the functional groups of a frame of an enhanced object: its own, then the shared ones."""
    own = items_of(dataset, "PerFrameFunctionalGroupsSequence")
    if index < len(own):
        yield own[index]
    yield from items_of(dataset, "SharedFunctionalGroupsSequence")


def datetime_of(dataset: Dataset, date: str, time: str) -> datetime | None:
    """Join a date and a time element; without a zone in the file the value has none either."""
    day = re.fullmatch(r"(\d{4})[.\-]?(\d\d)[.\-]?(\d\d)", text_of(dataset, date))
    if day is None:
        return None
    clock = re.match(r"(\d\d)(?::?(\d\d)(?::?(\d\d))?)?", text_of(dataset, time))
    hour, minute, second = (int(part or 0) for part in clock.groups()) if clock else (0, 0, 0)
    zone = re.fullmatch(r"([+-]\d\d)(\d\d)", text_of(dataset, "TimezoneOffsetFromUTC"))
    offset = f"{zone[1]}:{zone[2]}" if zone else ""
    try:
        return datetime.fromisoformat(
            f"{day[1]}-{day[2]}-{day[3]}T{hour:02}:{minute:02}:{min(second, 59):02}{offset}"
        )
    except ValueError:
        return None


def age_years_of(dataset: Dataset) -> float | None:
    """Give the patient's age in years: as stated, else from the dates of birth and study.

    Examples
    --------
    >>> dataset = Dataset()
    >>> dataset.PatientBirthDate, dataset.StudyDate = "19600214", "20240213"
    >>> age_years_of(dataset)
    63.0
    """
    stated = re.fullmatch(r"(\d{1,3})([DWMY])", text_of(dataset, "PatientAge").upper())
    if stated:
        age = int(stated[1]) * _AGE_UNIT_YEARS[stated[2]]
        return age if age <= 130 else None
    born = datetime_of(dataset, "PatientBirthDate", "PatientBirthTime")
    seen = datetime_of(dataset, "StudyDate", "PatientBirthTime")
    if born is None or seen is None:
        return None
    years = seen.year - born.year - ((seen.month, seen.day) < (born.month, born.day))
    return float(years) if 0 <= years <= 130 else None


def has_letters_of_uid(text: str) -> bool:
    """Whether a text could be a UID by its length and letters (PS3.5 9.1): if not, it may be a name.

    Examples
    --------
    >>> has_letters_of_uid("1.2.840.10008.1.1"), has_letters_of_uid("Wang^Fang")
    (True, False)
    """
    return len(text) <= _LONGEST_UID and set(text) <= _UID_LETTERS
