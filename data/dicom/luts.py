"""Lookup tables: modality, VOI and palette colour, plain and segmented.

References
----------
PS3.3 C.11.1.1 (Modality LUT), C.11.2.1.1 (VOI LUT), C.7.6.3.1.5 and C.7.9.2 (palettes).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from data.dicom.header import items_of, numbers_of, text_of, value_of

_COLOURS = ("Red", "Green", "Blue")


class LutError(Exception):
    """A lookup table that cannot be used."""


@dataclass(frozen=True, slots=True, eq=False)
class Lut:
    """A table whose first entry belongs to the value `first`.

    `entries` are those of the output, (n,) or (n, 3) for a palette; `bits` their depth.
    """

    first: int
    entries: NDArray[np.generic]
    bits: int
    explanation: str = ""

    def apply(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """Look values up; those before the first entry take it, those after the last take that.

        Examples
        --------
        >>> Lut(10, np.array([0, 5, 9]), bits=8).apply(np.array([3, 11, 99])).tolist()
        [0, 5, 9]
        """
        index = np.clip(values.astype(np.int64) - self.first, 0, len(self.entries) - 1)
        return self.entries[index]


def modality_lut(dataset: Dataset) -> Lut | None:
    """Read the Modality LUT, None where there is none."""
    items = [item for item in items_of(dataset, "ModalityLUTSequence") if numbers_of(item, "LUTDescriptor")]
    return _read_item(items[0], is_signed=_is_signed(dataset)) if items else None


def voi_luts(dataset: Dataset, *, is_signed: bool) -> tuple[Lut, ...]:
    """Read the VOI LUTs; a table that is broken is left out."""
    found: list[Lut] = []
    for item in items_of(dataset, "VOILUTSequence"):
        try:
            found.append(_read_item(item, is_signed=is_signed))
        except LutError:
            continue
    return tuple(found)


def palette(dataset: Dataset) -> Lut:
    """Read the colour palette, segmented or plain.

    Raises
    ------
    LutError
        If a colour is missing or its table is broken.
    """
    little = dataset.original_encoding[1] is not False
    columns: list[NDArray[np.uint16]] = []
    first = bits = 0
    for colour in _COLOURS:
        n_entries, first, bits = _descriptor(
            dataset, f"{colour}PaletteColorLookupTableDescriptor", is_signed=_is_signed(dataset)
        )
        segmented = _words(dataset, f"Segmented{colour}PaletteColorLookupTableData", little=little)
        if segmented is not None:
            entries = expand_segments(segmented, n_entries)
        else:
            entries = _entries(dataset, f"{colour}PaletteColorLookupTableData", n_entries, little=little)
        columns.append(_padded(entries, n_entries))
    table = np.stack(columns, axis=1)
    # Some writers store 8-bit colours in tables that they declare to be 16 bits deep.
    if bits == 16 and table.max(initial=0) <= 0xFF:
        bits = 8
    return Lut(first, table, bits)


def expand_segments(words: NDArray[np.uint16], n_entries: int) -> NDArray[np.uint16]:
    """Expand a segmented palette (PS3.3 C.7.9.2): runs, ramps, and references to earlier segments.

    Parameters
    ----------
    words : (n,) uint16
        Opcode, length and values of each segment: 0 discrete, 1 linear to a value, 2 indirect.
    n_entries : int
        The length that the descriptor promises; no more is made.

    Examples
    --------
    >>> expand_segments(np.array([0, 1, 10, 1, 4, 50], np.uint16), 5).tolist()
    [10, 20, 30, 40, 50]
    """
    table: list[int] = []
    _expand(words.tolist(), 0, len(words), table, n_entries, is_nested=False)
    if not table:
        raise LutError("segmented palette has no segment")
    return np.array(table[:n_entries], np.uint16)


def _expand(
    words: list[int], start: int, n_segments: int, table: list[int], n_entries: int, *, is_nested: bool
) -> None:
    position = start
    try:
        for _ in range(n_segments):
            if position + 1 >= len(words) or len(table) >= n_entries:
                return
            opcode, length = words[position], words[position + 1]
            if opcode == 0:
                table.extend(words[position + 2 : position + 2 + length])
                position += 2 + length
            elif opcode == 1:
                begin, end = table[-1], words[position + 2]
                table.extend(round(begin + (end - begin) * step / length) for step in range(1, length + 1))
                position += 3
            elif opcode == 2 and not is_nested:
                # The reference counts bytes from the table's beginning.
                offset = words[position + 2] | words[position + 3] << 16
                _expand(words, offset // 2, length, table, n_entries, is_nested=True)
                position += 4
            else:
                raise LutError(f"segmented palette has opcode {opcode}")
    except IndexError as error:
        raise LutError("segmented palette ends within a segment") from error


def _read_item(item: Dataset, *, is_signed: bool) -> Lut:
    n_entries, first, bits = _descriptor(item, "LUTDescriptor", is_signed=is_signed)
    little = item.original_encoding[1] is not False
    entries = _entries(item, "LUTData", n_entries, little=little)
    return Lut(first, _padded(entries, n_entries), bits, text_of(item, "LUTExplanation"))


def _descriptor(dataset: Dataset, keyword: str, *, is_signed: bool) -> tuple[int, int, int]:
    numbers = [int(number) for number in numbers_of(dataset, keyword)]
    if len(numbers) != 3:
        raise LutError(f"{keyword} has {len(numbers)} values, expected 3")
    n_entries, first, bits = (number & 0xFFFF for number in numbers)
    if is_signed and first >= 0x8000:
        first -= 0x10000
    # 0 stands for 65,536 entries, which 16 bits cannot say.
    return n_entries or 0x10000, first, bits if 8 <= bits <= 16 else 16


def _entries(dataset: Dataset, keyword: str, n_entries: int, *, little: bool) -> NDArray[np.uint16]:
    value = value_of(dataset, keyword)
    if isinstance(value, bytes) and len(value) < 2 * n_entries:
        # 8-bit entries may be stored in bytes.
        return np.frombuffer(value, np.uint8).astype(np.uint16)
    words = _words(dataset, keyword, little=little)
    if words is None or not words.size:
        raise LutError(f"{keyword} is missing")
    return words


def _words(dataset: Dataset, keyword: str, *, little: bool) -> NDArray[np.uint16] | None:
    value = value_of(dataset, keyword)
    if value is None:
        return None
    if isinstance(value, bytes):
        order = "<" if little else ">"
        return np.frombuffer(value[: len(value) // 2 * 2], f"{order}u2").astype(np.uint16)
    return np.array([int(number) & 0xFFFF for number in numbers_of(dataset, keyword)], np.uint16)


def _padded(entries: NDArray[np.uint16], n_entries: int) -> NDArray[np.uint16]:
    if not entries.size:
        raise LutError("lookup table is empty")
    if entries.size < n_entries:
        return np.concatenate([entries, np.full(n_entries - entries.size, entries[-1], np.uint16)])
    return entries[:n_entries]


def _is_signed(dataset: Dataset) -> bool:
    return numbers_of(dataset, "PixelRepresentation") == (1.0,)
