"""What a specialty reads, by the modality of a study."""

from collections.abc import Collection, Mapping
from typing import Final

# PS3.3 C.7.3.1.1.1. A photograph without a header is stored as XC, whatever it shows.
MODALITIES: Final[Mapping[str, frozenset[str]]] = {
    "radiology": frozenset({"CR", "CT", "DX", "MG", "MR", "NM", "PT", "RF", "US", "XA"}),
    "neuroradiology": frozenset({"CT", "MR", "XA"}),
    "chest": frozenset({"CR", "CT", "DX"}),
    "dermatology": frozenset({"DMS", "XC"}),
    "ophthalmology": frozenset({"OCT", "OP"}),
    "endoscopy": frozenset({"ES"}),
    "pathology": frozenset({"SM"}),
}

# What does not say what it is must be given to somebody: every specialty reads it.
_OF_NOBODY = frozenset({"OT", "SC", "SEG"})


def modalities_of(specialties: Collection[str]) -> frozenset[str] | None:
    """Give the modalities that somebody reads; None, which is everything, for somebody of no specialty.

    A specialty that is not in the table is taken for a modality: ``us`` reads ultrasound.

    Examples
    --------
    >>> sorted(modalities_of({"chest", "us"}))
    ['CR', 'CT', 'DX', 'OT', 'SC', 'SEG', 'US']
    """
    if not specialties:
        return None
    named = (MODALITIES.get(one.strip().lower(), frozenset({one.strip().upper()})) for one in specialties)
    return _OF_NOBODY.union(*named)
