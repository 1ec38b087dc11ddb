"""Reads what a refused file says of itself, as far as it can be read."""

from pathlib import Path

from data.dicom.files import is_dicom
from data.dicom.header import Header, has_letters_of_uid, read_header
from data.errors import ImageError
from serving.store.quarantine import HeaderFacts

# An identifier or an issuer has 64 characters (PS3.5 6.2): more is no such thing.
_LONGEST = 64


def header_facts(path: Path) -> HeaderFacts:
    """Give patient and UIDs of a file, all empty for one whose header cannot be read."""
    if not is_dicom(path):
        return HeaderFacts()
    try:
        header = read_header(path)
    except ImageError:
        return HeaderFacts()
    return HeaderFacts(
        issuer=_short(header, "IssuerOfPatientID"),
        patient=_short(header, "PatientID"),
        study_uid=_uid(header, "StudyInstanceUID"),
        series_uid=_uid(header, "SeriesInstanceUID"),
        sop_instance_uid=_uid(header, "SOPInstanceUID"),
        sop_class_uid=_uid(header, "SOPClassUID"),
        modality=_short(header, "Modality"),
    )


def _uid(header: Header, keyword: str) -> str:
    """Give a UID; what is none may be anything, a name too, and the trail names studies by their UIDs."""
    value = header.text(keyword)
    return value if has_letters_of_uid(value) else ""


def _short(header: Header, keyword: str) -> str:
    return header.text(keyword)[:_LONGEST]
