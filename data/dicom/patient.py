"""Reads from a DICOM header what it says of the patient, and what it says that cannot be so."""

from collections.abc import Iterator

from pydicom.dataset import Dataset

from data.body_sites import SITES, site_of, site_of_code
from data.dicom.header import Header, age_years_of, functional_groups, items_of, text_of
from data.study import PatientContext, Sex


def patient_context_of(header: Header, body_part: str) -> PatientContext:
    """Give the patient's context; a value that cannot be so is left out and told of.

    Parameters
    ----------
    header : Header
        Of one file.
    body_part : str
        The part examined in words, empty if there are none.

    References
    ----------
    Age and sex: PS3.3 C.7.1.1 and C.7.2.2. Anatomic Region Sequence: PS3.3 10.5, its codes for skin PS3.16
    CID 4029; the code counts before the words, which may be in any language.
    """
    dataset = header.dataset
    age_years, stated_age = age_years_of(dataset), header.text("PatientAge")
    sex = header.text("PatientSex").upper()
    ignored = []
    if stated_age and age_years is None:
        ignored.append(f"age {stated_age[:16]!r} is no age")
    if sex and sex not in set(Sex):
        ignored.append(f"sex {sex[:16]!r} is none of {', '.join(Sex)}")
    return PatientContext(
        age_years=age_years,
        sex=Sex(sex) if sex in set(Sex) else None,
        body_site=_coded_site(dataset) or body_part or None,
        clinical_question=header.text("ReasonForTheRequestedProcedure")
        or header.text("RequestedProcedureDescription")
        or None,
        ignored=tuple(ignored),
    )


def _coded_site(dataset: Dataset) -> str | None:
    """Give the place of the first known code: in the sender's words, if they mean it, else in ours."""
    for region in _regions(dataset):
        site = site_of_code(text_of(region, "CodeValue"))
        if site is not None and text_of(region, "CodingSchemeDesignator") == "SCT":
            meaning = text_of(region, "CodeMeaning")
            return meaning if site_of(meaning) is site else SITES[site].en
    return None


def _regions(dataset: Dataset) -> Iterator[Dataset]:
    yield from items_of(dataset, "AnatomicRegionSequence")
    for group in functional_groups(dataset, 0):
        for anatomy in items_of(group, "FrameAnatomySequence"):
            yield from items_of(anatomy, "AnatomicRegionSequence")
