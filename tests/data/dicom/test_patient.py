from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from data.dicom.header import Header
from data.dicom.patient import patient_context_of
from data.study import PatientContext, Sex


def _context(body_part: str = "", **elements: object) -> PatientContext:
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    header = Header(Path("one.dcm"), dataset, "1.2.840.10008.1.2.1", None)  # type: ignore[arg-type]  # no file
    return patient_context_of(header, body_part)


def _region(code: str, meaning: str, scheme: str = "SCT") -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, scheme, meaning
    return item


def test_age_sex_and_part_are_taken() -> None:
    context = _context("CHEST", PatientAge="063Y", PatientSex="F")

    assert (context.age_years, context.sex, context.body_site) == (63.0, Sex.FEMALE, "CHEST")
    assert context.ignored == ()


def test_the_code_of_a_place_counts_before_the_words() -> None:
    assert _context("SKIN", AnatomicRegionSequence=[_region("66643007", "Skin of back")]).body_site == (
        "Skin of back"
    )
    assert _context("", AnatomicRegionSequence=[_region("66643007", "Rückenhaut")]).body_site == "back"
    assert _context("ARM", AnatomicRegionSequence=[_region("66643007", "?", "99OURS")]).body_site == "ARM"


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        ({"PatientSex": "7"}, "sex '7' is none of F, M, O"),
        ({"PatientAge": "300Y"}, "age '300Y' is no age"),
    ],
)
def test_what_cannot_be_so_is_left_out_and_told(elements: dict[str, str], said: str) -> None:
    context = _context(**elements)

    assert (context.age_years, context.sex) == (None, None)
    assert context.ignored == (said,)


def test_an_age_that_cannot_be_read_gives_way_to_the_dates_without_a_word() -> None:
    context = _context(PatientAge="", PatientBirthDate="19600214", StudyDate="20240213")

    assert (context.age_years, context.ignored) == (63.0, ())
