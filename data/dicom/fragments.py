"""Finds the bytes of one frame among the fragments of encapsulated pixel data.

Frames are cut into items; a table of offsets, where there is one, says which item begins a frame. Tables
are often empty and sometimes wrong, so the items' own headers are walked first (a seek each, no pixel is
read) and a table is believed only if every entry of it points at an item.

References
----------
PS3.5 A.4 and C.7.6.3.1.8 (Extended Offset Table) of PS3.3.
"""

import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from data.errors import ImageError, Reason

_ITEM = 0xFFFEE000
_SEQUENCE_END = 0xFFFEE0DD
# A whole-slide image in tiles has some hundred thousand; more is not an image that anyone reads.
MAX_FRAGMENTS = 1_000_000
# How the code streams of DICOM begin: JPEG and JPEG-LS, JPEG 2000, JP2, JPEG XL.
_STREAM_STARTS = (
    b"\xff\xd8\xff",
    b"\xff\x4f\xff\x51",
    b"\x00\x00\x00\x0cjP",
    b"\xff\x0a",
    b"\x00\x00\x00\x0cJXL ",
)


@dataclass(frozen=True, slots=True)
class Fragment:
    """One item of the pixel data: `offset` is that of its bytes in the file, `length` their number."""

    offset: int
    length: int


def frame_fragments(
    path: Path,
    stream: BinaryIO,
    start: int,
    n_bytes: int,
    n_frames: int,
    *,
    is_little_endian: bool = True,
    extended_offsets: tuple[int, ...] = (),
) -> tuple[tuple[Fragment, ...], ...]:
    """Give each frame's fragments in order.

    Parameters
    ----------
    path : Path
        The file, for errors.
    stream : BinaryIO
        It, opened.
    start, n_bytes : int, bytes
        Where the pixel data's value begins, and where the file ends.
    n_frames : int
        How many frames the header declares.
    is_little_endian : bool
        Byte order of the items' headers.
    extended_offsets : tuple of int, bytes
        The Extended Offset Table, where there is one.

    Raises
    ------
    ImageError
        If there are fewer frames than declared, or their borders cannot be told.
    """
    items = _walk_items(path, stream, start, n_bytes, is_little_endian=is_little_endian)
    if not items:
        raise ImageError(path, Reason.TRUNCATED, "has no item in its pixel data", "send the file again")
    table, fragments = items[0], items[1:]
    if len(fragments) < n_frames:
        raise ImageError(
            path,
            Reason.TRUNCATED,
            f"declares {n_frames:,} frames and holds {len(fragments):,} fragments of pixel data",
            "send the file again",
        )
    if n_frames == 1:
        return (tuple(fragments),)
    if len(fragments) == n_frames:
        return tuple((fragment,) for fragment in fragments)
    order = "<" if is_little_endian else ">"
    stream.seek(table.offset)
    n_entries = table.length // 4
    basic_offsets = struct.unpack(f"{order}{n_entries}I", stream.read(n_entries * 4))
    first = fragments[0].offset - 8
    for offsets in (extended_offsets, basic_offsets):
        starts = {first + offset for offset in offsets}
        if len(offsets) == n_frames and starts <= {fragment.offset - 8 for fragment in fragments}:
            return _cut(fragments, [fragment.offset - 8 in starts for fragment in fragments])
    begins = [_begins_stream(stream, fragment) for fragment in fragments]
    if sum(begins) == n_frames and begins[0]:
        return _cut(fragments, begins)
    raise ImageError(
        path,
        Reason.CORRUPT,
        f"has {len(fragments)} fragments for {n_frames} frames and no table that says which is whose",
        "export it again with an offset table",
    )


def _walk_items(
    path: Path, stream: BinaryIO, start: int, n_bytes: int, *, is_little_endian: bool
) -> list[Fragment]:
    order = "<" if is_little_endian else ">"
    items: list[Fragment] = []
    position = start
    while position + 8 <= n_bytes:
        stream.seek(position)
        group, element, length = struct.unpack(f"{order}HHI", stream.read(8))
        tag = group << 16 | element
        if tag == _SEQUENCE_END:
            return items
        if tag != _ITEM:
            raise ImageError(
                path,
                Reason.CORRUPT,
                f"has tag {tag:08X} where an item of pixel data should begin (byte {position:,})",
                "export it again from its source",
            )
        if position + 8 + length > n_bytes:
            raise ImageError(
                path,
                Reason.TRUNCATED,
                f"ends at byte {n_bytes:,} within a fragment of {length:,} bytes",
                "send the file again",
            )
        items.append(Fragment(position + 8, length))
        if len(items) > MAX_FRAGMENTS:
            raise ImageError(
                path, Reason.TOO_MANY_FRAMES, f"has over {MAX_FRAGMENTS:,} fragments", "split it"
            )
        position += 8 + length
    # The delimiter is missing: what was walked is whole.
    return items


def _begins_stream(stream: BinaryIO, fragment: Fragment) -> bool:
    stream.seek(fragment.offset)
    return stream.read(12).startswith(_STREAM_STARTS)


def _cut(fragments: list[Fragment], begins: list[bool]) -> tuple[tuple[Fragment, ...], ...]:
    starts = [index for index, is_start in enumerate(begins) if is_start] + [len(fragments)]
    return tuple(tuple(fragments[a:b]) for a, b in pairwise(starts))
