"""Reads the orders out of an ORM^O01 or OMI^O23 message.

Each ORC begins an order, and what follows up to the next one belongs to it. The most urgent of the places in
which a priority may stand counts, for versions and vendors differ in which one they fill.

References
----------
HL7 v2.5.1 chapter 4: ORC, OBR, TQ1; v2.8.2 chapter 4: IPC (OMI). Tables 0119 (order control), 0038 (order
status), 0485 (extended priority). IHE RAD TF-2 4.4 (accession number in OBR-18).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from serving.orders.message import Message, Segment
from serving.orders.refusal import ErrorCode, MessageRefusedError
from serving.store.orders import OrderedPatient, OrderState

# Where the accession number stands: the first of these that says something.
USUAL_ACCESSION = ("IPC-1", "OBR-18", "OBR-3", "ORC-3")
PLACE = re.compile(r"(IPC|OBR|ORC)-([1-9]\d?)")

# As long as an accession number and a question may be elsewhere: PS3.5 SH has 16 characters, and some more
# are in use.
MOST_OF_A_NUMBER = 64
MOST_OF_A_QUESTION = 4000
_MOST_ORDERS = 50

_PRIORITY = {
    "S": "stat",
    "STAT": "stat",
    "E": "stat",
    "EMERGENCY": "stat",
    "A": "urgent",
    "ASAP": "urgent",
    "U": "urgent",
    "URGENT": "urgent",
    "P": "urgent",
    "T": "urgent",
    "R": "routine",
    "ROUTINE": "routine",
    "C": "routine",
    "PRN": "routine",
    "N": "routine",
    "NORMAL": "routine",
}
_TIMED = re.compile(r"T[SMHDWL]\d+")
_URGENCY = ("stat", "urgent", "routine")

_STATE = {
    "CA": OrderState.REVOKED,
    "DC": OrderState.REVOKED,
    "RP": OrderState.REVOKED,
    "CM": OrderState.COMPLETED,
    "HD": OrderState.ON_HOLD,
    "ER": OrderState.UNKNOWN,
    "A": OrderState.ACTIVE,
    "IP": OrderState.ACTIVE,
    "SC": OrderState.ACTIVE,
}
_SEXES = {"M": "M", "F": "F", "O": "O", "A": "O"}


class Control(StrEnum):
    """What is to be done with an order (HL7 table 0119), of those that are taken."""

    NEW = "NW"
    CHANGE = "XO"
    CANCEL = "CA"
    DISCONTINUE = "DC"
    STATUS = "SC"


@dataclass(frozen=True, slots=True)
class Told:
    """What a message says of one order; None where it says nothing, so that a change leaves it as it was."""

    control: Control
    accession: str | None
    placer: str | None
    priority: str | None
    question: str | None
    procedure: str | None
    patient: OrderedPatient | None
    state: OrderState
    location: str


@dataclass
class _Group:
    """The segments of one order."""

    orc: Segment
    obr: Segment | None = None
    others: list[Segment] = field(default_factory=list)
    notes: list[Segment] = field(default_factory=list)

    def named(self, name: str) -> list[Segment]:
        found = [self.orc, *([] if self.obr is None else [self.obr]), *self.others]
        return [segment for segment in found if segment.name == name]


def orders_told(message: Message, *, accession: Sequence[str] = USUAL_ACCESSION) -> list[Told]:
    """Give what a message says of each of its orders.

    Parameters
    ----------
    message : Message
    accession : sequence of str
        Where the accession number stands, as ``OBR-18``; the first that says something counts.

    Raises
    ------
    MessageRefusedError
        If it has no order, or one that cannot be taken.
    """
    patient = _patient(message)
    told: dict[tuple[str | None, str | None], Told] = {}
    for group in _groups(message):
        one = _told(group, patient, accession)
        number = (one.accession, one.placer)
        told[number] = _together(told[number], one) if number in told else one
    if not told:
        raise MessageRefusedError(ErrorCode.SEGMENT_SEQUENCE, "The message has no ORC, so no order.", "ORC^1")
    if len(told) > _MOST_ORDERS:
        raise MessageRefusedError(
            ErrorCode.SEGMENT_SEQUENCE, f"The message has more than {_MOST_ORDERS} orders: send several."
        )
    return list(told.values())


def _together(one: Told, other: Told) -> Told:
    """Join what is said of several procedures of one order."""
    if one.control is not other.control:
        raise MessageRefusedError(
            ErrorCode.SEGMENT_SEQUENCE, "Two parts of the message contradict each other.", other.location
        )
    priorities = [given for given in (one.priority, other.priority) if given is not None]
    return replace(
        one,
        priority=min(priorities, key=_URGENCY.index, default=None),
        question=_joined(one.question, other.question, by="\n"),
        procedure=_joined(one.procedure, other.procedure, by="; "),
    )


def _joined(*texts: str | None, by: str) -> str | None:
    said = [text for text in texts if text is not None]
    return by.join(dict.fromkeys(text for text in said if text))[:MOST_OF_A_QUESTION] if said else None


def _groups(message: Message) -> Iterator[_Group]:
    group: _Group | None = None
    takes_notes = False
    for segment in message.segments:
        if segment.name == "ORC":
            if group is not None:
                yield group
            group = _Group(segment)
        elif segment.name == "OBR":
            if group is None:
                raise MessageRefusedError(
                    ErrorCode.SEGMENT_SEQUENCE, "OBR stands before any ORC.", f"OBR^{segment.number}"
                )
            if group.obr is not None:  # several procedures of one order
                yield group
                group = _Group(group.orc)
            group.obr = segment
        elif group is not None and segment.name in {"TQ1", "IPC"}:
            group.others.append(segment)
        elif group is not None and segment.name == "NTE" and takes_notes:
            group.notes.append(segment)
        takes_notes = segment.name == "OBR" or (takes_notes and segment.name in {"NTE", "TQ1", "TQ2", "CTD"})
    if group is not None:
        yield group


def _told(group: _Group, patient: OrderedPatient | None, places: Sequence[str]) -> Told:
    control = _control(group.orc)
    accession, where = _accession(group, places)
    placer = group.orc.given(2) or (None if group.obr is None else group.obr.given(2))
    state = _state(group.orc, control)
    told = Told(
        control=control,
        accession=_checked(accession, where),
        placer=_checked(placer, group.orc.location(2)),
        priority=_priority(group),
        question=_question(group),
        procedure=_procedure(group.obr),
        patient=patient,
        state=state,
        location=group.orc.location(1),
    )
    if control in {Control.NEW, Control.CHANGE}:
        _require(told, group, places)
    elif not (told.accession or told.placer):
        raise MessageRefusedError(
            ErrorCode.FIELD_MISSING,
            f"The order has neither a placer's number nor an accession number ({', '.join(places)}).",
            group.orc.location(2),
        )
    return told


def _require(told: Told, group: _Group, places: Sequence[str]) -> None:
    if group.obr is None:
        raise MessageRefusedError(
            ErrorCode.SEGMENT_SEQUENCE, "OBR does not follow ORC.", f"ORC^{group.orc.number}"
        )
    if not told.accession:
        raise MessageRefusedError(
            ErrorCode.FIELD_MISSING,
            f"The order has no accession number, by which its study is found: it is looked for in "
            f"{', '.join(places)}.",
            group.obr.location(18),
        )
    if told.patient is None or not told.patient.identifiers:
        raise MessageRefusedError(
            ErrorCode.FIELD_MISSING, "PID-3 has no identifier of the patient.", "PID^1^3"
        )


def _control(orc: Segment) -> Control:
    given = orc.text(1).upper()
    if not given:
        raise MessageRefusedError(
            ErrorCode.FIELD_MISSING, "ORC-1 does not say what is to be done.", orc.location(1)
        )
    if given not in set(Control):
        raise MessageRefusedError(
            ErrorCode.VALUE_NOT_FOUND,
            f"The order control {given[:8]!a} is not taken: {', '.join(Control)} are.",
            orc.location(1),
        )
    return Control(given)


def _state(orc: Segment, control: Control) -> OrderState:
    if control in {Control.CANCEL, Control.DISCONTINUE}:
        return OrderState.REVOKED
    given = orc.text(5).upper()
    if control is Control.STATUS and not given:
        raise MessageRefusedError(ErrorCode.FIELD_MISSING, "ORC-5 gives no status.", orc.location(5))
    if given and given not in _STATE:
        raise MessageRefusedError(
            ErrorCode.VALUE_NOT_FOUND,
            f"The order status {given[:8]!a} is not of table 0038: {', '.join(_STATE)}.",
            orc.location(5),
        )
    return _STATE.get(given, OrderState.ACTIVE)


def _accession(group: _Group, places: Sequence[str]) -> tuple[str | None, str]:
    for place in places:
        name, _, number = place.partition("-")
        for segment in group.named(name):
            found = segment.given(int(number))
            if found:
                return found, segment.location(int(number))
    return None, ""


def _checked(number: str | None, location: str) -> str | None:
    if number is None:
        return None
    if len(number) > MOST_OF_A_NUMBER or not number.isprintable():
        raise MessageRefusedError(
            ErrorCode.DATA_TYPE,
            f"The number has more than {MOST_OF_A_NUMBER} characters, or odd ones.",
            location,
        )
    return number


def _priority(group: _Group) -> str | None:
    """Give the most urgent of what is said."""
    found = [(segment.text(9), segment.location(9)) for segment in group.named("TQ1")]
    found += [(group.orc.text(7, 6), group.orc.location(7))]
    if group.obr is not None:
        found += [(group.obr.text(5), group.obr.location(5)), (group.obr.text(27, 6), group.obr.location(27))]
    meant = [_meant_priority(given, location) for given, location in found if given]
    return min(meant, key=_URGENCY.index, default=None)


def _meant_priority(given: str, location: str) -> str:
    word = given.upper()
    if _TIMED.fullmatch(word):
        return "urgent"
    if word not in _PRIORITY:  # to take it for routine could hide an emergency
        raise MessageRefusedError(
            ErrorCode.VALUE_NOT_FOUND,
            f"The priority {given[:16]!a} is not of table 0485: S, A, R, P, C, T, PRN.",
            location,
        )
    return _PRIORITY[word]


def _question(group: _Group) -> str | None:
    """Join what the doctor wants to know: reason for study, relevant clinical information, notes."""
    obr = group.obr
    if obr is None:
        return None
    reasons = [
        _first_said(obr.given(31, 2, repetition=number), obr.given(31, 1, repetition=number))
        for number in range(1, obr.n_repetitions(31) + 1)
    ]
    notes = [
        note.given(3, repetition=number)
        for note in group.notes
        for number in range(1, note.n_repetitions(3) + 1)
    ]
    return _joined(*reasons, obr.given(13), *notes, by="\n")


def _first_said(*given: str | None) -> str | None:
    return next((one for one in given if one is not None), None)


def _procedure(obr: Segment | None) -> str | None:
    if obr is None:
        return None
    return _first_said(obr.given(4, 2), obr.given(44, 2), obr.given(4, 1), obr.given(44, 1))


def _patient(message: Message) -> OrderedPatient | None:
    pid = next(message.named("PID"), None)
    if pid is None:
        return None
    birth_date = pid.text(7)[:8]
    if birth_date and re.fullmatch(r"\d{4}(\d{2}){0,2}", birth_date) is None:
        raise MessageRefusedError(ErrorCode.DATA_TYPE, "PID-7 is no date.", pid.location(7))
    return OrderedPatient(
        tuple(_identifiers(pid)),
        _name(pid),
        birth_date if len(birth_date) == 8 else "",
        _SEXES.get(pid.text(8).upper(), ""),
    )


def _identifiers(pid: Segment) -> Iterator[tuple[str, str]]:
    """Give every identifier with its issuer, that of the medical record first."""
    found = []
    for number in range(1, pid.n_repetitions(3) + 1):
        identifier = pid.text(3, 1, repetition=number)
        if identifier:
            issuer = pid.text(3, 4, 1, repetition=number) or pid.text(3, 4, 2, repetition=number)
            _checked(identifier, pid.location(3))
            is_other = pid.text(3, 5, repetition=number).upper() not in {"MR", "PI", "PT", ""}
            found.append((is_other, (issuer[:MOST_OF_A_NUMBER], identifier)))
    return (pair for _, pair in sorted(found, key=lambda one: one[0]))


def _name(pid: Segment) -> str:
    """Give the name as DICOM writes it: alphabetic, ideographic and phonetic, each family^given^and so on."""
    groups = {"A": "", "I": "", "P": ""}
    for number in range(1, pid.n_repetitions(5) + 1):
        family, given, middle, suffix, prefix = (
            pid.text(5, component, repetition=number).replace("^", " ").replace("=", " ")
            for component in range(1, 6)
        )
        name = f"{family}^{given}^{middle}^{prefix}^{suffix}".rstrip("^")
        kind = pid.text(5, 8, repetition=number).upper()
        kind = kind if kind in groups else next((one for one, taken in groups.items() if not taken), "")
        if kind and not groups[kind]:
            groups[kind] = name[:255]
    return "=".join(groups.values()).rstrip("=")
