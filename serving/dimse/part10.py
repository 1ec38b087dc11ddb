"""A received data set as a file, and a file's data set alone: what stands before it (PS3.10 7.1)."""

import struct
from collections.abc import Iterable, Iterator
from typing import Final

from data.dicom.writing import IMPLEMENTATION_UID

_PREFIX: Final = bytes(128) + b"DICM"
_LONG_VRS: Final = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
# File meta information is a few hundred bytes; private information in it may be more.
_MOST_OF_META: Final = 1024 * 1024


def head_of_file(*, sop_class: str, sop_instance: str, syntax: str) -> bytes:
    """Write what a file has before its data set.

    It depends on these three alone, so that the same data set sent twice makes the same file, whoever sends
    it and whichever version of the program receives it.
    """
    elements = struct.pack("<HH2s2xI", 2, 1, b"OB", 2) + b"\0\1"
    for element, uid in (
        (0x0002, sop_class),
        (0x0003, sop_instance),
        (0x0010, syntax),
        (0x0012, IMPLEMENTATION_UID),
    ):
        value = uid.encode("ascii", "replace")
        value += b"\0" * (len(value) % 2)
        elements += struct.pack("<HH2sH", 2, element, b"UI", len(value)) + value
    return _PREFIX + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(elements)) + elements


def data_set_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Leave out of a file's pieces what stands before its data set.

    Examples
    --------
    >>> head = head_of_file(sop_class="1.2", sop_instance="1.3", syntax="1.2.840.10008.1.2.1")
    >>> b"".join(data_set_of([head[:130], head[130:] + b"data", b" set"]))
    b'data set'
    """
    held = bytearray()
    source = iter(pieces)
    for piece in source:
        held += piece
        start = _start_of_data_set(held)
        if start is not None or len(held) > _MOST_OF_META:
            yield bytes(held[start or 0 :])
            held.clear()
            break
    if held:  # shorter than any head: there is none
        yield bytes(held)
    yield from source


def _start_of_data_set(head: bytearray) -> int | None:
    """Find where the elements of group 0002 end, None if that is further on."""
    if len(head) < 140:
        return None
    place = 132 if head[128:132] == b"DICM" else 0
    while place + 2 <= len(head):
        (group,) = struct.unpack_from("<H", head, place)
        if group != 2:
            return place
        if place + 12 > len(head):
            return None
        vr = bytes(head[place + 4 : place + 6])
        if vr in _LONG_VRS:
            place += 12 + struct.unpack_from("<I", head, place + 8)[0]
        elif vr.isalpha() and vr.isupper():
            place += 8 + struct.unpack_from("<H", head, place + 6)[0]
        else:
            place += 8 + struct.unpack_from("<I", head, place + 4)[0]
    return None
