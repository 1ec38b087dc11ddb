"""The commands that the messages of an association begin with (PS3.7 6.3, annex E).

A command set is a handful of elements in implicit VR little endian; it is read as that and nothing more.
"""

import struct
from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from serving.dimse.errors import GarbledError

Value = str | int
Command = Mapping["Tag", Value]

# Ten times what the longest has: a list of attributes is not used here.
MOST_BYTES: Final = 16 * 1024

_NO_DATA: Final = 0x0101
WITH_DATA: Final = 0x0001
_ANSWER: Final = 0x8000


class Tag(IntEnum):
    """The elements of a command, all of group 0000."""

    AFFECTED_CLASS = 0x0002
    REQUESTED_CLASS = 0x0003
    FIELD = 0x0100
    MESSAGE_ID = 0x0110
    ANSWERED_ID = 0x0120
    DESTINATION = 0x0600
    PRIORITY = 0x0700
    DATA_SET = 0x0800
    STATUS = 0x0900
    COMMENT = 0x0902
    AFFECTED_INSTANCE = 0x1000
    REQUESTED_INSTANCE = 0x1001
    EVENT = 0x1002
    ACTION = 0x1008
    N_REMAINING = 0x1020
    N_COMPLETED = 0x1021
    N_FAILED = 0x1022
    N_WARNING = 0x1023
    ORIGINATOR = 0x1030
    ORIGINATOR_ID = 0x1031


class Field(IntEnum):
    """What a command asks for; its answer has the highest bit besides."""

    STORE = 0x0001
    GET = 0x0010
    FIND = 0x0020
    MOVE = 0x0021
    ECHO = 0x0030
    EVENT_REPORT = 0x0100
    ACTION = 0x0130
    CANCEL = 0x0FFF


_TEXTS = {
    Tag.AFFECTED_CLASS: 64,
    Tag.REQUESTED_CLASS: 64,
    Tag.AFFECTED_INSTANCE: 64,
    Tag.REQUESTED_INSTANCE: 64,
    Tag.DESTINATION: 16,
    Tag.ORIGINATOR: 16,
    Tag.COMMENT: 64,
}
_UIDS = {Tag.AFFECTED_CLASS, Tag.REQUESTED_CLASS, Tag.AFFECTED_INSTANCE, Tag.REQUESTED_INSTANCE}
_KNOWN = {int(tag): tag for tag in Tag}


def write_command(command: Command, *, has_data: bool) -> bytes:
    """Write a command set, with its group length and whether a data set follows."""
    elements = {**command, Tag.DATA_SET: WITH_DATA if has_data else _NO_DATA}
    body = b"".join(_element(tag, elements[tag]) for tag in sorted(elements))
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def read_command(data: bytes) -> dict[Tag, Value]:
    """Read a command set.

    Raises
    ------
    GarbledError
        If it is none, or says not what it is.
    """
    command: dict[Tag, Value] = {}
    place = 0
    while place < len(data):
        if place + 8 > len(data):
            raise GarbledError("a command is cut off")
        group, element, n_bytes = struct.unpack_from("<HHI", data, place)
        place += 8
        if group != 0 or place + n_bytes > len(data):
            raise GarbledError("a command holds what is none")
        tag = _KNOWN.get(element)
        if tag is not None:
            command[tag] = _value(tag, data[place : place + n_bytes])
        place += n_bytes
    if Tag.FIELD not in command or Tag.DATA_SET not in command:
        raise GarbledError("a command does not say what it asks for")
    return command


def has_data_set(command: Command) -> bool:
    """Whether a data set follows the command."""
    return command[Tag.DATA_SET] != _NO_DATA


def is_answer(command: Command) -> bool:
    """Whether a command answers another."""
    return bool(number(command, Tag.FIELD) & _ANSWER)


def number(command: Command, tag: Tag) -> int:
    """Give a number of a command, 0 where there is none."""
    value = command.get(tag, 0)
    return value if isinstance(value, int) else 0


def text(command: Command, tag: Tag) -> str:
    """Give a text of a command, empty where there is none."""
    value = command.get(tag, "")
    return value if isinstance(value, str) else ""


def answer_to(command: Command, status: int, comment: str = "", **more: Value) -> dict[Tag, Value]:
    """Make the answer to a command; `more` is by the names of the elements."""
    answer: dict[Tag, Value] = {
        Tag.FIELD: number(command, Tag.FIELD) | _ANSWER,
        Tag.ANSWERED_ID: number(command, Tag.MESSAGE_ID),
        Tag.STATUS: status,
    }
    for ours, theirs in (
        (Tag.AFFECTED_CLASS, Tag.REQUESTED_CLASS),
        (Tag.AFFECTED_INSTANCE, Tag.REQUESTED_INSTANCE),
    ):
        if named := text(command, ours) or text(command, theirs):
            answer[ours] = named
    if comment:
        answer[Tag.COMMENT] = comment
    return answer | {Tag[name]: value for name, value in more.items()}


def _element(tag: Tag, value: Value) -> bytes:
    if isinstance(value, int):
        data = struct.pack("<H", value)
    else:
        data = value.encode("ascii", "replace")[: _TEXTS[tag]]
        if len(data) % 2:
            data += b"\0" if tag in _UIDS else b" "
    return struct.pack("<HHI", 0, tag, len(data)) + data


def _value(tag: Tag, data: bytes) -> Value:
    if tag in _TEXTS:
        return data.decode("ascii", "replace").rstrip("\0 ").lstrip(" ")
    if len(data) != 2:
        raise GarbledError("a number of a command is none")
    value: int = struct.unpack("<H", data)[0]
    return value
