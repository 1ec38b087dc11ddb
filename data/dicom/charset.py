r"""Turns the text of data elements into what was meant.

A data set names the encodings of its text in (0008,0005) Specific Character Set. Two things go wrong in
practice. GBK and GB18030 use the byte of the backslash inside characters, so text must be decoded before
it is split into values. And many Chinese devices write GBK while they declare ISO_IR 100 or nothing:
nothing in the bytes proves it, so the receiver is told per site, and the override wins over the label.

With code extensions (terms ``ISO 2022 ...``) an escape sequence within the text switches the encoding.
Some switch for good (G0: Japanese, two bytes below 0x80 to a character), others only say what bytes from
0x80 on mean until the next delimiter (G1: Korean, Chinese, Latin).

References
----------
PS3.3 C.12.1.1.2 (defined terms), PS3.5 6.1.2 (code extensions, delimiters).
"""

import re
from collections.abc import Sequence

# VRs whose text is encoded by the Specific Character Set; the second set holds one value only.
ENCODED_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
SINGLE_VALUE_VRS = frozenset({"LT", "ST", "UT", "UR"})

# The codec of each defined term, "ISO_IR n" and "ISO 2022 IR n" being one. GB18030 holds GBK, which
# holds GB 2312 (IR 58): senders go beyond what they declare.
_CODEC_OF_REGISTRATION = {
    "6": "latin_1",
    "13": "shift_jis",
    "58": "gb18030",
    "87": "iso2022_jp_2",
    "100": "latin_1",
    "101": "iso8859_2",
    "109": "iso8859_3",
    "110": "iso8859_4",
    "126": "iso8859_7",
    "127": "iso8859_6",
    "138": "iso8859_8",
    "144": "iso8859_5",
    "148": "iso8859_9",
    "149": "euc_kr",
    "159": "iso2022_jp_2",
    "166": "iso8859_11",
    "192": "utf_8",
    "203": "iso8859_15",
}
_STAND_ALONE = re.compile(
    r"(?P<utf>UTF[-_ ]?8)|(?P<gb>(ISO 2022 )?(GBK|GB[-_ ]?18030.*|GB[-_ ]?2312.*|CP936))", re.IGNORECASE
)
_REGISTRATION = re.compile(r"ISO[-_ ]?(?:2022[-_ ])?(?:IR)?[-_ ]?(\d+)", re.IGNORECASE)

# Escape sequences that give bytes from 0x80 on their meaning (G1), and ASCII back to those below.
_G1_CODEC = {
    b"\x1b(B": None,
    b"\x1b(J": "shift_jis",
    b"\x1b)I": "shift_jis",
    b"\x1b$)A": "gb18030",
    b"\x1b$)C": "euc_kr",
    b"\x1b-A": "latin_1",
    b"\x1b-B": "iso8859_2",
    b"\x1b-C": "iso8859_3",
    b"\x1b-D": "iso8859_4",
    b"\x1b-F": "iso8859_7",
    b"\x1b-G": "iso8859_6",
    b"\x1b-H": "iso8859_8",
    b"\x1b-L": "iso8859_5",
    b"\x1b-M": "iso8859_9",
    b"\x1b-T": "iso8859_11",
    b"\x1b-b": "iso8859_15",
}
# Escape sequences that Python's codec understands itself: JIS X 0208 and JIS X 0212.
_G0_CODEC = {b"\x1b$B": "iso2022_jp_2", b"\x1b$@": "iso2022_jp_2", b"\x1b$(D": "iso2022_jp_2"}
_ESCAPE = re.compile(rb"\x1b(?:\$[()][A-D]|\$[@AB]|[(),.-][@-~])")

# What ends the reach of a code extension (PS3.5 6.1.2.5.3); in names also what separates their parts.
_DELIMITER = re.compile(rb"[\r\n\t\f\\]")
_SINGLE_VALUE_DELIMITER = re.compile(rb"[\r\n\t\f]")
_NAME_DELIMITER = re.compile(rb"[\r\n\t\f\\^=]")


def codec_of(term: str) -> str:
    """Give Python's name for a defined term, Latin-1 for an unknown one, as which any byte is something.

    Examples
    --------
    >>> codec_of("ISO_IR 192"), codec_of("utf-8"), codec_of("GBK"), codec_of("ISO-IR 100"), codec_of("")
    ('utf_8', 'utf_8', 'gb18030', 'latin_1', 'latin_1')
    """
    stand_alone = _STAND_ALONE.fullmatch(term.strip())
    if stand_alone:
        return "utf_8" if stand_alone["utf"] else "gb18030"
    registration = _REGISTRATION.fullmatch(term.strip())
    return _CODEC_OF_REGISTRATION.get(registration[1], "latin_1") if registration else "latin_1"


def is_character_set(label: str) -> bool:
    r"""Say whether a Specific Character Set names encodings that are known.

    Examples
    --------
    >>> is_character_set("GBK"), is_character_set(r"\ISO 2022 IR 58"), is_character_set("KOI8")
    (True, True, False)
    """
    first, *more = character_sets(label)
    return ((not first and bool(more)) or _is_term(first)) and all(_is_term(term) for term in more)


def _is_term(term: str) -> bool:
    registration = _REGISTRATION.fullmatch(term)
    return bool(_STAND_ALONE.fullmatch(term) or (registration and registration[1] in _CODEC_OF_REGISTRATION))


def character_sets(label: str) -> tuple[str, ...]:
    r"""Split a Specific Character Set into its terms.

    Examples
    --------
    >>> character_sets(r"\ISO 2022 IR 58")
    ('', 'ISO 2022 IR 58')
    """
    return tuple(term.strip("\x00 ") for term in label.split("\\"))


def decode_text(raw: bytes, terms: Sequence[str], *, is_name: bool = False, is_single: bool = False) -> str:
    r"""Decode the bytes of a text element, all its values at once.

    Parameters
    ----------
    raw : bytes
        The element's value as it stands in the file.
    terms : sequence of str
        The terms of the Specific Character Set, or of the override.
    is_name : bool
        Whether it is a person's name, whose parts end code extensions too.
    is_single : bool
        Whether a backslash is an ordinary character (LT, ST, UT).

    Returns
    -------
    str
        The text without padding; bytes that have no meaning in the character set become U+FFFD.

    Examples
    --------
    >>> decode_text("王^小东".encode("gbk"), ["GBK"], is_name=True)
    '王^小东'
    >>> sent = b"Wang=\x1b$)A\xcd\xf5^\x1b$)A\xd0\xa1\xb6\xab"
    >>> decode_text(sent, ["", "ISO 2022 IR 58"], is_name=True)
    'Wang=王^小东'
    """
    initial = codec_of(terms[0]) if terms else "latin_1"
    if (
        b"\x1b" in raw
        and not _STAND_ALONE.fullmatch(terms[0].strip() if terms else "")
        and initial != "utf_8"
    ):
        delimiter = _NAME_DELIMITER if is_name else _SINGLE_VALUE_DELIMITER if is_single else _DELIMITER
        text = _decode_extended(raw, initial, delimiter)
    else:
        text = raw.decode(initial, errors="replace")
    return text.rstrip("\x00 ") if is_single else text.strip("\x00 ")


def split_values(text: str) -> tuple[str, ...]:
    """Split decoded text at the backslash into its values, each without padding."""
    return tuple(value.strip("\x00 ") for value in text.split("\\")) if text else ()


def _decode_extended(raw: bytes, initial: str, delimiter: re.Pattern[bytes]) -> str:
    """Decode text with code extensions; escape sequences are honoured even where they are not declared."""
    pieces: list[str] = []
    codec = initial
    position = 0
    while position < len(raw):
        escape = _ESCAPE.match(raw, position)
        following = _ESCAPE.search(raw, position + 1 if escape is None else escape.end())
        end = following.start() if following else len(raw)
        sequence = escape[0] if escape else b""
        if sequence in _G0_CODEC:
            pieces.append(raw[position:end].decode(_G0_CODEC[sequence], errors="replace"))
            codec = initial
        else:
            codec = _G1_CODEC.get(sequence, codec) or initial
            part = raw[position + len(sequence) : end]
            border = delimiter.search(part)
            cut = border.start() if border else len(part)
            pieces.append(part[:cut].decode(codec, errors="replace"))
            pieces.append(part[cut:].decode(initial, errors="replace"))
            codec = initial if border else codec
        position = end
    return "".join(pieces)
