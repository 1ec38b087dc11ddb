"""What a study is searched for by: a row that is written when the study is, in DICOM's own forms."""

from dataclasses import dataclass

from sqlalchemy import Connection

from serving.store.tables import study_listings

# Of an integer string (PS3.5 6.2); what is larger is not one, and no database column holds it.
_LARGEST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class ListedStudy:
    """What one study is searched for by; empty where it is not said."""

    uid: str
    patient: str
    issuer: str
    patient_name: str
    birth_date: str
    sex: str
    date: str
    time: str
    timezone: str
    accession: str
    study_id: str
    referring_physician: str
    description: str


def list_study(connection: Connection, listed: ListedStudy, *, site: str, study_id: int) -> None:
    """Write down what a new study is searched for by."""
    connection.execute(study_listings.insert().values(listing_values(listed, site=site, study_id=study_id)))


def listing_values(listed: ListedStudy, *, site: str, study_id: int) -> dict[str, object]:
    """Give the row of a study."""
    alphabetic, ideographic, phonetic = name_forms(listed.patient_name)
    return {
        "study_id": study_id,
        "site_id": site,
        "uid": listed.uid,
        "patient": listed.patient,
        "issuer": listed.issuer,
        "patient_name": listed.patient_name,
        "name_alphabetic": alphabetic,
        "name_ideographic": ideographic,
        "name_phonetic": phonetic,
        "birth_date": listed.birth_date,
        "sex": listed.sex,
        "date": listed.date,
        "time": listed.time,
        "timezone": listed.timezone,
        "accession": listed.accession,
        "number": listed.study_id,
        "referring_physician": listed.referring_physician,
        "description": listed.description,
    }


def name_forms(name: str) -> tuple[str, str, str]:
    """Give the three forms of a name as they are compared: without case and without trailing delimiters.

    Examples
    --------
    >>> name_forms("WANG^Fang^^=王^芳")
    ('wang^fang', '王^芳', '')
    """
    forms = [form.strip().rstrip("^").casefold() for form in name.split("=")]
    alphabetic, ideographic, phonetic, *_ = [*forms, "", "", ""]
    return alphabetic, ideographic, phonetic


def as_integer_string(number: int | None) -> int | None:
    """Give a number if it is one that an integer string can hold, else none."""
    return number if number is not None and -_LARGEST <= number <= _LARGEST else None
