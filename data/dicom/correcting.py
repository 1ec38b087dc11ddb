"""Writes a corrected copy of a DICOM file: other values, another character set, a UID of its own.

The file itself stays as it is. The copy says what it was before, when that was changed and by which system
(Original Attributes Sequence); its pixels are copied byte for byte, and its text is written in UTF-8, so that
what was read by a corrected character set is read rightly by everybody.

References
----------
PS3.3 C.12.1.1.9 (Original Attributes Sequence), PS3.5 6.2 (value representations), PS3.6 (dictionary).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydicom import config
from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.valuerep import validate_value

from data.dicom.charset import ENCODED_VRS, SINGLE_VALUE_VRS, is_character_set
from data.dicom.files import malformed_is_corrupt, open_object, quiet
from data.dicom.header import decode_dataset, items_of, read_header, text_of, value_of
from data.dicom.transcoding import with_header
from data.dicom.writing import uid_of_digest

UTF_8 = "ISO_IR 192"
SYSTEM = "firstread"

# Values that a person can enter; numbers of other kinds say how pixels are laid out or measured.
EDITABLE_VRS = frozenset(
    ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT")
)

# File meta information, what was changed before, how pixels are laid out, the pixels.
_CLOSED_GROUPS = frozenset({0x0000, 0x0002, 0x0400, 0x7FE0})
_CLOSED = frozenset(
    {"SpecificCharacterSet", "SOPClassUID", "PixelRepresentation", "PhotometricInterpretation"}
)
_MOST_VALUES = 64
_LONGEST_VALUE = 10_240
_LINES_OF_TEXT = "\r\n\t\f"


class CorrectionError(ValueError):
    """A correction that no file could have; says which and why."""


@dataclass(frozen=True, slots=True)
class Corrections:
    r"""What is to be other than it was sent.

    Parameters
    ----------
    edits : mapping of str to tuple of str
        New values by keyword; none empties the attribute.
    character_set : str or None
        Terms of Specific Character Set that count instead of those that the file declares.
    has_new_uid : bool
        Whether it becomes an image of its own: it gets a SOP Instance UID made of its hash.
    """

    edits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    character_set: str | None = None
    has_new_uid: bool = False

    def __bool__(self) -> bool:
        return bool(self.edits) or self.character_set is not None or self.has_new_uid


@dataclass(frozen=True, slots=True)
class ChangedText:
    """A text as the file's own character set has it, and as the corrected one."""

    keyword: str
    before: str
    after: str


def checked(corrections: Corrections) -> Corrections:
    """Give corrections back if a file may have them.

    Raises
    ------
    CorrectionError
        Names the keyword, and what its value representation asks for.

    Examples
    --------
    >>> checked(Corrections({"PatientBirthDate": ("1960-02-14",)}))
    Traceback (most recent call last):
        ...
    data.dicom.correcting.CorrectionError: PatientBirthDate is a DA: '1960-02-14' is none
    """
    if corrections.character_set is not None and not is_character_set(corrections.character_set):
        raise CorrectionError(
            f"{corrections.character_set!r} is no character set of DICOM (PS3.3 C.12.1.1.2)"
        )
    if corrections.has_new_uid and "SOPInstanceUID" in corrections.edits:
        raise CorrectionError("SOPInstanceUID is given, and a new one is asked for: choose one of the two")
    for keyword, values in corrections.edits.items():
        _check(keyword, values)
    return corrections


def corrected_stream(
    path: Path, corrections: Corrections, *, digest: bytes, source: str, at: datetime
) -> Iterator[bytes]:
    """Give the corrected copy of a file, in pieces.

    Parameters
    ----------
    path : Path
        The file as it came.
    corrections : Corrections
        Checked ones.
    digest : bytes
        Of the file; a new UID is made of it, so that the same correction gives the same UID.
    source : str
        Who sent the values that were there before.
    at : datetime
        When they were changed, with its zone.

    Raises
    ------
    ImageError
        If the header cannot be read or written.
    TranscodingError
        If the header cannot be written anew.
    """
    with open_object(path) as opened, malformed_is_corrupt(path), quiet():
        dataset = opened.dataset
        before = _values_before(path, corrections)
        label = text_of(dataset, "SpecificCharacterSet")
        _decode_all(
            dataset, corrections.character_set or label, is_forced=corrections.character_set is not None
        )
        for keyword, values in _new_values(corrections, digest).items():
            _set(dataset, keyword, values)
        dataset.SpecificCharacterSet = UTF_8
        _say_what_it_was(dataset, before, source=source, at=at)
        yield from with_header(path, opened, dataset)


def changed_texts(path: Path, character_set: str) -> list[ChangedText]:
    """Give the texts of a file's header that another character set reads otherwise, names first.

    Raises
    ------
    ImageError
        If the header cannot be read.
    """
    declared, meant = read_header(path).dataset, read_header(path, character_set=character_set).dataset
    changed: list[tuple[bool, ChangedText]] = []
    for element in _texts(declared):
        keyword = element.keyword
        before, after = text_of(declared, keyword), text_of(meant, keyword)
        if before != after:
            changed.append((element.VR != "PN", ChangedText(keyword, before, after)))
    return [text for _, text in sorted(changed, key=lambda one: one[0])]


def _check(keyword: str, values: Sequence[str]) -> None:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise CorrectionError(f"{keyword!r} is no keyword of the dictionary (PS3.6)")
    vr = dictionary_VR(tag)
    is_open = tag >> 16 not in _CLOSED_GROUPS and tag >> 16 != 0x0028 and keyword not in _CLOSED
    if vr not in EDITABLE_VRS or not is_open:
        raise CorrectionError(f"{keyword} is not edited: send the file again from its source")
    least, most = _multiplicity(dictionary_VM(tag))
    if values and not least <= len(values) <= most:
        raise CorrectionError(f"{keyword} has {dictionary_VM(tag)} values, not {len(values)}")
    for value in values:
        if len(value) > _LONGEST_VALUE or not _is_text(value, vr) or not _is_valid(vr, value):
            raise CorrectionError(f"{keyword} is a {vr}: {value[:64]!r} is none")


def _multiplicity(text: str) -> tuple[int, int]:
    """Read a value multiplicity (PS3.5 6.4) such as ``1``, ``1-n`` or ``2-2n``."""
    least, _, most = text.partition("-")
    highest = most or least
    return int(least), int(highest) if highest.isdecimal() else _MOST_VALUES


def _is_text(value: str, vr: str) -> bool:
    allowed = _LINES_OF_TEXT if vr in SINGLE_VALUE_VRS else ""
    if "\\" in value and vr not in SINGLE_VALUE_VRS:
        return False
    return all(letter.isprintable() or letter in allowed for letter in value)


def _is_valid(vr: str, value: str) -> bool:
    try:
        validate_value(vr, value, config.RAISE)
    except ValueError:
        return False
    return True


def _new_values(corrections: Corrections, digest: bytes) -> dict[str, tuple[str, ...]]:
    values = dict(corrections.edits)
    if corrections.has_new_uid:
        values["SOPInstanceUID"] = (uid_of_digest(digest),)
    return values


def _values_before(path: Path, corrections: Corrections) -> dict[str, DataElement | bytes | None]:
    """Give what the corrected attributes were: as the file reads by its own character set, bytes if not."""
    keywords = set(_new_values(corrections, bytes(32)))
    before: dict[str, DataElement | bytes | None] = {}
    if corrections.character_set is not None:
        keywords |= {one.keyword for one in changed_texts(path, corrections.character_set)}
    with open_object(path) as opened:
        if corrections.character_set is not None:
            # What did not say how the text is to be read; as an attribute it would say how this item's is.
            before["SpecificCharacterSet"] = text_of(opened.dataset, "SpecificCharacterSet").encode() or None
        sent: dict[str, object] = {
            keyword: opened.dataset.get_item(keyword) for keyword in keywords if keyword in opened.dataset
        }
    declared = read_header(path).dataset
    for keyword in sorted(keywords):
        if keyword not in sent:
            before[keyword] = None
            continue
        raw = sent[keyword]
        value = value_of(declared, keyword)
        values = value if isinstance(value, MultiValue | list | tuple) else (value,)
        if value is not None and all(_is_valid(dictionary_VR(keyword), str(one)) for one in values):
            before[keyword] = declared[keyword]
        else:
            content = raw.value if isinstance(raw, RawDataElement) else b""
            before[keyword] = bytes(content) if content else None
    return before


def _decode_all(dataset: Dataset, label: str, *, is_forced: bool) -> None:
    """Turn every text of a data set into what was meant, so that it can be written in UTF-8."""
    own = text_of(dataset, "SpecificCharacterSet")
    label = label if is_forced or not own else own
    decode_dataset(dataset, label)
    if "SpecificCharacterSet" in dataset:
        del dataset["SpecificCharacterSet"]
    for tag in list(dataset.keys()):
        element = dataset.get_item(tag)
        vr = getattr(element, "VR", None) or _known_vr(int(tag))
        if vr == "SQ":
            for item in dataset[tag].value or ():
                _decode_all(item, label, is_forced=is_forced)


def _known_vr(tag: int) -> str:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return ""


def _set(dataset: Dataset, keyword: str, values: Sequence[str]) -> None:
    tag = tag_for_keyword(keyword)
    assert tag is not None
    vr = dictionary_VR(tag)
    value = list(values) if len(values) > 1 else values[0] if values else ""
    dataset[tag] = DataElement(tag, vr, value)


def _say_what_it_was(
    dataset: Dataset, before: Mapping[str, DataElement | bytes | None], *, source: str, at: datetime
) -> None:
    modified, nonconforming = Dataset(), []
    for keyword, value in before.items():
        tag = tag_for_keyword(keyword)
        assert tag is not None
        if isinstance(value, bytes):
            item = Dataset()
            item.SelectorAttribute = Tag(tag)
            item.SelectorValueNumber = 0  # all its values
            item.NonconformingDataElementValue = value + b"\0" * (len(value) % 2)
            nonconforming.append(item)
        elif value is None and keyword != "SpecificCharacterSet":
            modified[tag] = DataElement(tag, dictionary_VR(tag), "")
        elif value is not None:
            modified[tag] = value
    item = Dataset()
    item.SourceOfPreviousValues = source[:64]
    item.AttributeModificationDateTime = at.astimezone(UTC).strftime("%Y%m%d%H%M%S.%f+0000")
    item.ModifyingSystem = SYSTEM
    item.ReasonForTheAttributeModification = "CORRECT"
    item.ModifiedAttributesSequence = [modified]
    if nonconforming:
        item.NonconformingModifiedAttributesSequence = nonconforming
    dataset.OriginalAttributesSequence = [*items_of(dataset, "OriginalAttributesSequence"), item]


def _texts(dataset: Dataset) -> Iterator[DataElement]:
    elements: list[tuple[int, object]] = list(dataset.items())
    with quiet():
        for _, element in elements:
            if isinstance(element, DataElement) and element.VR in ENCODED_VRS and element.keyword:
                yield element
