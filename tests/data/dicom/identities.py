"""What a DICOM file says of its patient, and whether a copy still says it: read by pydicom alone."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID

from data.dicom.confidentiality import safe_private_of
from data.dicom.files import MALFORMED, quiet
from data.dicom.vocabulary import Speech, is_harmless

_FIRST_PIXELS = 0x7FE00008
_TEXTS = {"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"}
# By these a patient, a doctor, a place or an order is known, whatever they hold, known words too.
_WHO = re.compile(
    r"Name|PatientID|OtherPatientIDs|Accession|StudyID|Institution|Address|Physician|Operator|Telephone|"
    r"AdmissionID|StationName|DeviceSerialNumber|RequestedProcedureID|ScheduledProcedureStepID|PlacerOrder|"
    r"FillerOrder|EthnicGroup|Occupation|Comments"
)
# A code of a standard's scheme names a concept, whoever bears it.
_CODE = re.compile(r"/(CodeValue|CodingSchemeDesignator|SpecificCharacterSet)$|DeidentificationMethod")
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Said:
    """A value that must not survive, where it stood, and whether it is a number, date or UID."""

    place: str
    text: str
    is_number: bool = False


def identities(path: Path) -> list[Said]:
    """Give every name, text, identifier, date, UID and private text of a file, its meta information too."""
    with quiet():
        dataset = pydicom.dcmread(path, force=True)
        return [*_said(dataset.file_meta, "meta"), *_said(dataset, "")]


def _said(dataset: Dataset, place: str) -> Iterator[Said]:
    for tag in sorted(dataset.keys()):
        if tag >= _FIRST_PIXELS:
            return
        try:
            element = dataset[tag]
            here = f"{place}/{element.keyword or tag}"
            if element.VR == "SQ":
                for item in element.value or ():
                    yield from _said(item, here)
            else:
                yield from _values(element, here)
        except MALFORMED:
            raw = dataset.get_item(tag)
            yield from _texts(bytes(getattr(raw, "value", None) or b""), f"{place}/{tag}")


def _values(element: DataElement, place: str) -> Iterator[Said]:
    vr, value = str(element.VR), element.value
    if isinstance(value, bytes):
        # A part of the picture: its colours.
        if "PaletteColorLookupTableData" in element.keyword or element.keyword == "ICCProfile":
            return
        yield from _texts(value, place)
        return
    for part in value if isinstance(value, MultiValue | list) else (value,):
        text = str(part).strip("\0 ")
        if not text:
            continue
        if vr == "UI":
            if UID(text).name == text and not text.startswith("1.2.840.10008."):
                yield Said(place, text)
        elif vr in {"DA", "DT"}:
            yield Said(place, text.replace(".", "")[:8], is_number=True)
        elif vr in _TEXTS and text != "ISO_IR 192":  # which every copy says of itself
            yield from _text(element, text, place)
        elif vr in {"IS", "DS"} and element.tag.is_private:
            continue


def _text(element: DataElement, text: str, place: str) -> Iterator[Said]:
    if text.isdigit():
        if element.tag.is_private or _WHO.search(keyword_for_tag(element.tag)):
            yield Said(place, text, is_number=True)
    elif element.VR == "PN" or not _is_plain(text):
        if element.tag.is_private_creator and safe_private_of(text):
            return
        if not _CODE.search(place) and text != "REMOVED":
            yield Said(place, text)


def _texts(value: bytes, place: str) -> Iterator[Said]:
    """Give the readable pieces of a value that has no type."""
    for piece in re.findall(rb"[\x20-\x7e]{6,}", value[:65536]):
        text = piece.decode().strip()
        if len(text) >= 6 and not _is_plain(text) and not text.startswith("1.2.840.10008."):
            yield Said(place, text)


def _is_plain(text: str) -> bool:
    """Whether a text speaks of an examination, a maker or a code alone, so that keeping it tells nothing."""
    return any(is_harmless(text, speech) for speech in Speech)


def surviving(said: list[Said], copy: Path) -> list[tuple[Said, str]]:
    """Give what a copy still says, and where."""
    with quiet():
        dataset = pydicom.dcmread(copy)
        values = [*_all_values(dataset.file_meta, "meta"), *_all_values(dataset, "")]
    head = re.split(rb"\xe0\x7f[\x08-\x10]\x00|\x7f\xe0\x00[\x08-\x10]", copy.read_bytes())[0]
    there = head + str(copy).encode()
    return [(one, place) for one in said for place, text in values if _tells(one, text)] + [
        (one, "bytes") for one in said if not one.is_number and len(one.text) >= 6 and _is_in(one.text, there)
    ]


def _is_in(text: str, head: bytes) -> bool:
    sought = text.encode()
    return sought in head and bool(
        re.search(rb"(?<![0-9A-Za-z])" + re.escape(sought) + rb"(?![0-9A-Za-z])", head)
    )


def _tells(said: Said, text: str) -> bool:
    if said.is_number:
        digits = said.text.lstrip("0")
        return len(digits) >= 4 and digits in {run.lstrip("0") for run in _DIGITS.findall(text)}
    return text == said.text if len(said.text) < 4 else _is_in(said.text, text.encode())


def _all_values(dataset: Dataset, place: str) -> Iterator[tuple[str, str]]:
    for element in dataset:
        here = f"{place}/{element.keyword or element.tag}"
        if element.tag >= _FIRST_PIXELS:
            return
        if element.VR == "UI" and str(element.value).startswith("1.2.840.10008."):
            continue
        if element.VR == "SQ":
            for item in element.value:
                yield from _all_values(item, here)
        elif isinstance(element.value, bytes):
            yield here, element.value.decode("latin-1")
        else:
            value = element.value
            for part in value if isinstance(value, MultiValue | list) else (value,):
                yield here, str(part)
