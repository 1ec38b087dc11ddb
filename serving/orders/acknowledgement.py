r"""Writes the answer to a message: in the original mode one, in the enhanced mode as MSH-15 and MSH-16 ask.

References
----------
HL7 v2.8.2 chapter 2: 2.9.2 (original mode), 2.9.3 (enhanced mode), 2.14.8 (MSA), 2.14.5 (ERR); ERR as of
v2.4 and before: v2.4 chapter 2, 2.16.5. Tables 0008, 0155, 0357.
"""

import secrets
from collections.abc import Iterator
from datetime import datetime

from serving.orders.message import Message
from serving.orders.refusal import MessageRefusedError

_PLAIN = "|^~\\&"


def answers(message: Message | None, refusal: MessageRefusedError | None, *, now: datetime) -> list[bytes]:
    """Give the answers to a message, each without its frame; none where its sender wants none.

    Parameters
    ----------
    message : Message or None
        None if it could not be read at all: then there is nothing to refer to.
    refusal : MessageRefusedError or None
        Why it was not carried out.
    now : datetime
        With its zone.
    """
    codec = "ascii" if message is None else message.codec
    codes = "R" if refusal is not None and (message is None or refusal.code.is_rejection) else "E"
    ending = "A" if refusal is None else codes
    return [
        _answer(message, f"{mode}{ending}", refusal, now).encode(codec, "replace")
        for mode in _modes(message, is_refused=refusal is not None)
    ]


def _modes(message: Message | None, *, is_refused: bool) -> Iterator[str]:
    """Give the kinds of answer that are due: A for application, C for commit."""
    accept = "" if message is None else message.header.text(15).upper()
    application = "" if message is None else message.header.text(16).upper()
    if not accept and not application:
        yield "A"
        return
    if _is_wanted(accept, is_refused=is_refused):
        yield "C"
    if _is_wanted(application, is_refused=is_refused):
        yield "A"


def _is_wanted(condition: str, *, is_refused: bool) -> bool:
    """Whether a condition of table 0155 is met: always, never, on error, on success."""
    return condition in {"AL", "ER" if is_refused else "SU"}


def _answer(message: Message | None, code: str, refusal: MessageRefusedError | None, now: datetime) -> str:
    header = None if message is None else message.header
    delimiters = _PLAIN if header is None else header.raw(1) + header.raw(2)
    version = "2.5" if header is None else header.text(12) or "2.5"
    field, component = delimiters[0], delimiters[1]

    def sent(number: int) -> str:
        return "" if header is None else header.raw(number)

    event = "" if header is None else header.text(9, 2)
    structure = ["ACK"] if event and version >= "2.4" else []
    kind = component.join(["ACK", *([event] if event else []), *structure])
    msh = [
        "MSH",
        delimiters[1:],
        sent(5),
        sent(6),
        sent(3),
        sent(4),
        now.strftime("%Y%m%d%H%M%S%z"),
        "",
        kind,
        secrets.token_hex(10),
        sent(11) or "P",
        version,
    ]
    if message is not None and message.label and message.codec != "ascii":
        msh += ["", "", "", "", "", sent(18)]
    lines = [msh, _msa(code, sent(10), refusal, version, delimiters)]
    if refusal is not None:
        lines.append(_err(refusal, version, delimiters))
    return "".join(field.join(line).rstrip(field) + "\r" for line in lines)


def _msa(
    code: str, control_id: str, refusal: MessageRefusedError | None, version: str, delimiters: str
) -> list[str]:
    # MSA-3, the text, was withdrawn with version 2.7
    said = "" if refusal is None or version >= "2.7" else _escaped(refusal.text, delimiters)
    return ["MSA", code, control_id, said]


def _err(refusal: MessageRefusedError, version: str, delimiters: str) -> list[str]:
    component, subcomponent = delimiters[1], delimiters[4]
    parts = refusal.location.split("^") if refusal.location else []
    coded = [str(refusal.code), refusal.code.meaning, "HL70357"]
    if version < "2.5":
        place = [*parts, "", "", ""][:3]
        return ["ERR", component.join([*place, subcomponent.join(coded)])]
    return [
        "ERR",
        "",
        component.join(parts),
        component.join(coded),
        "E",
        "",
        "",
        "",
        _escaped(refusal.text, delimiters),
    ]


def _escaped(text: str, delimiters: str) -> str:
    r"""Write text so that no delimiter of the message stands in it.

    Examples
    --------
    >>> _escaped("a|b & c", "|^~\\&")
    'a\\F\\b \\T\\ c'
    """
    field, component, repetition, escape, subcomponent = tuple(delimiters[:5])
    letters = {field: "F", component: "S", repetition: "R", escape: "E", subcomponent: "T"}
    return "".join(f"{escape}{letters[one]}{escape}" if one in letters else one for one in text)
