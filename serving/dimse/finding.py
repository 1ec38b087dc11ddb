"""C-FIND at study root: what QIDO-RS finds, asked and answered in DICOM's own way (PS3.4 C.4.1)."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import PersonName

from data.dicom.header import text_of
from serving.dicomweb.matching import KEY_OF, LARGEST_OFFSET, Search, read_search
from serving.dicomweb.searching import KEYS_OF, Level, search
from serving.dimse.association import Message
from serving.dimse.commands import Tag, answer_to, number
from serving.dimse.identifiers import MOST_BYTES, read_identifier, write_identifier
from serving.dimse.peer import Parts, Peer
from serving.dimse.statuses import (
    CANCELLED,
    NOT_AUTHORISED,
    PENDING,
    PENDING_UNMATCHED,
    SUCCESS,
    comment_on,
    status_of,
)
from serving.errors import Problem, ServiceError
from serving.store.devices import Service
from serving.store.search import Page

LEVEL_OF: Final[Mapping[str, Level]] = {
    "STUDY": Level.STUDY,
    "SERIES": Level.SERIES,
    "IMAGE": Level.INSTANCE,
}
_HITS_A_PAGE = 200

# Asked for by who asks, about the asking itself.
_OF_THE_QUERY = frozenset({"QueryRetrieveLevel", "SpecificCharacterSet", "TimezoneOffsetFromUTC"})


def find(parts: Parts, peer: Peer, message: Message) -> None:
    """Answer a query with what the device's site has, one hit an answer."""
    association = peer.association
    data = association.whole_data_of(message, at_most=MOST_BYTES)
    if not peer.may(Service.QUERY):
        association.send(message.context, answer_to(message.command, NOT_AUTHORISED))
        return
    try:
        asked = read_identifier(data, message.context.syntax)
        level = level_of(asked)
        wanted = conditions_of(asked, level)
        status = PENDING if _are_all_known(asked) else PENDING_UNMATCHED
        for hit in _hits(parts, peer, level, wanted):
            if association.is_cancelled(number(message.command, Tag.MESSAGE_ID)):
                association.send(message.context, answer_to(message.command, CANCELLED))
                return
            found = answer_of(hit, asked, level, title=parts.terms.title)
            written = write_identifier(
                found, message.context.syntax, character_set=text_of(asked, "SpecificCharacterSet")
            )
            association.send(message.context, answer_to(message.command, status), [written])
    except ServiceError as error:
        association.send(message.context, answer_to(message.command, status_of(error), comment_on(error)))
        return
    parts.figures["queried"] += 1
    association.send(message.context, answer_to(message.command, SUCCESS))


def level_of(asked: Dataset) -> Level:
    """Give what is searched for, or moved.

    Raises
    ------
    ServiceError
        `BAD_PARAMETER` if it does not say.
    """
    level = LEVEL_OF.get(text_of(asked, "QueryRetrieveLevel").strip())
    if level is None:
        raise ServiceError(
            Problem.BAD_PARAMETER, f"Query/Retrieve Level is one of {', '.join(LEVEL_OF)} at study root."
        )
    return level


def conditions_of(asked: Dataset, level: Level) -> Search:
    """Read what must match; an empty value matches everything, and so does what is not searched by."""
    parameters = []
    for element in asked:
        key = KEY_OF.get(element.keyword)
        value = _text(element.value)
        if key is not None and key in KEYS_OF[level] and value not in {"", "*"}:
            parameters.append((element.keyword, value))
    return read_search(parameters, keys=KEYS_OF[level])


def answer_of(hit: Dataset, asked: Dataset, level: Level, *, title: str) -> Dataset:
    """Give of a hit what was asked for, empty where it is not known (PS3.4 C.4.1.1.3.2)."""
    found = Dataset()
    for element in asked:
        if element.tag in hit:
            found[element.tag] = hit[element.tag]
        elif element.keyword not in _OF_THE_QUERY:
            found.add_new(element.tag, element.VR, [] if element.VR == "SQ" else None)
    for keyword in _UNIQUE_KEYS[: level.value]:
        if keyword in hit:
            found[keyword] = hit[keyword]
    found.QueryRetrieveLevel = next(name for name, one in LEVEL_OF.items() if one is level)
    found.RetrieveAETitle = title
    return found


_UNIQUE_KEYS: Final = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


def _hits(parts: Parts, peer: Peer, level: Level, asked: Search) -> Iterator[Dataset]:
    offset = 0
    while offset <= LARGEST_OFFSET:
        page = replace(asked, page=Page(_HITS_A_PAGE, offset))
        found = search(parts.dicomweb, level, page, within=None, caller=peer.caller, base_url="", by="c-find")
        for model in found.models:
            yield Dataset.from_json({tag: value for tag, value in model.items() if tag != "00081190"})
        if len(found.models) < _HITS_A_PAGE:
            return
        offset += _HITS_A_PAGE
    raise ServiceError(Problem.BAD_PARAMETER, "There are too many hits: narrow the search.")


def _are_all_known(asked: Dataset) -> bool:
    """Whether everything that must match is something that is searched by (PS3.4 C.4.1.1.4)."""
    return all(
        element.keyword in KEY_OF or element.keyword in _OF_THE_QUERY or _text(element.value) in {"", "*"}
        for element in asked
    )


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, PersonName):
        return str(value)
    if isinstance(value, MultiValue | list | tuple):
        return "\\".join(str(one) for one in value if not isinstance(one, Dataset))
    return str(value)
