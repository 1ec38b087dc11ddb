"""The units in which an association is asked for, granted, refused and ended (PS3.8 9.3).

Read strictly: whatever declares a length beyond what holds it, or leaves out what must be there, is no
request. Text is ASCII; a title that is none is none of ours.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from data.dicom.writing import IMPLEMENTATION_UID
from serving.dimse.errors import GarbledError

APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"
IMPLEMENTATION_VERSION: Final = "FIRSTREAD_1"

# Far above a request of 128 contexts with 60 transfer syntaxes each, 250 KB.
MOST_BYTES_OF_A_REQUEST: Final = 1024 * 1024

INVALID_PARAMETER: Final = 6
UNEXPECTED_PDU: Final = 2
UNRECOGNISED_PDU: Final = 1


class Kind(IntEnum):
    """What a unit is."""

    REQUEST = 1
    ACCEPT = 2
    REJECT = 3
    DATA = 4
    RELEASE = 5
    RELEASED = 6
    ABORT = 7


class Answer(IntEnum):
    """What became of a proposed context (PS3.8 table 9-18)."""

    ACCEPTED = 0
    USER_REFUSAL = 1
    NO_SUCH_CLASS = 3
    NO_SUCH_SYNTAX = 4


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an association is refused (PS3.8 table 9-21)."""

    result: int
    source: int
    reason: int


CALLING_UNKNOWN: Final = Refusal(1, 1, 3)
CALLED_UNKNOWN: Final = Refusal(1, 1, 7)
NOT_GIVEN: Final = Refusal(1, 1, 1)
NO_PROTOCOL: Final = Refusal(1, 2, 2)
NO_APPLICATION: Final = Refusal(1, 1, 2)
TOO_MANY: Final = Refusal(2, 3, 2)
CONGESTED: Final = Refusal(2, 3, 1)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A context that is asked for: a class of objects or services, and how they may be written."""

    number: int
    abstract: str
    syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grant:
    """What became of a proposal; `syntax` counts only if it was accepted."""

    number: int
    answer: Answer
    syntax: str


@dataclass(frozen=True, slots=True)
class Roles:
    """Which side may do what with a class (PS3.7 D.3.3.4), seen from who asked for the association."""

    is_user: bool
    is_provider: bool


@dataclass(frozen=True, slots=True)
class Request:
    """An A-ASSOCIATE-RQ; `max_length` is what its sender takes in one P-DATA, 0 for any."""

    called: str
    calling: str
    proposals: tuple[Proposal, ...]
    roles: Mapping[str, Roles] = field(default_factory=dict)
    max_length: int = 0
    implementation: str = ""
    protocol: int = 1
    application: str = APPLICATION_CONTEXT


@dataclass(frozen=True, slots=True)
class Acceptance:
    """An A-ASSOCIATE-AC."""

    called: str
    calling: str
    grants: tuple[Grant, ...]
    roles: Mapping[str, Roles] = field(default_factory=dict)
    max_length: int = 0


def write_request(request: Request) -> bytes:
    """Write an A-ASSOCIATE-RQ."""
    items = [_item(0x10, request.application.encode("ascii"))]
    for one in request.proposals:
        inner = _item(0x30, one.abstract.encode("ascii"))
        inner += b"".join(_item(0x40, syntax.encode("ascii")) for syntax in one.syntaxes)
        items.append(_item(0x20, bytes((one.number, 0, 0, 0)) + inner))
    items.append(_user_information(request.max_length, request.roles))
    return _associate(Kind.REQUEST, request.called, request.calling, items)


def write_acceptance(acceptance: Acceptance) -> bytes:
    """Write an A-ASSOCIATE-AC."""
    items = [_item(0x10, APPLICATION_CONTEXT.encode("ascii"))]
    for one in acceptance.grants:
        inner = _item(0x40, one.syntax.encode("ascii"))
        items.append(_item(0x21, bytes((one.number, 0, one.answer, 0)) + inner))
    items.append(_user_information(acceptance.max_length, acceptance.roles))
    return _associate(Kind.ACCEPT, acceptance.called, acceptance.calling, items)


def write_refusal(refusal: Refusal) -> bytes:
    """Write an A-ASSOCIATE-RJ."""
    return _unit(Kind.REJECT, bytes((0, refusal.result, refusal.source, refusal.reason)))


def write_abort(*, source: int, reason: int) -> bytes:
    """Write an A-ABORT."""
    return _unit(Kind.ABORT, bytes((0, 0, source, reason)))


RELEASE: Final = struct.pack(">BBI4x", Kind.RELEASE, 0, 4)
RELEASED: Final = struct.pack(">BBI4x", Kind.RELEASED, 0, 4)


def read_request(body: bytes) -> Request:
    """Read what an A-ASSOCIATE-RQ holds behind its six bytes of head.

    Raises
    ------
    GarbledError
        If it is none.
    """
    protocol, called, calling = _titles(body)
    application, proposals, information = "", [], b""
    for kind, value in _items(body[68:]):
        if kind == 0x10:
            application = _uid(value)
        elif kind == 0x20:
            proposals.append(_proposal(value))
        elif kind == 0x50:
            information = value
    if not proposals or len({one.number for one in proposals}) != len(proposals):
        raise GarbledError("it proposes no context, or two under one number", reason=INVALID_PARAMETER)
    max_length, roles, implementation = _user_items(information)
    return Request(
        called, calling, tuple(proposals), roles, max_length, implementation, protocol, application
    )


def read_acceptance(body: bytes) -> Acceptance:
    """Read what an A-ASSOCIATE-AC holds behind its head; see :func:`read_request`."""
    _, called, calling = _titles(body)
    grants, information = [], b""
    for kind, value in _items(body[68:]):
        if kind == 0x21 and len(value) >= 4:
            syntaxes = [_uid(inner) for sub, inner in _items(value[4:]) if sub == 0x40]
            # what is refused need not say how it would have been written
            answer = Answer(value[2]) if value[2] in set(Answer) else Answer.USER_REFUSAL
            if answer is Answer.ACCEPTED and not syntaxes:
                raise GarbledError("a context is accepted without a transfer syntax")
            grants.append(Grant(value[0], answer, syntaxes[0] if syntaxes else ""))
        elif kind == 0x50:
            information = value
    max_length, roles, _ = _user_items(information)
    return Acceptance(called, calling, tuple(grants), roles, max_length)


def read_refusal(body: bytes) -> Refusal:
    """Read what an A-ASSOCIATE-RJ holds behind its head."""
    if len(body) < 4:
        raise GarbledError("it refuses without a reason")
    return Refusal(body[1], body[2], body[3])


def _titles(body: bytes) -> tuple[int, str, str]:
    if len(body) < 68:
        raise GarbledError("it is too short for a request", reason=INVALID_PARAMETER)
    return struct.unpack_from(">H", body)[0], _text(body[4:20]).strip(), _text(body[20:36]).strip()


def _proposal(value: bytes) -> Proposal:
    if len(value) < 4 or value[0] % 2 == 0:
        raise GarbledError("a context has no odd number", reason=INVALID_PARAMETER)
    abstract, syntaxes = "", []
    for kind, inner in _items(value[4:]):
        if kind == 0x30:
            abstract = _uid(inner)
        elif kind == 0x40:
            syntaxes.append(_uid(inner))
    if not syntaxes:
        raise GarbledError("a context proposes no transfer syntax", reason=INVALID_PARAMETER)
    return Proposal(value[0], abstract, tuple(syntaxes))


def _user_items(information: bytes) -> tuple[int, dict[str, Roles], str]:
    max_length, roles, implementation = 0, {}, ""
    for kind, value in _items(information):
        if kind == 0x51 and len(value) == 4:
            (max_length,) = struct.unpack(">I", value)
        elif kind == 0x52:
            implementation = _uid(value)
        elif kind == 0x54 and len(value) >= 4:
            (n_bytes,) = struct.unpack_from(">H", value)
            if n_bytes + 4 > len(value):
                raise GarbledError("a role names no class", reason=INVALID_PARAMETER)
            roles[_uid(value[2 : 2 + n_bytes])] = Roles(bool(value[2 + n_bytes]), bool(value[3 + n_bytes]))
    return max_length, roles, implementation


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place < len(data):
        if place + 4 > len(data):
            raise GarbledError("an item is cut off", reason=INVALID_PARAMETER)
        kind, n_bytes = struct.unpack_from(">BxH", data, place)
        place += 4
        if place + n_bytes > len(data):
            raise GarbledError("an item is longer than what holds it", reason=INVALID_PARAMETER)
        yield kind, data[place : place + n_bytes]
        place += n_bytes


def _uid(value: bytes) -> str:
    return _text(value).rstrip("\0 ")[:64]


def _text(value: bytes) -> str:
    return value.decode("ascii", "replace").replace("\0", " ")


def _associate(kind: Kind, called: str, calling: str, items: Sequence[bytes]) -> bytes:
    titles = called.encode("ascii", "replace")[:16].ljust(16) + calling.encode("ascii", "replace")[:16].ljust(
        16
    )
    return _unit(kind, b"\0\x01\0\0" + titles + bytes(32) + b"".join(items))


def _user_information(max_length: int, roles: Mapping[str, Roles]) -> bytes:
    inner = _item(0x51, struct.pack(">I", max_length)) + _item(0x52, IMPLEMENTATION_UID.encode("ascii"))
    for uid, one in roles.items():
        name = uid.encode("ascii")
        inner += _item(0x54, struct.pack(">H", len(name)) + name + bytes((one.is_user, one.is_provider)))
    return _item(0x50, inner + _item(0x55, IMPLEMENTATION_VERSION.encode("ascii")))


def _item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


def _unit(kind: Kind, body: bytes) -> bytes:
    return struct.pack(">BxI", kind, len(body)) + body
