"""Turns data elements into the DICOM JSON Model, whatever their file's character set and byte order.

Text becomes what was meant (:mod:`data.dicom.charset`), so a file's Specific Character Set is replaced by
UTF-8's. Long binary values are not copied: a URI says where they can be had. A value that cannot be
converted is given as its text where the model allows that, and left out otherwise; nothing is invented.

References
----------
PS3.18 F (DICOM JSON Model), PS3.5 6.2 (value representations).
"""

import base64
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from pydicom.datadict import dictionary_VR, private_dictionary_VR
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from data.dicom.files import DEFER_BYTES, MALFORMED, OpenedObject, quiet
from data.dicom.header import decode_dataset, text_of

Attribute: TypeAlias = dict[str, object]
JsonDataset: TypeAlias = dict[str, Attribute]
BulkUri: TypeAlias = Callable[[str], str]
"""Gives the URI of a value by its path: tags and item numbers, ``00081140/0/00101010``."""

# Binary values up to this stand in the model itself; longer ones behind a URI.
MAX_INLINE_BYTES = 1024

SPECIFIC_CHARACTER_SET = 0x00080005
UTF_8 = "ISO_IR 192"
BINARY_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_WORD_BYTES = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
_INTEGER_VRS = frozenset({"SL", "SS", "SV", "UL", "US", "UV"})
_NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
# A decimal string as JSON's number; others (".5" among them) go through a float.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_MAX_DEPTH = 32


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an element stands: what its values and those below inherit."""

    bulk_uri: BulkUri
    label: str
    is_little_endian: bool
    is_signed: bool
    path: str = ""
    depth: int = 0


def json_of_object(opened: OpenedObject, *, bulk_uri: BulkUri) -> JsonDataset:
    """Give a whole object, its pixel data behind a URI; file meta information is left out (PS3.18 F.2).

    Parameters
    ----------
    opened : OpenedObject
        A parsed header.
    bulk_uri : callable
        Gives the URI of a long value by its path.
    """
    label = text_of(opened.dataset, "SpecificCharacterSet")
    model = json_of(opened.dataset, label=label, bulk_uri=bulk_uri, is_little_endian=opened.is_little_endian)
    if opened.pixels is not None:
        tag = f"{opened.pixels.tag:08X}"
        vr = opened.pixels.vr or "OW"
        model[tag] = {"vr": vr, "BulkDataURI": bulk_uri(tag)}
    return model


def json_of(
    dataset: Dataset, *, label: str = "", bulk_uri: BulkUri, is_little_endian: bool = True
) -> JsonDataset:
    r"""Give the elements of a data set, in the order of their tags.

    Parameters
    ----------
    dataset : Dataset
        Its text is decoded in place where that was not done.
    label : str
        The Specific Character Set that it stands under (``r"\ISO 2022 IR 58"``).
    bulk_uri : callable
        Gives the URI of a long value by its path.
    is_little_endian : bool
        The byte order of its binary values; those of the model are little endian.

    Examples
    --------
    >>> dataset = Dataset()
    >>> dataset.PatientName, dataset.Rows = "Wang=王", 512
    >>> json_of(dataset, bulk_uri=str)
    {'00100010': {'vr': 'PN', 'Value': [{'Alphabetic': 'Wang', 'Ideographic': '王'}]},
     '00280010': {'vr': 'US', 'Value': [512]}}
    """
    is_signed = text_of(dataset, "PixelRepresentation") == "1"
    return _json_of(dataset, _Place(bulk_uri, label, is_little_endian, is_signed))


def find_value(dataset: Dataset, path: Sequence[str]) -> tuple[str, bytes] | None:
    """Give the VR and the bytes of the binary value at a path, None if there is none there."""
    *items, last = path
    if len(items) % 2 or len(path) > 2 * _MAX_DEPTH:
        return None
    try:
        with quiet():
            for tag, number in zip(items[::2], items[1::2], strict=True):
                dataset = dataset[int(tag, 16)].value[int(number)]
            element = dataset[int(last, 16)]
            value = element.value
    except MALFORMED:
        return None
    return (str(element.VR), value) if isinstance(value, bytes) else None


def as_little_endian(value: bytes, vr: str, *, is_little_endian: bool) -> bytes:
    """Give a binary value with the words of its VR in little endian order (PS3.18 F.2.7)."""
    width = _WORD_BYTES.get(vr, 1)
    if is_little_endian or width == 1 or len(value) % width:
        return value
    return np.frombuffer(value, f">u{width}").astype(f"<u{width}").tobytes()


def _json_of(dataset: Dataset, place: _Place) -> JsonDataset:
    label = text_of(dataset, "SpecificCharacterSet") or place.label
    place = replace(place, label=label)
    decode_dataset(dataset, label)
    model: JsonDataset = {}
    for tag in sorted(int(key) for key in dataset.keys()):  # noqa: SIM118  a Dataset iterates over its elements
        if tag & 0xFFFF == 0 or tag >> 16 <= 0x0002:  # group lengths; commands and file meta information
            continue
        name = f"{tag:08X}"
        if tag == SPECIFIC_CHARACTER_SET:
            model[name] = {"vr": "CS", "Value": [UTF_8]}
            continue
        model[name] = _attribute(dataset, tag, replace(place, path=f"{place.path}{name}"))
    return model


def _attribute(dataset: Dataset, tag: int, place: _Place) -> Attribute:
    raw = dataset.get_item(tag)
    vr = _vr_of(dataset, tag, raw, place)
    if vr in BINARY_VRS:
        return _binary(dataset, tag, raw, vr, place)
    sent = _held(raw)
    try:
        with quiet():
            element = dataset[tag]
            value: object = element.value
    except MALFORMED:
        return {"vr": vr, **_as_sent(sent, vr)}
    if element.VR == "SQ":
        return _sequence(value, place)
    if element.VR in BINARY_VRS:
        return _binary(dataset, tag, element, str(element.VR), place)
    values = [_value(one, vr) for one in _values_of(value)]
    if all(one is None for one in values):
        return {"vr": vr}
    return {"vr": vr, "Value": values}


def _vr_of(dataset: Dataset, tag: int, raw: object, place: _Place) -> str:
    """Give an element's VR: as its file says, else as the dictionary, else unknown."""
    said = getattr(raw, "VR", None)
    vr = str(said) if said else _known_vr(dataset, tag)
    if vr == "UN":
        vr = _known_vr(dataset, tag)  # it came through a system that did not know the element
    if " or " in vr:
        words = vr.split(" or ")
        if "SS" in words and "US" in words:
            return "SS" if place.is_signed else "US"
        return "OW" if "OW" in words else words[0]
    return vr


def _known_vr(dataset: Dataset, tag: int) -> str:
    try:
        if tag >> 16 & 1:
            if 0x10 <= tag & 0xFFFF <= 0xFF:
                return "LO"
            owner = _text_of_tag(dataset, tag & 0xFFFF0000 | (tag & 0xFF00) >> 8)
            return str(private_dictionary_VR(tag, owner))
        return dictionary_VR(tag)
    except KeyError:
        return "UN"


def _text_of_tag(dataset: Dataset, tag: int) -> str:
    """Give an element's text by its number, ``""`` if it is absent or cannot be converted."""
    try:
        with quiet():
            return str(dataset[tag].value or "").strip("\x00 ")
    except MALFORMED:
        return ""


def _binary(dataset: Dataset, tag: int, raw: object, vr: str, place: _Place) -> Attribute:
    value = _held(raw)
    if value is None and int(getattr(raw, "length", 0)) > DEFER_BYTES:
        return {"vr": vr, "BulkDataURI": place.bulk_uri(place.path)}  # left in the file
    if vr != "UN" and not isinstance(value, bytes):
        try:
            with quiet():
                value = dataset[tag].value
        except MALFORMED:
            return {"vr": vr}
    if not isinstance(value, bytes) or not value:
        return {"vr": vr}
    if len(value) > MAX_INLINE_BYTES:
        return {"vr": vr, "BulkDataURI": place.bulk_uri(place.path)}
    little = as_little_endian(value, vr, is_little_endian=place.is_little_endian)
    return {"vr": vr, "InlineBinary": base64.b64encode(little).decode("ascii")}


def _held(raw: object) -> object:
    return getattr(raw, "value", None)


def _sequence(value: object, place: _Place) -> Attribute:
    if place.depth >= _MAX_DEPTH:
        return {"vr": "SQ"}
    items: list[object] = []
    for number, item in enumerate(_items(value)):
        below = replace(place, path=f"{place.path}/{number}/", depth=place.depth + 1)
        try:
            items.append(_json_of(item, below))
        except MALFORMED:
            items.append({})  # keeps the numbers of the items behind it
    return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}


def _items(value: object) -> Iterator[Dataset]:
    if isinstance(value, Sequence):
        yield from (item for item in value if isinstance(item, Dataset))


def _values_of(value: object) -> list[object]:
    if value is None:
        return []
    if isinstance(value, MultiValue | list | tuple):
        return list(value)
    return [value]


def _value(value: object, vr: str) -> object:
    """Give one value as JSON has it, None for an empty one."""
    if vr == "AT":
        return f"{int(value):08X}" if isinstance(value, int) else None
    if vr == "PN":
        return _name(str(value))
    if vr in _INTEGER_VRS:
        return int(value) if isinstance(value, int) else _text(value)
    if vr in {"FL", "FD"}:
        return _float(value)
    if vr in {"IS", "DS"}:
        return _number_string(value)
    return _text(value)


def _float(value: object) -> object:
    if not isinstance(value, float | int):
        return _text(value)
    return float(value) if math.isfinite(value) else {math.inf: "inf", -math.inf: "-inf"}.get(value, "NaN")


def _number_string(value: object) -> object:
    text = _text(value)
    if text is None or not _NUMBER.fullmatch(text):
        return text
    number = float(text)
    if not math.isfinite(number):
        return text
    return int(text) if re.fullmatch(r"[+-]?\d{1,15}", text) else number


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    original = getattr(value, "original_string", None)  # a number as it was written
    text = (original if isinstance(original, str) else str(value)).strip("\x00 ")
    return text or None


def _name(text: str) -> dict[str, str] | None:
    groups = [group.strip("\x00 ") for group in text.split("=")]
    return {name: group for name, group in zip(_NAME_GROUPS, groups, strict=False) if group} or None


def _as_sent(sent: object, vr: str) -> Attribute:
    """Give the text of numbers that cannot be converted; the model allows that of decimal strings alone."""
    if not isinstance(sent, bytes) or vr not in {"IS", "DS"}:
        return {}
    values = [one.strip("\x00 ") or None for one in sent.decode("latin-1").split("\\")]
    return {} if all(one is None for one in values) else {"Value": values}


def attribute_of(vr: str, *values: object) -> Attribute:
    """Make an attribute by hand; empty values are none.

    Examples
    --------
    >>> attribute_of("US", 3), attribute_of("LO", "")
    ({'vr': 'US', 'Value': [3]}, {'vr': 'LO'})
    >>> attribute_of("PN", "A^B=王")
    {'vr': 'PN', 'Value': [{'Alphabetic': 'A^B', 'Ideographic': '王'}]}
    """
    given = [_name(str(value)) if vr == "PN" else value for value in values if value not in (None, "")]
    return {"vr": vr, "Value": given} if given else {"vr": vr}
