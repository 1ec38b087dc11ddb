"""Whether two readers of a study agree: the same action, and the same diagnosis by its code."""

from serving.reading.codes import ValueSet
from serving.store.reading_state import SignedRead


def agree(one: SignedRead, other: SignedRead, codes: ValueSet) -> bool:
    """Whether two reads need no third.

    Codes are compared by what they mean, so SNOMED CT and ICD-10 agree; text is compared as it is, for
    lack of anything better, and a code never agrees with text alone.
    """
    if one.action != other.action:
        return False
    meanings = [codes.concept_of(read.diagnosis_scheme, read.diagnosis_code) for read in (one, other)]
    if meanings == [None, None]:
        return _plain(one.diagnosis_text) == _plain(other.diagnosis_text)
    return meanings[0] == meanings[1]


def _plain(text: str | None) -> str:
    return " ".join((text or "").casefold().split())
