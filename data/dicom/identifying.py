"""Collects the numbers by which an object's patient is known, so that none stays where nobody expects one.

A text stays only if all its words are known ones, so no name slips through it. A number proves itself by
being a number, and a device that writes the patient's ID, or the date of birth, into a numeric attribute
passes that. So each number that stays is compared with those that were taken away from the same object.
"""

import re
from collections.abc import Iterator

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from data.dicom.confidentiality import Action, action_of
from data.dicom.files import MALFORMED

# Fewer digits are a slice's number, a kV or an age far more often than what was taken away.
MIN_DIGITS = 4
# Within other text: 2024-0815 is a year and a count, not two numbers by which anyone is known.
_MIN_DIGITS_WITHIN = 6
_KEPT = frozenset({Action.PROVE, Action.CLEAN, Action.CLEAN_CODES, Action.MAP_UID})
_TEXTS = frozenset({"AE", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UT"})
_DIGITS = re.compile(r"\d+")
_NUMBER = re.compile(r"[+-]?0*(\d+)(?:\.0*)?")


def identifying_numbers(dataset: Dataset) -> frozenset[str]:
    """Give the numbers of four digits or more that stand in what is removed, emptied, replaced or shifted.

    Sequences and private blocks are looked into; leading zeros do not count.

    Examples
    --------
    >>> dataset = Dataset()
    >>> dataset.PatientID, dataset.PatientName, dataset.Rows = "0019734", "Wang^1", 512
    >>> sorted(identifying_numbers(dataset))
    ['19734']
    """
    return frozenset(_numbers(dataset, is_removed=False))


def is_identifying(value: object, known: frozenset[str]) -> bool:
    """Whether a whole number, or a text that is one, is one of those known.

    Examples
    --------
    >>> is_identifying("19734.0", frozenset({"19734"})), is_identifying(19735, frozenset({"19734"}))
    (True, False)
    """
    found = _NUMBER.fullmatch(str(value).strip())
    return found is not None and found[1] in known


def _numbers(dataset: Dataset, *, is_removed: bool) -> Iterator[str]:
    for tag in sorted(dataset.keys()):
        try:
            element = dataset[tag]
            value, vr = element.value, str(element.VR)
        except MALFORMED:
            continue
        # A private block's numbers are the device's own, and many; its texts are taken as the rest.
        goes = is_removed or tag.is_private or action_of(tag) not in _KEPT
        if vr == "SQ":
            for item in value or ():
                yield from _numbers(item, is_removed=goes and not tag.is_private)
        elif goes and vr in _TEXTS and (vr not in {"DS", "IS", "TM"} or not tag.is_private):
            yield from _numbers_of(value, vr, is_shifted=action_of(tag) is Action.SHIFT)


def _numbers_of(value: object, vr: str, *, is_shifted: bool) -> Iterator[str]:
    if is_shifted and vr == "TM":  # a time of day stays, and says nothing that a date would not
        return
    for part in value if isinstance(value, MultiValue | list) else (value,):
        text = str(part).strip()
        if vr in {"DA", "DT"}:
            text = text[:10].replace(".", "")[:8]
        least = MIN_DIGITS if text.isdigit() else _MIN_DIGITS_WITHIN
        for run in _DIGITS.findall(text):
            digits = run.lstrip("0")
            if len(run) >= least and len(digits) >= MIN_DIGITS:
                yield digits
