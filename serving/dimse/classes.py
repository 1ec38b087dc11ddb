"""Which classes of objects and services, and which ways of writing them, an association may be about."""

from collections.abc import Mapping
from typing import Final

from pydicom.uid import UID_dictionary  # type: ignore[attr-defined]  # documented, and not named for export

VERIFICATION: Final = "1.2.840.10008.1.1"
COMMITMENT: Final = "1.2.840.10008.1.20.1"
COMMITMENT_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
STUDY_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_MOVE: Final = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_GET: Final = "1.2.840.10008.5.1.4.1.2.2.3"

IMPLICIT: Final = "1.2.840.10008.1.2"
EXPLICIT: Final = "1.2.840.10008.1.2.1"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"

# In which queries and their answers are read and written.
OF_IDENTIFIERS: Final = (EXPLICIT, IMPLICIT)

# Named alike, and none that an instance is stored in.
_NO_STORAGE = frozenset({"1.2.840.10008.1.20.1", "1.2.840.10008.1.20.2", "1.2.840.10008.1.3.10"})
# Streams of a live video (SMPTE), and what was never a way to write a data set: XML and MIME.
_NO_SYNTAX = ("1.2.840.10008.1.2.7.", "1.2.840.10008.1.2.6.")


def storage_classes() -> frozenset[str]:
    """Give every storage class of the standard, retired ones too.

    Examples
    --------
    >>> "1.2.840.10008.5.1.4.1.1.2" in storage_classes(), VERIFICATION in storage_classes()
    (True, False)
    """
    return frozenset(
        uid
        for uid, (name, kind, *_) in UID_dictionary.items()
        if kind == "SOP Class" and "Storage" in name and uid not in _NO_STORAGE
    )


def transfer_syntaxes() -> frozenset[str]:
    """Give every transfer syntax in which a data set can be written, retired ones too."""
    return frozenset(
        uid
        for uid, (_, kind, *_) in UID_dictionary.items()
        if kind == "Transfer Syntax" and not uid.startswith(_NO_SYNTAX)
    )


def name_of(uid: str) -> str:
    """Give the standard's name of a UID, or the UID.

    Examples
    --------
    >>> name_of(VERIFICATION), name_of("1.2.3")
    ('Verification SOP Class', '1.2.3')
    """
    entry: tuple[str, ...] | None = _NAMES.get(uid)
    return entry[0] if entry else uid


_NAMES: Mapping[str, tuple[str, ...]] = UID_dictionary
