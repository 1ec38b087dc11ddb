"""Storage commitment: says truthfully of named instances whether they are kept (PS3.4 annex J).

Truthfully: a row of the device's own site, and an object in the store under the hash in that row. The
report goes to where the device is called, if that is known, and otherwise on the association itself.
"""

import logging
import threading
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from data.dicom.header import text_of
from serving.dimse import calling
from serving.dimse.association import Association, Context, Message
from serving.dimse.classes import COMMITMENT, COMMITMENT_INSTANCE, OF_IDENTIFIERS
from serving.dimse.commands import Field, Tag, answer_to, is_answer, number
from serving.dimse.errors import DimseError, GarbledError
from serving.dimse.identifiers import MOST_BYTES, read_identifier, write_identifier
from serving.dimse.pdu import UNEXPECTED_PDU, Proposal, Roles
from serving.dimse.peer import Parts, Peer
from serving.dimse.statuses import (
    CLASS_CONFLICT,
    INVALID_ARGUMENT,
    NO_SUCH_ACTION,
    NO_SUCH_INSTANCE,
    NOT_AUTHORISED,
    SUCCESS,
    status_of,
)
from serving.errors import ServiceError
from serving.store.devices import Service
from serving.store.dicom_images import find_instances

log = logging.getLogger(__name__)

_REQUEST: Final = 1
_ALL_KEPT, _SOME_NOT = 1, 2
# A device that is busy with its release listens a moment later; one that is off is asked to ask again.
SECONDS_BETWEEN_TRIES: Final = (0.5, 5.0, 30.0, 120.0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is kept of what was named: class and instance, and of the others why not."""

    transaction: str
    kept: tuple[tuple[str, str], ...]
    missing: tuple[tuple[str, str, int], ...]


def commit(parts: Parts, peer: Peer, message: Message, stopping: threading.Event) -> None:
    """Take a request for commitment, and report on it."""
    association = peer.association
    data = association.whole_data_of(message, at_most=16 * MOST_BYTES)
    if not peer.may(Service.COMMIT):
        association.send(message.context, answer_to(message.command, NOT_AUTHORISED))
        return
    if number(message.command, Tag.ACTION) != _REQUEST:
        association.send(message.context, answer_to(message.command, NO_SUCH_ACTION))
        return
    try:
        asked = read_identifier(data, message.context.syntax)
        verdict = judged(parts, peer, asked)
    except ServiceError as error:
        association.send(message.context, answer_to(message.command, status_of(error)))
        return
    if not verdict.transaction:
        association.send(message.context, answer_to(message.command, INVALID_ARGUMENT))
        return
    association.send(message.context, answer_to(message.command, SUCCESS, ACTION=_REQUEST))
    parts.figures["committed"] += len(verdict.kept)
    if peer.device.host:
        threading.Thread(
            target=_report_by_call, args=(parts, peer, verdict, stopping), name="dicom-report", daemon=True
        ).start()
    else:
        _report(association, message.context, verdict, title=parts.terms.title)


def judged(parts: Parts, peer: Peer, asked: Dataset) -> Verdict:
    """Look every named instance up, and its object."""
    named = [
        (text_of(item, "ReferencedSOPClassUID"), text_of(item, "ReferencedSOPInstanceUID"))
        for item in asked.get("ReferencedSOPSequence") or ()
    ]
    with parts.dicomweb.database.reading() as connection:
        found = find_instances(connection, scope=peer.caller.scope, uids=[uid for _, uid in named])
    kept: list[tuple[str, str]] = []
    missing: list[tuple[str, str, int]] = []
    for sop_class, uid in named:
        known = found.get(uid)
        if known is None or parts.dicomweb.objects.head(known.sha256) is None:
            missing.append((sop_class, uid, NO_SUCH_INSTANCE))
        elif known.sop_class_uid not in {sop_class, None}:
            missing.append((sop_class, uid, CLASS_CONFLICT))
        else:
            kept.append((sop_class, uid))
    return Verdict(text_of(asked, "TransactionUID"), tuple(kept), tuple(missing))


def _report_by_call(parts: Parts, peer: Peer, verdict: Verdict, stopping: threading.Event) -> None:
    device = peer.device
    assert device.port is not None
    place = calling.Place(device.title, device.host, device.port)
    problem: DimseError | None = None
    for seconds in SECONDS_BETWEEN_TRIES:
        if stopping.wait(seconds):
            break
        try:
            association = parts.calling(
                place,
                [Proposal(1, COMMITMENT, OF_IDENTIFIERS)],
                roles={COMMITMENT: Roles(is_user=False, is_provider=True)},
                is_tls=device.is_called_by_tls,
            )
            context = next(iter(association.contexts.values()))
            try:
                _report(association, context, verdict, title=parts.terms.title)
            finally:
                association.release()
        except DimseError as error:
            problem = error
        else:
            return
    log.warning(
        "a report of storage commitment was not delivered, the device must ask again: %s",
        problem,
        extra={"device": device.title},
    )


def _report(association: Association, context: Context, verdict: Verdict, *, title: str) -> None:
    report = Dataset()
    report.TransactionUID = verdict.transaction
    report.RetrieveAETitle = title
    report.ReferencedSOPSequence = Items([_reference(*one) for one in verdict.kept])
    if verdict.missing:
        report.FailedSOPSequence = Items([_reference(*one) for one in verdict.missing])
    command: dict[Tag, str | int] = {
        Tag.FIELD: Field.EVENT_REPORT,
        Tag.MESSAGE_ID: association.next_id(),
        Tag.AFFECTED_CLASS: COMMITMENT,
        Tag.AFFECTED_INSTANCE: COMMITMENT_INSTANCE,
        Tag.EVENT: _SOME_NOT if verdict.missing else _ALL_KEPT,
    }
    association.send(context, command, [write_identifier(report, context.syntax)])
    answer = association.receive()
    if answer is not None and not is_answer(answer.command):
        raise GarbledError("something else came than the answer to a report", reason=UNEXPECTED_PDU)
    if answer is not None:
        association.data_of(answer, lambda _piece: None)


def _reference(sop_class: str, uid: str, reason: int | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class
    item.ReferencedSOPInstanceUID = uid
    if reason is not None:
        item.FailureReason = reason
    return item
