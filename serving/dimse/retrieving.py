"""C-MOVE and C-GET at study root: stored images are sent to another device, or back (PS3.4 C.4.2, C.4.3)."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from data.errors import ImageError
from serving.dicomweb.searching import Level
from serving.dicomweb.service import Place
from serving.dimse import calling
from serving.dimse.association import Association, Message
from serving.dimse.commands import Field, Tag, answer_to, is_answer, number, text
from serving.dimse.errors import BrokenLineError, DimseError, GarbledError
from serving.dimse.finding import level_of
from serving.dimse.giving import (
    CannotGiveError,
    Originator,
    first_of_each_series,
    give,
    kind_of,
    proposals_for,
)
from serving.dimse.identifiers import MOST_BYTES, read_identifier, write_identifier
from serving.dimse.peer import Parts, Peer
from serving.dimse.statuses import (
    CANCELLED,
    CANNOT_MOVE,
    NOT_AUTHORISED,
    PENDING,
    SOME_FAILED,
    SUCCESS,
    UNKNOWN_DESTINATION,
    comment_on,
    status_of,
)
from serving.errors import Problem, ServiceError
from serving.store.audit_chain import Action, AuditEvent, Result
from serving.store.devices import Device, Service, find_device
from serving.store.dicom_images import DicomImage

log = logging.getLogger(__name__)

# Of those that failed so many are named; the count is always told.
_MOST_NAMED = 1000
# What may be moved at once: the numbers of an answer have two bytes.
_MOST_IMAGES = 0xFFFF
_ANSWER_TO_STORE = Field.STORE | 0x8000


@dataclass
class _Count:
    n_left: int
    n_done: int = 0
    n_warned: int = 0
    failed: list[str] = field(default_factory=list)

    @property
    def numbers(self) -> dict[str, int]:
        return {"N_COMPLETED": self.n_done, "N_FAILED": len(self.failed), "N_WARNING": self.n_warned}


def move(parts: Parts, peer: Peer, message: Message) -> None:
    """Send what is asked for to the device that is named."""
    asked = _asked(peer, message)
    if asked is None:
        return
    title = text(message.command, Tag.DESTINATION)
    with parts.dicomweb.database.reading() as connection:
        device = find_device(connection, title, scope=peer.caller.scope)
    if device is None or not device.host or device.port is None:
        _answer(peer, message, UNKNOWN_DESTINATION, comment="this destination is not known")
        return
    try:
        images = _images(parts, peer, asked, what=f"c-move to {title}")
    except ServiceError as error:
        _answer(peer, message, status_of(error), comment=comment_on(error))
        return
    if not images:
        _answer(peer, message, SUCCESS, _Count(0))
        return
    association = _called(parts, device, images)
    if association is None:
        count = _Count(0, failed=[image.instance.sop_instance_uid for image in images])
        _answer(peer, message, CANNOT_MOVE, count, comment="the destination does not take part")
        _note(parts, peer, images, count, to=title)
        return
    originator = Originator(peer.device.title, number(message.command, Tag.MESSAGE_ID))

    def send(image: DicomImage) -> int:
        sent_id = association.next_id()
        give(image, parts.dicomweb.objects, association, message_id=sent_id, originator=originator)
        return _status_from(association)

    try:
        _send_each(parts, peer, message, images, send, to=title)
    finally:
        if association.is_over:
            association.close()
        else:
            association.release()


def get(parts: Parts, peer: Peer, message: Message) -> None:
    """Send what is asked for on the association itself."""
    asked = _asked(peer, message)
    if asked is None:
        return
    try:
        images = _images(parts, peer, asked, what="c-get")
    except ServiceError as error:
        _answer(peer, message, status_of(error), comment=comment_on(error))
        return
    association = peer.association

    def send(image: DicomImage) -> int:
        sent_id = association.next_id()
        give(image, parts.dicomweb.objects, association, message_id=sent_id, classes=peer.takes)
        return _status_from(association, number(message.command, Tag.MESSAGE_ID))

    _send_each(parts, peer, message, images, send, to=peer.device.title)


class _CancelledError(Exception):
    """The other side wants no more; `status` is what it said of the last image."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__()


def _asked(peer: Peer, message: Message) -> Dataset | None:
    data = peer.association.whole_data_of(message, at_most=MOST_BYTES)
    if not peer.may(Service.RETRIEVE):
        _answer(peer, message, NOT_AUTHORISED)
        return None
    try:
        asked = read_identifier(data, message.context.syntax)
        level_of(asked)
    except ServiceError as error:
        _answer(peer, message, status_of(error), comment=comment_on(error))
        return None
    return asked


def _images(parts: Parts, peer: Peer, asked: Dataset, *, what: str) -> list[DicomImage]:
    """Find what is asked for, by its unique keys, and write down that it is given."""
    level = level_of(asked)
    studies = _uids(asked, "StudyInstanceUID")
    series = _uids(asked, "SeriesInstanceUID") if level >= Level.SERIES else []
    instances = _uids(asked, "SOPInstanceUID") if level is Level.INSTANCE else []
    if not studies or (level is Level.SERIES and not series) or (level is Level.INSTANCE and not instances):
        raise ServiceError(Problem.BAD_PARAMETER, "The unique keys of the level must be there.")
    found: list[DicomImage] = []
    for study in studies:
        for place in [Place(study, one) for one in series] or [Place(study)]:
            try:
                of_place = parts.dicomweb.find(place, caller=peer.caller, what=what)
            except ServiceError as error:
                if error.problem is not Problem.NOT_FOUND:
                    raise
                continue
            found += [one for one in of_place if not instances or one.instance.sop_instance_uid in instances]
    if len(found) > _MOST_IMAGES:
        raise ServiceError(Problem.BAD_PARAMETER, f"{len(found):,} images are too many for one request.")
    return found


def _uids(asked: Dataset, keyword: str) -> list[str]:
    value = asked.get(keyword)
    values = [value] if isinstance(value, str) else list(value or [])
    return [uid for one in values if (uid := str(one).strip("\0 "))]


def _called(parts: Parts, device: Device, images: Sequence[DicomImage]) -> Association | None:
    assert device.port is not None
    try:
        kinds = []
        for image in first_of_each_series(images):
            try:
                kinds.append(kind_of(image, parts.dicomweb.objects))
            except (ImageError, ServiceError) as error:
                log.warning("an image cannot be moved: %s", error)
        if not kinds:
            return None
        place = calling.Place(device.title, device.host, device.port)
        return parts.calling(place, proposals_for(kinds), is_tls=device.is_called_by_tls)
    except DimseError as error:
        log.warning("a destination could not be called: %s", error, extra={"device": device.title})
        return None


def _send_each(
    parts: Parts,
    peer: Peer,
    message: Message,
    images: Sequence[DicomImage],
    send: Callable[[DicomImage], int],
    *,
    to: str,
) -> None:
    count = _Count(len(images))
    is_get = number(message.command, Tag.FIELD) == Field.GET
    is_cancelled = False
    try:
        for image in images:
            if is_cancelled or (
                not is_get and peer.association.is_cancelled(number(message.command, Tag.MESSAGE_ID))
            ):
                is_cancelled = True
                break
            try:
                status = send(image)
            except _CancelledError as cancelled:
                status, is_cancelled = cancelled.status, True
            except (CannotGiveError, ServiceError) as error:
                log.warning("an image could not be given: %s", error, extra={"site": image.site})
                status = CANNOT_MOVE
            except DimseError as error:
                if is_get:
                    raise
                log.warning("the destination is gone: %s", error)
                count.failed += [
                    one.instance.sop_instance_uid for one in images[len(images) - count.n_left :]
                ]
                count.n_left = 0
                break
            _counted(count, image, status)
            if count.n_left and not is_cancelled:
                _answer(peer, message, PENDING, count)
        if is_cancelled:
            _answer(peer, message, CANCELLED, count)
        elif count.failed:
            status = SOME_FAILED if count.n_done or count.n_warned else CANNOT_MOVE
            _answer(peer, message, status, count)
        else:
            _answer(peer, message, SOME_FAILED if count.n_warned else SUCCESS, count)
    finally:
        _note(parts, peer, images, count, to=to)


def _counted(count: _Count, image: DicomImage, status: int) -> None:
    count.n_left -= 1
    if status == SUCCESS:
        count.n_done += 1
    elif status & 0xF000 == SOME_FAILED or status in {0x0001, 0x0107, 0x0116}:
        count.n_warned += 1
    else:
        count.failed.append(image.instance.sop_instance_uid)


def _status_from(association: Association, asked_by: int | None = None) -> int:
    """Wait for the answer to what was sent; on a C-GET's own association its end may be asked for as well."""
    is_cancelled = False
    while True:
        answer = association.receive()
        if answer is None:
            raise BrokenLineError("the association was released while images were sent on it")
        field_ = number(answer.command, Tag.FIELD)
        if field_ == Field.CANCEL and number(answer.command, Tag.ANSWERED_ID) == asked_by:
            is_cancelled = True
        elif field_ == _ANSWER_TO_STORE and is_answer(answer.command):
            association.data_of(answer, lambda _piece: None)
            status = number(answer.command, Tag.STATUS)
            if is_cancelled:
                raise _CancelledError(status)
            return status
        else:
            raise GarbledError("something else came than the answer to an image")


def _answer(
    peer: Peer, message: Message, status: int, count: _Count | None = None, *, comment: str = ""
) -> None:
    numbers: dict[str, int] = {} if count is None else count.numbers
    if count is not None and status in {PENDING, CANCELLED}:
        numbers["N_REMAINING"] = count.n_left
    identifier = None
    if count is not None and count.failed and status != PENDING:
        failed = Dataset()
        failed.FailedSOPInstanceUIDList = count.failed[:_MOST_NAMED]
        identifier = [write_identifier(failed, message.context.syntax)]
    peer.association.send(message.context, answer_to(message.command, status, comment, **numbers), identifier)


def _note(parts: Parts, peer: Peer, images: Sequence[DicomImage], count: _Count, *, to: str) -> None:
    """Write down how it ended; what was given is written down before it is given."""
    parts.figures["moved"] += count.n_done + count.n_warned
    for study in dict.fromkeys(image.study.uid for image in images):
        details: dict[str, object] = {
            "to": to,
            "images": sum(1 for image in images if image.study.uid == study),
            "sent": count.n_done + count.n_warned,
            "failed": len(count.failed),
        }
        result = Result.FAILED if count.failed else Result.DONE
        parts.trail.note(
            AuditEvent(
                Action.TRANSFERRED,
                peer.caller.who,
                peer.device.site,
                parts.trail.clock(),
                result=result,
                study_uid=study,
                details=details,
            )
        )
