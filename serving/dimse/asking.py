"""Asks another program what it has, by C-FIND at study root."""

from collections.abc import Iterator, Mapping

from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from data.dicom.header import text_of
from serving.dimse.association import Association
from serving.dimse.classes import OF_IDENTIFIERS, STUDY_FIND
from serving.dimse.commands import Field, Tag, number, text
from serving.dimse.errors import BrokenLineError, GarbledError, RefusedError
from serving.dimse.identifiers import MOST_BYTES, read_identifier, write_identifier
from serving.dimse.pdu import Proposal
from serving.dimse.statuses import PENDING, PENDING_UNMATCHED, SUCCESS

FIND_PROPOSALS = (Proposal(1, STUDY_FIND, OF_IDENTIFIERS),)

# What is asked for at each level unless a key says otherwise.
SHOWN_OF: Mapping[str, tuple[str, ...]] = {
    "STUDY": (
        "StudyInstanceUID",
        "StudyDate",
        "StudyTime",
        "PatientID",
        "PatientName",
        "AccessionNumber",
        "ModalitiesInStudy",
        "StudyDescription",
        "NumberOfStudyRelatedInstances",
    ),
    "SERIES": (
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "Modality",
        "SeriesNumber",
        "SeriesDescription",
        "NumberOfSeriesRelatedInstances",
    ),
    "IMAGE": (
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "SOPInstanceUID",
        "SOPClassUID",
        "InstanceNumber",
    ),
}


def identifier_of(level: str, keys: Mapping[str, str]) -> Dataset:
    """Make an identifier of what must match, and of what is shown.

    Raises
    ------
    ValueError
        If a key is no keyword of DICOM, or its value none that it can have.
    """
    asked = Dataset()
    for keyword, value in {**dict.fromkeys(SHOWN_OF[level], None), **keys}.items():
        tag = tag_for_keyword(keyword)
        if tag is None:
            raise ValueError(f"{keyword!r} is no keyword of DICOM")
        try:  # what the standard would not write may be what is looked for, a wildcard say
            asked.add(DataElement(tag, dictionary_VR(tag), value or None, validation_mode=IGNORE))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{keyword} takes no {value!r}") from error
    asked.QueryRetrieveLevel = level
    return asked


def ask(association: Association, asked: Dataset) -> Iterator[Dataset]:
    """Give what is found, as it comes.

    Raises
    ------
    RefusedError
        If the query is refused, or fails in between.
    DimseError
        If the association breaks.
    """
    context = next(iter(association.contexts.values()))
    command: dict[Tag, str | int] = {
        Tag.FIELD: Field.FIND,
        Tag.MESSAGE_ID: association.next_id(),
        Tag.PRIORITY: 0,
        Tag.AFFECTED_CLASS: STUDY_FIND,
    }
    label = text_of(asked, "SpecificCharacterSet")
    association.send(context, command, [write_identifier(asked, context.syntax, character_set=label)])
    while True:
        answer = association.receive()
        if answer is None:
            raise BrokenLineError("the other side released the association before it had answered")
        if number(answer.command, Tag.FIELD) != Field.FIND | 0x8000:
            raise GarbledError("the other side answers with something else")
        data = association.whole_data_of(answer, at_most=MOST_BYTES)
        status = number(answer.command, Tag.STATUS)
        if status in {PENDING, PENDING_UNMATCHED}:
            yield read_identifier(data, context.syntax)
        elif status == SUCCESS:
            return
        else:
            comment = text(answer.command, Tag.COMMENT)
            raise RefusedError(f"the query failed: status {status:04X}{f' ({comment})' if comment else ''}")
