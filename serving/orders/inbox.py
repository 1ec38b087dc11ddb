"""Takes one HL7 message after another: read, carried out, and only then answered."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from serving.orders.acknowledgement import answers
from serving.orders.charset import Text, decode
from serving.orders.message import Message, parse
from serving.orders.message_orders import USUAL_ACCESSION, Control, Told, orders_told
from serving.orders.refusal import ErrorCode, MessageRefusedError
from serving.orders.service import Orders, Wanted
from serving.store.audit_chain import ActorKind, Who
from serving.store.hl7_senders import Hl7Sender, is_carried_out, note_carried_out, read_senders
from serving.store.orders import (
    Order,
    OrderedPatient,
    OrderState,
    StoredOrder,
    find_orders,
    turns_of,
)
from serving.store.tenancy import NETWORK, Scope
from serving.store.texts import storable
from serving.store.times import from_us

if TYPE_CHECKING:  # the database has one home, the store
    from sqlalchemy import Connection

log = logging.getLogger(__name__)

_EVENTS = {"ORM": "O01", "OMI": "O23"}
_VERSIONS = ("2.1", "2.2", "2.3", "2.4", "2.5", "2.6", "2.7", "2.8", "2.9")

# A number is remembered as long as any engine tries again.
_REMEMBERED = timedelta(days=30)

_EVERY_SITE = Scope(None)


@dataclass(frozen=True)
class Inbox:
    """Takes messages for `orders`, of the senders that were entered."""

    orders: Orders

    def knows(self, address: str) -> bool:
        """Whether any sender's messages may come from an address."""
        return bool(self._senders_at(address))

    def take(self, raw: bytes, *, address: str) -> list[bytes]:
        """Carry a message out and give the answers to it, each without its frame.

        What cannot be carried out is refused in the answer. A fault of the database is answered by AR, and
        the sender tries again.
        """
        now = from_us(self.orders.clock())
        message: Message | None = None
        sender: Hl7Sender | None = None
        refusal: MessageRefusedError | None = None
        try:
            candidates = self._senders_at(address)
            message = _header_alone(raw)
            sender = _sender_of(message, candidates)
            message = parse(decode(raw, override=sender.charset))
            self._carry_out(message, sender, raw, address)
        except MessageRefusedError as error:
            refusal = error
            self._note_refusal(error, sender, address)
        except self.orders.database.failures as error:
            log.error("an order could not be written down: %s", type(error).__name__)
            refusal = MessageRefusedError(
                ErrorCode.INTERNAL, "The message could not be written down: send it again later."
            )
        return answers(message, refusal, now=now)

    def _senders_at(self, address: str) -> list[Hl7Sender]:
        with self.orders.database.reading() as connection:
            return [one for one in read_senders(connection, scope=_EVERY_SITE) if one.is_from(address)]

    def _carry_out(self, message: Message, sender: Hl7Sender, raw: bytes, address: str) -> None:
        control_id = _checked_header(message)
        places = tuple(sender.accession.split(",")) if sender.accession else USUAL_ACCESSION
        told = orders_told(message, accession=places)
        names = [
            name for one in told for name in turns_of(sender.site, accession=one.accession, placer=one.placer)
        ]
        label = _name_of(message)
        digest = hashlib.sha256(raw).hexdigest()
        numbered = {"site": sender.site, "sender": label, "control_id": control_id, "sha256": digest}

        def decide(connection: "Connection") -> Sequence[Wanted] | None:
            if is_carried_out(connection, **numbered):
                return None
            return _wanted(connection, told, sender.site, label)

        def note(connection: "Connection", now_us: int) -> None:
            before_us = now_us - _REMEMBERED // timedelta(microseconds=1)
            note_carried_out(connection, **numbered, now_us=now_us, forget_before_us=before_us)

        taken = self.orders.take(
            [*names, f"hl7\0{sender.site}\0{label}\0{control_id}"],
            decide,
            site=sender.site,
            who=_who(sender, address),
            then=note,
        )
        log.info("took %d orders by HL7", len(taken), extra={"site": sender.site})

    def _note_refusal(self, error: MessageRefusedError, sender: Hl7Sender | None, address: str) -> None:
        site = NETWORK if sender is None else sender.site
        log.warning("an HL7 message is refused: %s %s", error.code, error.location, extra={"site": site})
        self.orders.note_refusal(f"hl7-{error.code}", site=site, who=_who(sender, address))


def _header_alone(raw: bytes) -> Message:
    """Read the header alone, for an answer that repeats parts of it, whatever the rest is written in."""
    header = raw.lstrip(b"\xef\xbb\xbf \r\n").partition(b"\r")[0].partition(b"\n")[0]
    try:
        return parse(decode(header))
    except MessageRefusedError:
        return parse(Text(header.decode("latin_1"), "latin_1", ""))


def _sender_of(message: Message, candidates: Sequence[Hl7Sender]) -> Hl7Sender:
    """Find whose message it is: the closest of those that fit."""
    application, facility = message.header.text(3), message.header.text(4)
    fitting = [one for one in candidates if one.is_named(application, facility)]
    if not fitting:
        raise MessageRefusedError(
            ErrorCode.UNKNOWN_KEY,
            "No sender of this application and facility (MSH-3, MSH-4) is allowed from this address: have "
            "the operator enter it (firstread admin hl7-senders add).",
            "MSH^1^3",
        )
    return max(fitting, key=lambda one: one.precision)


def _checked_header(message: Message) -> str:
    """Check type, event, version and processing id, and give the control id."""
    header = message.header
    control_id = header.raw(10).strip()
    if not control_id or len(control_id) > 199:
        raise MessageRefusedError(
            ErrorCode.FIELD_MISSING, "MSH-10 has no number by which the message is answered.", "MSH^1^10"
        )
    kind, event = header.text(9, 1), header.text(9, 2)
    if kind not in _EVENTS:
        raise MessageRefusedError(
            ErrorCode.UNSUPPORTED_TYPE, "ORM^O01 and OMI^O23 are taken, no other messages.", "MSH^1^9"
        )
    if event and event != _EVENTS[kind]:
        raise MessageRefusedError(
            ErrorCode.UNSUPPORTED_EVENT, f"Of {kind} the event {_EVENTS[kind]} is taken.", "MSH^1^9"
        )
    version = header.text(12)
    if version and version[:3] not in _VERSIONS:
        raise MessageRefusedError(
            ErrorCode.UNSUPPORTED_VERSION,
            f"Versions {_VERSIONS[0]} to {_VERSIONS[-1]} are taken.",
            "MSH^1^12",
        )
    if header.text(11).upper() not in {"", "P"}:
        raise MessageRefusedError(
            ErrorCode.UNSUPPORTED_PROCESSING_ID,
            "Messages of production (P) are taken: an order of a training or a test must not move a patient.",
            "MSH^1^11",
        )
    return storable(control_id)


def _wanted(connection: "Connection", told: Sequence[Told], site: str, label: str) -> list[Wanted]:
    wanted: list[Wanted] = []
    for one in told:
        known = _known(connection, one, site)
        if known is None and one.control not in {Control.NEW, Control.CHANGE}:
            raise MessageRefusedError(
                ErrorCode.UNKNOWN_KEY,
                "There is no order of this number that could be changed, or several: give both the placer's "
                "and the accession number.",
                one.location,
            )
        wanted.append(Wanted(_order(one, None if known is None else known.order, label), known))
    return wanted


def _known(connection: "Connection", told: Told, site: str) -> StoredOrder | None:
    """Find the order that is meant: by both numbers, else by the one that there is, if it is of one order."""
    scope = Scope.of(site)
    if told.accession:
        found = find_orders(connection, scope=scope, accession=told.accession, placer=told.placer)
        if len(found) == 1:
            return found[0]
    if told.placer:
        found = find_orders(connection, scope=scope, placer=told.placer)
        if len(found) == 1 and (told.accession is None or told.control is Control.CHANGE):
            return found[0]
    return None


def _order(told: Told, known: Order | None, label: str) -> Order:
    if known is not None and told.control not in {Control.NEW, Control.CHANGE}:
        return replace(known, state=told.state)
    if known is None or told.control is Control.NEW:
        known = Order(
            accession=told.accession or "",
            placer=told.placer or "",
            priority="routine",
            question="",
            procedure="",
            patient=OrderedPatient(()),
            state=OrderState.ACTIVE,
            source="hl7",
            sender=label,
        )
    return replace(
        known,
        accession=told.accession or known.accession,
        placer=told.placer or known.placer,
        priority=told.priority or known.priority,
        question=known.question if told.question is None else storable(told.question),
        procedure=known.procedure if told.procedure is None else storable(told.procedure),
        patient=known.patient if told.patient is None else _storable(told.patient),
        state=told.state,
        source="hl7",
        sender=label,
    )


def _storable(patient: OrderedPatient) -> OrderedPatient:
    pairs = tuple((storable(issuer), storable(identifier)) for issuer, identifier in patient.identifiers)
    return replace(patient, identifiers=pairs, name=storable(patient.name))


def _name_of(message: Message) -> str:
    header = message.header
    return storable(f"{header.text(3)}@{header.text(4)}"[:200])


def _who(sender: Hl7Sender | None, address: str) -> Who:
    if sender is None:
        return Who(ActorKind.ANONYMOUS, "hl7", address=address)
    return Who(ActorKind.SERVICE, f"hl7-sender {sender.key[:8]}", address=address)
