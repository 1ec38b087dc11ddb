"""The table of contents of a medium, a DICOMDIR: which files belong to it and which images they hold.

A disc or a stick from a hospital holds images without telling names, a DICOMDIR that lists them, and most
often the programs and pictures of a viewer, which are nobody's images.

References
----------
PS3.3 annex F (the records), PS3.10 8 (names of files; the directory's own is DICOMDIR).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from data.dicom.files import open_object
from data.dicom.header import header_of, integer_of, items_of, text_of

NAME = "DICOMDIR"
MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"

_NOT_IN_USE = 0  # PS3.3 F.3.2.2: such a record is to be ignored


@dataclass(frozen=True, slots=True)
class Reference:
    """A file that a directory lists: the folders and the name below it, and the image's own UID."""

    parts: tuple[str, ...]
    sop_instance_uid: str


def is_directory(path: Path) -> bool:
    """Whether a file is a DICOMDIR, whatever its name; reads its first bytes alone."""
    try:
        with path.open("rb") as file:
            head = file.read(1024)
    except OSError:
        return False
    return head[128:132] == b"DICM" and MEDIA_STORAGE_DIRECTORY.encode("ascii") in head


def read_directory(path: Path) -> tuple[Reference, ...]:
    """Give the files that a DICOMDIR lists and does not call out of use.

    Raises
    ------
    ImageError
        If it cannot be read.
    """
    with open_object(path) as opened:
        records = items_of(header_of(path, opened).dataset, "DirectoryRecordSequence")
        return tuple(
            Reference(tuple(parts), text_of(record, "ReferencedSOPInstanceUIDInFile"))
            for record in records
            if integer_of(record, "RecordInUseFlag") != _NOT_IN_USE
            and (parts := [part for part in text_of(record, "ReferencedFileID").split("\\") if part])
        )


def comparable(parts: Iterable[str]) -> str:
    """Give a file's place in the form in which it is compared.

    File systems of discs write names in small letters, end them with a dot, or add a version (ISO 9660).

    Examples
    --------
    >>> comparable(["dicom", "IM1.;1"]), comparable(["DICOM", "im1"])
    ('DICOM/IM1', 'DICOM/IM1')
    """
    return "/".join(part.partition(";")[0].rstrip(".").upper() for part in parts)
