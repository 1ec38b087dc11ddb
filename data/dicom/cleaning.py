"""Makes of a data set one that says nothing of the patient: the header's part of de-identification.

An attribute that the standard's table lists goes the way that the table says. Every other must prove itself
by its value: numbers stay, UIDs are mapped, dates moved, and a text stays only if it consists of known words
(:mod:`data.dicom.vocabulary`), wherever it stands, and a number if it is none by which the patient is known
(:mod:`data.dicom.identifying`). So an attribute that is newer than the table, one that a
device filled wrongly, and one of an unknown VR cannot carry a name either. Items of sequences are cleaned in
the same way, private blocks go but for known numbers.

References
----------
PS3.15 Annex E; CID 7050 of PS3.16 (De-identification Method).
"""

import re
from dataclasses import dataclass, field
from datetime import timedelta

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.uid import UID

from data.dicom.confidentiality import Action, action_of, safe_private_of
from data.dicom.files import MALFORMED, quiet
from data.dicom.header import text_of
from data.dicom.identifying import identifying_numbers, is_identifying
from data.dicom.pseudonyms import Pseudonyms, shifted_date
from data.dicom.vocabulary import Speech, is_harmless

_NUMBERS = frozenset({"AT", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV", "US or SS"})
_TEXTS = frozenset({"LO", "LT", "SH", "ST", "UC", "UT"})
_COLOUR_TABLES = frozenset(
    f"{segmented}{colour}PaletteColorLookupTableData"
    for segmented in ("", "Segmented")
    for colour in ("Red", "Green", "Blue", "Alpha")
)
_BLOBS = _COLOUR_TABLES | {"LUTData", "ICCProfile", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"}
# Instances of a standard's class, and the class itself, are told apart by where the UID stands.
_OF_CLASSES = re.compile(
    r".*(ClassUID|TransferSyntaxUID|ClassesInStudy|CodingSchemeUID|ContextUID|MappingResourceUID)"
)
_TIME = re.compile(r"\d{2}(:?[0-5]\d(:?[0-6]\d(\.\d{1,6})?)?)?")
_DECIMAL = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_AGE = re.compile(r"\d{3}[DWMY]")

# Shapes of the codes of standard schemes (PS3.16 8); local schemes may hold anything.
_CODES = {
    "SCT": re.compile(r"\d{6,18}"),
    "SRT": re.compile(r"[A-Z][0-9A-Z]?-[0-9A-F]{4,6}"),
    "SNM3": re.compile(r"[A-Z][0-9A-Z]?-[0-9A-F]{4,6}"),
    "DCM": re.compile(r"\d{6}"),
    "LN": re.compile(r"\d{3,6}-\d"),
    "RADLEX": re.compile(r"RID\d{1,6}"),
    "FMA": re.compile(r"\d{4,6}"),
    "UCUM": re.compile(r"[a-zA-Z0-9/.%{}\[\]*^'-]{1,10}"),
}
_MAKER = frozenset({"Manufacturer", "ManufacturerModelName"})
_TECHNICAL = frozenset({"RescaleType", "ModalityLUTType", "WindowCenterWidthExplanation", "LUTExplanation"})
_METHODS = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113105", "Clean Descriptors Option"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    ("113111", "Retain Safe Private Option"),
)
_CLEAN_PIXELS = ("113101", "Clean Pixel Data Option")
_DUMMY_TEXT = "REMOVED"
_PIXEL_GROUP = 0x0028


@dataclass(slots=True)
class Tally:
    """What was done with how many elements, and why an element could not be read."""

    n_of: dict[str, int] = field(default_factory=dict)

    def count(self, what: str) -> None:
        """Count one element."""
        self.n_of[what] = self.n_of.get(what, 0) + 1


def clean_header(
    dataset: Dataset, pseudonyms: Pseudonyms, *, has_masked_pixels: bool = False
) -> tuple[Dataset, Tally]:
    """Make the de-identified header of an object; `dataset` is left as it is.

    Parameters
    ----------
    dataset : pydicom.dataset.Dataset
        The header up to the pixel data.
    pseudonyms : Pseudonyms
        The project's.
    has_masked_pixels : bool
        Whether text in the pixels was covered, which the header then says.

    Returns
    -------
    Dataset
        Text of ASCII alone, declared as UTF-8.
    Tally
        How many elements were kept, changed and removed.

    Notes
    -----
    Times of day stay: all dates of a patient move by the same whole weeks (PS3.15 E.3.6), so that intervals
    are what they were. A patient without an ID is known by the study.
    """
    issuer, patient_id = text_of(dataset, "IssuerOfPatientID"), text_of(dataset, "PatientID")
    if not patient_id:
        issuer, patient_id = "study", text_of(dataset, "StudyInstanceUID")
    with quiet():
        known = identifying_numbers(dataset)
        cleaner = _Cleaner(pseudonyms, pseudonyms.shift(issuer, patient_id), known)
        cleaned = cleaner.cleaned(dataset)
    pseudonym = pseudonyms.patient(issuer, patient_id)
    cleaned.SpecificCharacterSet = "ISO_IR 192"
    cleaned.PatientID = cleaned.PatientName = pseudonym
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        if not text_of(cleaned, keyword):
            setattr(cleaned, keyword, pseudonyms.uid(f"no {keyword} in {pseudonym}"))
    cleaned.PatientIdentityRemoved = "YES"
    cleaned.DeidentificationMethod = "PS3.15 Annex E, unlisted texts by vocabulary"
    methods = (*_METHODS, _CLEAN_PIXELS) if has_masked_pixels else _METHODS
    cleaned.DeidentificationMethodCodeSequence = [_code(value, meaning) for value, meaning in methods]
    cleaned.LongitudinalTemporalInformationModified = "MODIFIED"
    if has_masked_pixels:
        cleaned.BurnedInAnnotation = "NO"
    return cleaned, cleaner.tally


def consent_is_withheld(dataset: Dataset) -> bool:
    """Whether the patient's consent to distribution is denied or withdrawn (PS3.3 C.7.2.3)."""
    with quiet():
        try:
            items = list(dataset.get("ConsentForClinicalTrialUseSequence") or ())
        except MALFORMED:
            return True
    return any(text_of(item, "ConsentForDistributionFlag").upper() in {"NO", "WITHDRAWN"} for item in items)


class _Cleaner:
    def __init__(self, pseudonyms: Pseudonyms, shift: timedelta, known: frozenset[str]) -> None:
        self._pseudonyms = pseudonyms
        self._shift = shift
        self._known = known
        self.tally = Tally()

    def cleaned(self, dataset: Dataset) -> Dataset:
        result = Dataset()
        for tag in sorted(dataset.keys()):
            if tag.is_private or not dictionary_has_tag(tag):
                self.tally.count("removed")
                continue
            action = action_of(tag)
            if action is Action.REMOVE:
                self.tally.count("removed")
                continue
            try:
                element = dataset[tag]
                changed = self._changed(element, action)
            except MALFORMED:
                # What cannot be read cannot be shown to be harmless.
                changed = DataElement(tag, dictionary_VR(tag), None) if action is Action.EMPTY else None
            if changed is None:
                self.tally.count("removed")
                continue
            is_same = action is Action.PROVE and changed.VR != "SQ" and changed.value == element.value
            self.tally.count("kept" if is_same else "changed")
            result[tag] = changed
        self._keep_safe_private(dataset, result)
        return result

    def _changed(self, element: DataElement, action: Action) -> DataElement | None:
        tag = element.tag
        vr = str(dictionary_VR(tag)) if element.VR == "UN" else str(element.VR)
        if action in {Action.EMPTY, Action.REPLACE}:
            return _empty(tag) if action is Action.EMPTY else _dummy(tag)
        if vr == "SQ":
            return self._sequence(element, only_standard_codes=action is Action.CLEAN_CODES)
        return self._value(element, vr, action)

    def _value(self, element: DataElement, vr: str, action: Action) -> DataElement | None:
        tag = element.tag
        values = [value for value in _values(element) if value not in ("", None)]
        if not values:
            return DataElement(tag, vr, None)
        # The pixels' own form (group 0028) is needed, whatever it is equal to.
        is_looked_at = tag.group != _PIXEL_GROUP and (len(values) == 1 or vr not in _NUMBERS)
        if is_looked_at and any(self._is_known(value, vr) for value in values):
            return None
        if vr in _NUMBERS and not isinstance(element.value, str):
            return DataElement(tag, vr, element.value)
        if isinstance(element.value, bytes) or vr.rpartition(" ")[2].startswith("O"):
            return DataElement(tag, vr, element.value) if element.keyword in _BLOBS else None
        proven = [self._proven(str(value), vr, element.keyword, action) for value in values]
        if "" in proven:
            return None
        return DataElement(tag, vr, proven if len(proven) > 1 else proven[0])

    def _is_known(self, value: object, vr: str) -> bool:
        if vr in {"DA", "DT", "UI"}:  # these are moved or mapped
            return False
        text = str(value)
        return is_identifying(text.partition(".")[0].replace(":", "") if vr == "TM" else text, self._known)

    def _proven(self, value: str, vr: str, keyword: str, action: Action) -> str:
        """Give a text's value as it may stay, "" if it may not."""
        if vr == "UI":
            return self._uid(value, keyword)
        if vr in {"DA", "DT"}:
            return shifted_date(value, self._shift)
        matched = {"TM": _TIME, "DS": _DECIMAL, "IS": _DECIMAL, "AS": _AGE}.get(vr)
        if matched is not None:
            return value if matched.fullmatch(value) else ""
        if vr == "CS":
            return value if is_harmless(value, Speech.CODED) else ""
        if vr not in _TEXTS:
            return ""
        is_technical = keyword in _TECHNICAL and action is Action.PROVE
        speech = Speech.MAKER if keyword in _MAKER else Speech.CODED if is_technical else Speech.FREE
        return value if is_harmless(value, speech) else ""

    def _uid(self, value: str, keyword: str) -> str:
        if UID(value).name != value or (_OF_CLASSES.fullmatch(keyword) and _is_standard(value)):
            return value
        return self._pseudonyms.uid(value)

    def _sequence(self, element: DataElement, *, only_standard_codes: bool) -> DataElement:
        items: list[Dataset] = []
        for item in element.value or ():
            is_code = "CodingSchemeDesignator" in item or "CodeValue" in item
            if is_code:
                code = _standard_code(item)
                if code is None or is_identifying(code.CodeValue, self._known):
                    continue
                rest = self.cleaned(item)
                rest.update(code)
                items.append(rest)
            elif not only_standard_codes:
                items.append(self.cleaned(item))
        return DataElement(element.tag, "SQ", Sequence(items))

    def _keep_safe_private(self, dataset: Dataset, result: Dataset) -> None:
        for tag in sorted(dataset.keys()):
            if not tag.is_private_creator:
                continue
            creator = _creator_of(dataset, tag)
            safe = safe_private_of(creator)
            if safe is None or safe.group != tag.group:
                continue
            for element, vr in safe.vr_of_element.items():
                place = tag.group << 16 | (tag.element & 0xFF) << 8 | element
                try:
                    kept = dataset[place]
                    proven = self._changed(DataElement(place, vr, kept.value), Action.PROVE)
                except MALFORMED:
                    continue
                # A value that came as bytes (UN) has no type that could be checked.
                if proven is not None and vr == kept.VR:
                    block = result.private_block(tag.group, creator, create=True)
                    block.add_new(element, vr, proven.value)
                    self.tally.count("kept")


def _creator_of(dataset: Dataset, tag: int) -> str:
    """Give the name of a private block's creator, "" if it cannot be read."""
    try:
        return str(dataset[tag].value).strip()
    except MALFORMED:
        return ""


def _values(element: DataElement) -> list[object]:
    value = element.value
    return list(value) if isinstance(value, MultiValue | list) else [value]


def _is_standard(uid: str) -> bool:
    return re.fullmatch(r"1\.2\.840\.10008(\.\d{1,8}){1,12}", uid) is not None


def _standard_code(item: Dataset) -> Dataset | None:
    """Give the code of an item in a standard's scheme, its meaning in known words, or the code itself."""
    scheme, value = text_of(item, "CodingSchemeDesignator"), text_of(item, "CodeValue")
    shape = _CODES.get(scheme)
    if shape is None or shape.fullmatch(value) is None:
        return None
    meaning = text_of(item, "CodeMeaning")
    code = _code(value, meaning if meaning and is_harmless(meaning, Speech.CODED) else value)
    code.CodingSchemeDesignator = scheme
    return code


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def _empty(tag: int) -> DataElement:
    vr = str(dictionary_VR(tag))
    return DataElement(tag, vr, Sequence() if vr == "SQ" else None)


def _dummy(tag: int) -> DataElement | None:
    vr = str(dictionary_VR(tag))
    if vr == "SQ":
        return _empty(tag)
    if vr in _TEXTS or vr in {"PN", "CS", "AE"}:
        return DataElement(tag, vr, _DUMMY_TEXT)
    if vr in {"DS", "IS"} or vr in _NUMBERS:
        return DataElement(tag, vr, 0)
    return None
