"""Identifiers: the data sets of queries and of what is found, their text in the right character set.

What is found is written in the character set of the query where that holds all of its letters, so that an
old device reads the names it can; otherwise in UTF-8. Plain ASCII that nobody asked for otherwise is called
nothing.
"""

import io
from collections.abc import Iterator

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.multival import MultiValue

from data.dicom.charset import codec_of
from data.dicom.files import MALFORMED, quiet
from data.dicom.header import decode_dataset, text_of
from serving.dimse.classes import IMPLICIT
from serving.errors import Problem, ServiceError

# A list of a thousand UIDs is 64 KB.
MOST_BYTES = 1024 * 1024
UTF_8 = "ISO_IR 192"


def read_identifier(data: bytes, syntax: str) -> Dataset:
    """Read an identifier, its text decoded.

    Raises
    ------
    ServiceError
        `BAD_PARAMETER` if it is none.
    """
    try:
        with quiet():
            dataset = read_dataset(io.BytesIO(data), syntax == IMPLICIT, is_little_endian=True)
            decode_dataset(dataset, text_of(dataset, "SpecificCharacterSet"))
            for element in dataset:
                _ = element.value  # now, where it can be refused
    except MALFORMED as error:
        raise ServiceError(
            Problem.BAD_PARAMETER, f"The identifier cannot be read ({type(error).__name__})."
        ) from None
    return dataset


def write_identifier(dataset: Dataset, syntax: str, *, character_set: str = "") -> bytes:
    """Write an identifier in the character set asked for, or in one that holds its text."""
    label = _fitting(dataset, character_set)
    if label:
        dataset.SpecificCharacterSet = label
    elif "SpecificCharacterSet" in dataset:
        del dataset.SpecificCharacterSet
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = syntax == IMPLICIT, True
    with quiet():
        write_dataset(stream, dataset)
    return stream.getvalue()


def _fitting(dataset: Dataset, asked: str) -> str:
    text = "".join(_texts(dataset))
    if asked and "\\" not in asked and "2022" not in asked:
        try:
            text.encode(codec_of(asked))
        except (UnicodeEncodeError, LookupError):
            return UTF_8
        return asked
    return "" if text.isascii() else UTF_8


def _texts(dataset: Dataset) -> Iterator[str]:
    for element in dataset:
        values = element.value if isinstance(element.value, MultiValue | list) else [element.value]
        if element.VR != "SQ":
            yield from (str(value) for value in values)
