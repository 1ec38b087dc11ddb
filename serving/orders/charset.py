r"""Turns the bytes of an HL7 message into text.

MSH-18 names the character set, within the very text that is written in it. GBK and GB 18030 use the bytes of
``|``, ``^``, ``\`` and ``~`` inside characters, so the text must be decoded before it is split. What the
bytes cannot be is refused: a name that was guessed would be shown as if it were the patient's.

References
----------
HL7 v2.8.2 chapter 2, 2.14.9.18 (MSH-18), table 0211; 2.7.2 (escape sequences for character sets).
"""

import re
from dataclasses import dataclass

from serving.orders.refusal import ErrorCode, MessageRefusedError

_LOCATION = "MSH^1^18"

# GB 18030 holds GBK, which holds GB 2312: senders go beyond what they declare. "UNICODE" alone cannot mean
# UTF-16 here, whose bytes are no text for MLLP.
_CODEC_OF_LABEL = {
    "ASCII": "ascii",
    "ISOIR6": "ascii",
    "88591": "iso8859_1",
    "88592": "iso8859_2",
    "88593": "iso8859_3",
    "88594": "iso8859_4",
    "88595": "iso8859_5",
    "88596": "iso8859_6",
    "88597": "iso8859_7",
    "88598": "iso8859_8",
    "88599": "iso8859_9",
    "885915": "iso8859_15",
    "ISOIR13": "shift_jis",
    "ISOIR14": "iso2022_jp_ext",
    "ISOIR87": "iso2022_jp_ext",
    "ISOIR159": "iso2022_jp_ext",
    "GB180302000": "gb18030",
    "GB18030": "gb18030",
    "GB180302005": "gb18030",
    "GBK": "gb18030",
    "GB2312": "gb18030",
    "CP936": "gb18030",
    "KSX1001": "cp949",
    "BIG5": "cp950",
    "UNICODE": "utf_8",
    "UNICODEUTF8": "utf_8",
    "UTF8": "utf_8",
    "ISOIR192": "utf_8",
}
_NO_PART_OF_A_LABEL = re.compile(r"[\s/_\-]")

# What the header may be written in, to find its MSH-18: a label counts that is found by what it names.
_TRIED = ("utf_8", "gb18030", "cp950", "cp949", "iso2022_jp_ext")

# Of the longest header that is looked at.
_MOST_OF_A_HEADER = 8192


@dataclass(frozen=True, slots=True)
class Text:
    """A message's text, Python's name of the character set, and what the message calls it."""

    text: str
    codec: str
    label: str


def codec_of(label: str) -> str | None:
    """Give Python's name of a character set as MSH-18 or an operator calls it, None if it is not known.

    Examples
    --------
    >>> codec_of("UNICODE UTF-8"), codec_of("GB 18030-2000"), codec_of("8859/1"), codec_of("ISO IR87")
    ('utf_8', 'gb18030', 'iso8859_1', 'iso2022_jp_ext')
    >>> codec_of("gbk"), codec_of("CNS 11643-1992")
    ('gb18030', None)
    """
    return _CODEC_OF_LABEL.get(_NO_PART_OF_A_LABEL.sub("", label).upper())


def decode(raw: bytes, *, override: str = "") -> Text:
    """Decode a message.

    Parameters
    ----------
    raw : bytes
        Without the frame of MLLP.
    override : str
        What its sender's text is written in, whatever the message says; empty: as it says.

    Raises
    ------
    MessageRefusedError
        If the character set is not known, or the bytes are not of it.
    """
    label = label_of(raw)
    if override:
        codec = codec_of(override)
        assert codec is not None  # it was checked when it was entered
        return Text(_strictly(raw, codec, override), codec, label)
    if not label:
        return _unlabelled(raw)
    codecs = [codec_of(part) for part in label.split("~") if part.strip()]
    if None in codecs or not codecs:
        raise MessageRefusedError(
            ErrorCode.VALUE_NOT_FOUND,
            f"The character set {_shown(label)} is not known: send UNICODE UTF-8.",
            _LOCATION,
        )
    # repetitions are code extensions beside the first: those of Japanese are one codec
    chosen = next((str(codec) for codec in codecs if codec != "ascii"), "ascii")
    return Text(_strictly(raw, chosen, label), chosen, label)


def label_of(raw: bytes) -> str:
    r"""Find what MSH-18 says, empty if nothing.

    Examples
    --------
    >>> head = "MSH|^~\\&|放射科|医院|||20260101||ORM^O01|1|P|2.5||||||GBK"
    >>> label_of(head.encode("gbk")), label_of(b"MSH|^~\\&|A|B")
    ('GBK', '')
    """
    header = raw[:_MOST_OF_A_HEADER].lstrip(b"\xef\xbb\xbf \r\n").partition(b"\r")[0].partition(b"\n")[0]
    for codec in _TRIED:
        label = _field_18(header.decode(codec, "replace"))
        if label and any(codec_of(part) == codec for part in label.split("~")):
            return label
    return _field_18(header.decode("latin_1"))


def _field_18(header: str) -> str:
    parts = header.split(header[3]) if len(header) > 3 else []
    return parts[17].strip() if len(parts) > 17 else ""


def _unlabelled(raw: bytes) -> Text:
    try:
        return Text(raw.decode("ascii"), "ascii", "")
    except UnicodeDecodeError:
        pass
    try:
        return Text(raw.decode("utf_8"), "utf_8", "")
    except UnicodeDecodeError as error:
        raise MessageRefusedError(
            ErrorCode.FIELD_MISSING,
            "MSH-18 names no character set and the text is no ASCII: name it there, or have the operator "
            "enter it for this sender (firstread admin hl7-senders).",
            _LOCATION,
        ) from error


def _strictly(raw: bytes, codec: str, label: str) -> str:
    try:
        return raw.decode(codec)
    except UnicodeDecodeError as error:
        raise MessageRefusedError(
            ErrorCode.DATA_TYPE,
            f"The text is not written in {_shown(label)}, which MSH-18 or the sender's entry names (at byte "
            f"{error.start}): name the right character set.",
            _LOCATION,
        ) from error


def _shown(label: str) -> str:
    return ascii(label[:40])
