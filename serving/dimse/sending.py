"""Sends files to another program by C-STORE, and says of each what became of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.dicom.files import open_object
from data.dicom.header import text_of
from data.dicom.transcoding import Identity, identity_of
from data.errors import ImageError
from serving.dimse.association import Association
from serving.dimse.commands import Field, Tag, number, text
from serving.dimse.errors import BrokenLineError, DimseError, GarbledError
from serving.dimse.giving import MOST_CONTEXTS, CannotGiveError, Kind, give_file, proposals_for
from serving.dimse.pdu import Proposal
from serving.dimse.statuses import SOME_FAILED, SUCCESS

# Of each kind a context of its own, and of each class two for what can be made of it.
_KINDS_AN_ASSOCIATION = MOST_CONTEXTS // 3


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A file that can be sent."""

    path: Path
    kind: Kind
    identity: Identity


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a file: `status` is the receiver's, None if it never answered."""

    path: Path
    status: int | None
    problem: str = ""

    @property
    def is_stored(self) -> bool:
        """Whether the receiver says that it has it, with or without a remark."""
        return self.status == SUCCESS or (self.status is not None and self.status & 0xF000 == SOME_FAILED)


def read_outgoing(path: Path) -> Outgoing:
    """Find out what a file is sent as.

    Raises
    ------
    ImageError
        If it is no DICOM file.
    CannotGiveError
        If it does not say what it is.
    """
    with open_object(path) as opened:
        kind = Kind(text_of(opened.dataset, "SOPClassUID"), opened.transfer_syntax)
        identity = identity_of(opened.dataset)
    if not kind.sop_class or not identity.sop_instance_uid:
        raise CannotGiveError("it names no SOP Class or no SOP Instance")
    return Outgoing(path, kind, identity)


def send(paths: Sequence[Path], call: Callable[[Sequence[Proposal]], Association]) -> Iterator[Sent]:
    """Send files, on as few associations as their kinds allow; each is told of as soon as it is known.

    Parameters
    ----------
    paths : sequence of Path
        The files.
    call : callable
        Opens an association for some proposals.

    Raises
    ------
    DimseError
        If the receiver cannot be reached or refuses, before anything was sent on that association.
    """
    outgoing: list[Outgoing] = []
    for path in paths:
        try:
            outgoing.append(read_outgoing(path))
        except (ImageError, CannotGiveError) as error:
            yield Sent(path, None, str(error))
    for batch in _batches(outgoing):
        yield from _sent(batch, call(proposals_for(one.kind for one in batch)))


def _batches(outgoing: Sequence[Outgoing]) -> Iterator[list[Outgoing]]:
    """Put files together whose kinds fit one association."""
    kinds = sorted({one.kind for one in outgoing}, key=lambda kind: (kind.sop_class, kind.syntax))
    for start in range(0, len(kinds), _KINDS_AN_ASSOCIATION):
        chosen = set(kinds[start : start + _KINDS_AN_ASSOCIATION])
        yield [one for one in outgoing if one.kind in chosen]


def _sent(batch: Sequence[Outgoing], association: Association) -> Iterator[Sent]:
    broken = ""
    try:
        for one in batch:
            if broken:
                yield Sent(one.path, None, broken)
                continue
            try:
                yield _one(one, association)
            except CannotGiveError as error:
                yield Sent(one.path, None, str(error))
            except DimseError as error:
                broken = str(error)
                yield Sent(one.path, None, broken)
    finally:
        if broken:
            association.abort()
        else:
            association.release()


def _one(one: Outgoing, association: Association) -> Sent:
    give_file(one.path, association, identity=one.identity, message_id=association.next_id())
    answer = association.receive()
    if answer is None:
        raise BrokenLineError("the receiver released the association")
    association.data_of(answer, lambda _piece: None)
    if number(answer.command, Tag.FIELD) != Field.STORE | 0x8000:
        raise GarbledError("the receiver answers with something else")
    status = number(answer.command, Tag.STATUS)
    comment = text(answer.command, Tag.COMMENT)
    problem = "" if status == SUCCESS else f"status {status:04X}{f' ({comment})' if comment else ''}"
    return Sent(one.path, status, problem)
