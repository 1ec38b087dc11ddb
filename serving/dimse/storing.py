"""C-STORE: what is sent is stored as it is sent, and answered once it is durable (PS3.4 annex B)."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from data.study import PatientContext
from serving.dimse.arriving import ArrivingInstance, arriving
from serving.dimse.association import Message
from serving.dimse.commands import Tag, answer_to, text
from serving.dimse.part10 import data_set_of, head_of_file
from serving.dimse.peer import Parts, Peer
from serving.dimse.statuses import (
    INVALID_ARGUMENT,
    NOT_AUTHORISED,
    STORED_UNDER_ANOTHER_UID,
    SUCCESS,
    comment_on,
    status_of,
)
from serving.errors import Problem, ServiceError
from serving.intake.arrival import Arrival
from serving.intake.context import SenderContext
from serving.intake.door import Door
from serving.intake.upload import UploadedFile
from serving.store.devices import Service
from serving.store.dicom_images import find_instances, find_kept
from serving.store.objects import chunks_of
from serving.worklist.policy import DoctorPriority

log = logging.getLogger(__name__)

_NOTHING_SAID: Final = SenderContext(PatientContext(), DoctorPriority.ROUTINE)


def store(parts: Parts, peer: Peer, message: Message) -> None:
    """Take an instance and say what became of it."""
    association = peer.association
    uid = text(message.command, Tag.AFFECTED_INSTANCE)
    if not peer.may(Service.STORE) or not message.has_data or not uid:
        association.data_of(message, lambda _piece: None)
        status = INVALID_ARGUMENT if peer.may(Service.STORE) else NOT_AUTHORISED
        association.send(message.context, answer_to(message.command, status))
        return
    try:
        status, comment = _taken(parts, peer, message, uid)
    except ServiceError as error:
        status, comment = status_of(error), comment_on(error)
        log.info("refused an instance (%s)", error.problem, extra={"site": peer.device.site})
    parts.figures["stored" if status in {SUCCESS, STORED_UNDER_ANOTHER_UID} else "refused"] += 1
    association.send(message.context, answer_to(message.command, status, comment))


def _taken(parts: Parts, peer: Peer, message: Message, uid: str) -> tuple[int, str]:
    intake = parts.intake
    limits = replace(intake.limits, max_bytes=parts.terms.most_bytes_of_an_instance)
    feed = _Feed()
    try:
        with arriving(intake.spool, name=uid, limits=limits) as upload:
            head = head_of_file(
                sop_class=text(message.command, Tag.AFFECTED_CLASS) or message.context.abstract,
                sop_instance=uid,
                syntax=message.context.syntax,
            )
            feed.open(upload, head)
            peer.association.data_of(message, feed.take)
            feed.finish()
            if _is_kept(parts, peer, uid, upload.files[0]):
                return SUCCESS, ""
            outcome = intake.take(
                upload,
                _NOTHING_SAID,
                site=peer.device.site,
                who=peer.caller.who,
                door=Door.C_STORE,
                arrival=Arrival.PART,
            )
            sha256 = upload.files[0].sha256
    except ServiceError:
        if not feed.is_over:  # no room even to begin: its sender must be heard out before it is answered
            peer.association.data_of(message, lambda _piece: None)
        raise
    except OSError as error:
        if not feed.is_over:
            peer.association.data_of(message, lambda _piece: None)
        raise ServiceError(
            Problem.STORAGE_UNAVAILABLE, f"The instance could not be written ({error.strerror})."
        ) from error
    with intake.database.reading() as connection:
        kept = find_kept(
            connection,
            site=peer.device.site,
            study_keys=[study.key for study in outcome.studies],
            uids=[uid],
        )
    # Not found: the data set names another instance than the command, or none.
    return (SUCCESS, "") if sha256 in kept else (STORED_UNDER_ANOTHER_UID, "kept under a UID of its own")


def _is_kept(parts: Parts, peer: Peer, uid: str, file: UploadedFile) -> bool:
    """Whether the very data set is kept already in a file with another head, as by STOW-RS or an upload.

    To its sender that is the same image; as bytes of a file it would be another under a known UID.
    """
    with parts.dicomweb.database.reading() as connection:
        known = find_instances(connection, scope=peer.caller.scope, uids=[uid]).get(uid)
    if known is None or known.sha256 == file.sha256:
        return False
    with file.path.open("rb") as ours:
        return _are_alike(data_set_of(chunks_of(ours)), data_set_of(parts.dicomweb.objects.get(known.sha256)))


def _are_alike(ours: Iterator[bytes], theirs: Iterator[bytes]) -> bool:
    """Compare two streams whose pieces may be cut at different places."""
    left, right = b"", b""
    while True:
        left = left or next(ours, b"")
        right = right or next(theirs, b"")
        n_bytes = min(len(left), len(right))
        if left[:n_bytes] != right[:n_bytes]:
            return False
        if n_bytes == 0:
            return not left and not right
        left, right = left[n_bytes:], right[n_bytes:]


class _Feed:
    """Hands what comes to an upload, and from its first failure on throws it away."""

    def __init__(self) -> None:
        self._upload: ArrivingInstance | None = None
        self._error: ServiceError | None = None
        self.is_over = False

    def open(self, upload: ArrivingInstance, head: bytes) -> None:
        """Begin with the head of the file."""
        self._upload = upload
        self.take(memoryview(head))

    def take(self, piece: memoryview) -> None:
        """Take the next piece."""
        if self._error is not None or self._upload is None:
            return
        try:
            self._upload.feed(piece)  # type: ignore[arg-type]  # a view of bytes does as well
        except ServiceError as error:
            self._error = error

    def finish(self) -> None:
        """Check that all of it could be taken."""
        self.is_over = True
        if self._error is not None:
            raise self._error
        assert self._upload is not None
        self._upload.finish()
