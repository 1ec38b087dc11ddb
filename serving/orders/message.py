r"""An HL7 v2 message as segments and fields, with text as it was meant.

python-hl7 splits the text. What it offers for escape sequences is not used: it takes ``\X..\`` for Latin-1
whatever the message is written in, and writes what it cannot read, a patient's name perhaps, into the log.

References
----------
HL7 v2.8.2 chapter 2: 2.5 (segments, fields), 2.7 (escape sequences).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import hl7

from data.dicom.charset import decode_text
from serving.orders.charset import Text
from serving.orders.refusal import ErrorCode, MessageRefusedError

# An order has some hundreds; each costs half a kilobyte once it is split.
MOST_PARTS = 20_000

_HEADER = re.compile(r"MSH(?P<field>[!-/:-@\[-`{-~])(?P<others>[!-/:-@\[-`{-~]{4,5})(?P=field)")
_SEGMENT = re.compile(r"[A-Z][A-Z0-9]{2}")
_NULL = '""'
_SPACE_BY_COMMAND = {".br": "\n", ".sp": "\n", ".ce": "\n", ".sk": " ", ".in": "", ".ti": ""}


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment; `number` counts those of its name from 1."""

    name: str
    number: int
    _fields: hl7.Segment
    _codec: str

    def text(self, field: int, component: int = 1, subcomponent: int = 1, *, repetition: int = 1) -> str:
        """Give what stands at a place, empty if nothing does, or the sender's null."""
        return self.given(field, component, subcomponent, repetition=repetition) or ""

    def given(
        self, field: int, component: int = 1, subcomponent: int = 1, *, repetition: int = 1
    ) -> str | None:
        r"""Give what stands at a place, None if nothing does, and an empty text for HL7's null (``""``)."""
        found = _part(_part(_part(self._at_field(field), repetition), component), subcomponent)
        raw = str(found).strip()
        if not raw:
            return None
        return "" if raw == _NULL else self._meant(raw)

    def raw(self, field: int) -> str:
        """Give a whole field as it was sent, for an answer that repeats it."""
        return str(self._at_field(field))

    def n_repetitions(self, field: int) -> int:
        """Give how often a field is given."""
        found = self._at_field(field)
        return len(found) if isinstance(found, hl7.Field) and str(found) else 0

    def location(self, field: int) -> str:
        """Name a field as ERR-2 does."""
        return f"{self.name}^{self.number}^{field}"

    def _at_field(self, field: int) -> "hl7.Field | str":
        return self._fields[field] if field < len(self._fields) else ""

    def _meant(self, raw: str) -> str:
        escape = str(self._fields.esc)
        if escape not in raw:
            return raw
        pieces = raw.split(escape)
        if len(pieces) % 2 == 0:  # the last one begins nothing
            pieces[-2:] = [pieces[-2] + escape + pieces[-1]]
        if any(re.fullmatch(r"[CM][0-9A-Fa-f]{4,6}", sequence) for sequence in pieces[1::2]):
            return self._with_code_extensions(pieces)
        return "".join(
            self._meaning(piece) if place % 2 else piece for place, piece in enumerate(pieces)
        ).strip()

    def _meaning(self, sequence: str) -> str:
        _, field, repetition, component, subcomponent = self._fields.separators
        letters: dict[str, str] = {
            "F": field,
            "S": component,
            "T": subcomponent,
            "R": repetition,
            "E": str(self._fields.esc),
            "H": "",
            "N": "",
        }
        if sequence in letters:
            return letters[sequence]
        if sequence[:3] in _SPACE_BY_COMMAND:
            return _SPACE_BY_COMMAND[sequence[:3]]
        if re.fullmatch(r"X([0-9A-Fa-f]{2})+", sequence):
            return bytes.fromhex(sequence[1:]).decode(self._codec, "replace")
        return f"{self._fields.esc}{sequence}{self._fields.esc}"  # not known: shown as it was sent

    def _with_code_extensions(self, pieces: list[str]) -> str:
        """Read text whose escapes switch character sets as ISO 2022 does: the codes are those of its ESC."""
        raw = bytearray()
        for place, piece in enumerate(pieces):
            if place % 2 and re.fullmatch(r"[CM][0-9A-Fa-f]{4,6}", piece):
                raw += b"\x1b" + bytes.fromhex(piece[1:])
            else:
                text = self._meaning(piece) if place % 2 else piece
                raw += text.encode(self._codec, "replace")
        return decode_text(bytes(raw), ["", "ISO 2022 IR 87"], is_single=True)


@dataclass(frozen=True, slots=True)
class Message:
    """A message's segments in their order; the first is MSH."""

    segments: tuple[Segment, ...]
    codec: str
    label: str

    @property
    def header(self) -> Segment:
        """The segment MSH."""
        return self.segments[0]

    def named(self, name: str) -> Iterator[Segment]:
        """Give the segments of a name."""
        return (segment for segment in self.segments if segment.name == name)


def parse(text: Text) -> Message:
    """Split a message.

    Raises
    ------
    MessageRefusedError
        If it does not begin with a usable header, or has more parts than any order.
    """
    written = text.text.lstrip("\ufeff \r\n").replace("\r\n", "\r").replace("\n", "\r").rstrip("\r ")
    header = _HEADER.match(written)
    if header is None or len(set(header[0][3:-1])) != len(header[0][3:-1]):
        raise MessageRefusedError(
            ErrorCode.SEGMENT_SEQUENCE,
            "The message does not begin with MSH and four different delimiters, such as MSH|^~\\&|.",
        )
    delimiters = header["field"] + header["others"]
    if len(re.findall(f"[\r{re.escape(delimiters)}]", written)) > MOST_PARTS:
        raise MessageRefusedError(
            ErrorCode.DATA_TYPE, f"The message has more than {MOST_PARTS:,} parts, which no order needs."
        )
    lines = [line for line in written.split("\r") if line.strip()]
    for line in lines:
        if _SEGMENT.fullmatch(line[:3]) is None or line[3:4] not in {"", header["field"]}:
            raise MessageRefusedError(
                ErrorCode.SEGMENT_SEQUENCE, "A line begins with no segment's name and the field delimiter."
            )
    counts: dict[str, int] = {}
    segments = []
    for split in hl7.parse("\r".join(lines)):
        name = str(split[0])
        counts[name] = counts.get(name, 0) + 1
        segments.append(Segment(name, counts[name], split, text.codec))
    if counts["MSH"] != 1:
        raise MessageRefusedError(ErrorCode.SEGMENT_SEQUENCE, "The frame holds more than one message.")
    return Message(tuple(segments), text.codec, text.label)


def _part(found: object, number: int) -> object:
    """Go down one level: what is not divided is its own first part."""
    if isinstance(found, list):
        return found[number - 1] if number <= len(found) else ""
    return found if number == 1 else ""
