"""What the service is to a device that calls: who may come in, and what each message is answered with."""

import logging
import struct
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from serving.dimse.association import SHORTEST_LENGTH, Association, Message
from serving.dimse.classes import COMMITMENT, STUDY_FIND, STUDY_GET, STUDY_MOVE, VERIFICATION
from serving.dimse.commands import Field, Tag, answer_to, is_answer, number
from serving.dimse.commitment import commit
from serving.dimse.errors import GarbledError, RefusedError
from serving.dimse.finding import find
from serving.dimse.line import Line
from serving.dimse.negotiation import contexts_of, granted, offer_to, roles_of
from serving.dimse.pdu import (
    APPLICATION_CONTEXT,
    CALLED_UNKNOWN,
    CALLING_UNKNOWN,
    CONGESTED,
    MOST_BYTES_OF_A_REQUEST,
    NO_APPLICATION,
    NO_PROTOCOL,
    NOT_GIVEN,
    TOO_MANY,
    UNEXPECTED_PDU,
    UNRECOGNISED_PDU,
    Acceptance,
    Kind,
    Refusal,
    Request,
    read_request,
    write_acceptance,
    write_refusal,
)
from serving.dimse.peer import Parts, Peer, caller_of
from serving.dimse.retrieving import get, move
from serving.dimse.statuses import SUCCESS, UNKNOWN_OPERATION
from serving.dimse.storing import store
from serving.store.audit_chain import Action, ActorKind, AuditEvent, Result, Who
from serving.store.devices import Device, find_device
from serving.store.tenancy import NETWORK, Scope

log = logging.getLogger(__name__)

# Which operation a class has; those of storage have C-STORE alone.
_OPERATIONS: Final[Mapping[str, frozenset[int]]] = {
    VERIFICATION: frozenset({Field.ECHO}),
    STUDY_FIND: frozenset({Field.FIND}),
    STUDY_MOVE: frozenset({Field.MOVE}),
    STUDY_GET: frozenset({Field.GET}),
    COMMITMENT: frozenset({Field.ACTION}),
}
_OF_STORAGE: Final = frozenset({int(Field.STORE)})


@dataclass(frozen=True, slots=True)
class Visit:
    """Who connects: the address, and the fingerprint of the certificate that was shown and verified."""

    address: str
    certificate: str | None = None


@dataclass
class Entity:
    """Lets devices in and answers them; `stopping` says that no further message is answered.

    Parameters
    ----------
    parts : Parts
        What the answers are made with.
    """

    parts: Parts
    stopping: threading.Event = field(default_factory=threading.Event)
    _counted: threading.Lock = field(default_factory=threading.Lock)
    _standing: Counter[str] = field(default_factory=Counter)

    @property
    def n_associations(self) -> int:
        """How many stand now."""
        with self._counted:
            return self._standing.total()

    def serve(self, line: Line, visit: Visit, on_standing: Callable[[Association], None]) -> None:
        """Speak with whoever connected, until one side ends it.

        Parameters
        ----------
        line : Line
            The connection, closed by the caller.
        visit : Visit
            Who connects.
        on_standing : callable
            Is told of the association once it stands, so that it can be ended from outside.

        Raises
        ------
        DimseError
            If it does not end in good order; the other side has been told.
        """
        request = self._request(line)
        device, refusal = self._admitted(request, visit)
        if refusal is not None or device is None:
            self._note(request, visit, device, refusal)
            self.parts.figures["refused-associations"] += 1
            line.write(write_refusal(refusal or NOT_GIVEN), until_s=line.clock() + 5.0)
            raise RefusedError(f"the association of {request.calling!r} was refused")
        try:
            peer = self._granted(line, request, device, visit)
            on_standing(peer.association)
            self._answer_all(peer)
        finally:
            with self._counted:
                self._standing[device.title] -= 1

    def _request(self, line: Line) -> Request:
        until_s = line.clock() + self.parts.terms.patience.handshake_s
        kind, n_bytes = struct.unpack(">BxI", line.read(6, until_s=until_s))
        if kind != Kind.REQUEST:
            reason = UNEXPECTED_PDU if kind in set(Kind) else UNRECOGNISED_PDU
            raise GarbledError("what came is no request of an association", reason=reason)
        if n_bytes > MOST_BYTES_OF_A_REQUEST:
            raise GarbledError(f"a request has {n_bytes:,} bytes")
        return read_request(line.read(n_bytes, until_s=until_s))

    def _admitted(self, request: Request, visit: Visit) -> tuple[Device | None, Refusal | None]:
        """Find who calls, and whether they may; whoever may is counted."""
        if (refusal := _misfit(request)) is not None:
            return None, refusal
        try:
            with self.parts.dicomweb.database.reading() as connection:
                device = find_device(connection, request.calling, scope=Scope(None))
        except self.parts.dicomweb.database.failures as error:
            log.error("a device could not be looked up: %s", error)
            return None, CONGESTED
        if device is None or device.fingerprint not in {"", visit.certificate}:
            return device, CALLING_UNKNOWN
        if request.called != (device.called_title or self.parts.terms.title):
            return device, CALLED_UNKNOWN
        return device, self._counted_in(device)

    def _counted_in(self, device: Device) -> Refusal | None:
        terms = self.parts.terms
        with self._counted:
            if self.stopping.is_set():
                return CONGESTED
            is_full = self._standing.total() >= terms.most_associations
            if is_full or self._standing[device.title] >= terms.most_of_a_device:
                return TOO_MANY
            self._standing[device.title] += 1
        return None

    def _granted(self, line: Line, request: Request, device: Device, visit: Visit) -> Peer:
        terms, offer = self.parts.terms, offer_to(device.services)
        roles = roles_of(request, offer)
        grants = granted(request, offer)
        self._note(request, visit, device, None)
        acceptance = Acceptance(request.called, request.calling, grants, roles, terms.max_length)
        line.write(write_acceptance(acceptance), until_s=line.clock() + terms.patience.handshake_s)
        association = Association(
            line,
            contexts_of(request.proposals, grants),
            max_length=terms.max_length,
            peer_max_length=request.max_length,
            patience=terms.patience,
        )
        self.parts.figures["associations"] += 1
        caller = caller_of(device, address=visit.address, certificate=visit.certificate)
        takes = frozenset(uid for uid, role in roles.items() if role.is_provider)
        return Peer(device, caller, association, takes)

    def _answer_all(self, peer: Peer) -> None:
        while not self.stopping.is_set():
            message = peer.association.receive()
            if message is None:
                return
            self._answer(peer, message)
        peer.association.abort()

    def _answer(self, peer: Peer, message: Message) -> None:
        asked = number(message.command, Tag.FIELD)
        if asked == Field.CANCEL:  # of what was answered already
            return
        if is_answer(message.command):
            raise GarbledError("an answer came to what was not asked", reason=UNEXPECTED_PDU)
        if asked not in _OPERATIONS.get(message.context.abstract, _OF_STORAGE):
            peer.association.data_of(message, lambda _piece: None)
            peer.association.send(message.context, answer_to(message.command, UNKNOWN_OPERATION))
        elif asked == Field.ECHO:
            peer.association.data_of(message, lambda _piece: None)
            peer.association.send(message.context, answer_to(message.command, SUCCESS))
        elif asked == Field.ACTION:
            commit(self.parts, peer, message, self.stopping)
        else:
            _ANSWERED_BY[asked](self.parts, peer, message)

    def _note(self, request: Request, visit: Visit, device: Device | None, refusal: Refusal | None) -> None:
        title = "".join(letter if letter.isprintable() else "?" for letter in request.calling)
        details: dict[str, object] = {"called": request.called, "by_tls": visit.certificate is not None}
        if refusal is not None:
            details["refused"] = f"{refusal.result}/{refusal.source}/{refusal.reason}"
        who = Who(ActorKind.DEVICE, title, visit.certificate, visit.address)
        self.parts.trail.note(
            AuditEvent(
                Action.ASSOCIATED,
                who,
                NETWORK if device is None else device.site,
                self.parts.trail.clock(),
                result=Result.DONE if refusal is None else Result.REFUSED,
                details=details,
            )
        )


def _misfit(request: Request) -> Refusal | None:
    """Say what of a request no association can be made of."""
    if request.protocol & 1 == 0:
        return NO_PROTOCOL
    if request.application != APPLICATION_CONTEXT:
        return NO_APPLICATION
    return NOT_GIVEN if 0 < request.max_length < SHORTEST_LENGTH else None


_ANSWERED_BY: Final[Mapping[int, Callable[[Parts, Peer, Message], None]]] = {
    Field.STORE: store,
    Field.FIND: find,
    Field.MOVE: move,
    Field.GET: get,
}
