"""What a client accepts: media types with the transfer syntax as a parameter, the most wanted first.

References
----------
PS3.18 8.7 (media types, among them 8.7.3.5 on transfer syntaxes), RFC 9110 12.5.1 (Accept).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from data.dicom.transcoding import NATIVE, TARGETS
from serving.errors import Problem, ServiceError

DICOM: Final = "application/dicom"
OCTETS: Final = "application/octet-stream"
JSON: Final = "application/dicom+json"
XML: Final = "application/dicom+xml"
MULTIPART: Final = "multipart/related"
EXPLICIT: Final = NATIVE[0]

_JPEG = "1.2.840.10008.1.2.4."
# PS3.18 table 8.7.3-5: which transfer syntaxes a media type stands for, its default first.
SYNTAXES_OF: Final[Mapping[str, tuple[str, ...]]] = {
    OCTETS: (EXPLICIT,),
    "image/jpeg": tuple(f"{_JPEG}{number}" for number in (70, 50, 51, 57)),
    "image/dicom-rle": ("1.2.840.10008.1.2.5",),
    "image/jls": (f"{_JPEG}80", f"{_JPEG}81"),
    "image/jp2": (f"{_JPEG}90", f"{_JPEG}91"),
    "image/jpx": (f"{_JPEG}92", f"{_JPEG}93"),
    "image/jphc": (f"{_JPEG}201", f"{_JPEG}202", f"{_JPEG}203"),
    "image/jxl": (f"{_JPEG}110", f"{_JPEG}111", f"{_JPEG}112"),
}
_MEDIA_OF_SYNTAX = {syntax: media for media, syntaxes in SYNTAXES_OF.items() for syntax in syntaxes}
# Stored frames that are no streams are given as explicit little endian.
_UNCODED = frozenset(
    {
        "1.2.840.10008.1.2",
        EXPLICIT,
        "1.2.840.10008.1.2.1.99",
        "1.2.840.10008.1.2.2",
        "1.2.840.10008.1.2.8.1",
    }
)
_PIECE = re.compile(r'(?:[^,;"]|"(?:[^"\\]|\\.)*")+|[,;]')
_MOST_RANGES = 64


@dataclass(frozen=True, slots=True)
class Wanted:
    """One range of an Accept: `media` is that of a part where `is_multipart`."""

    media: str
    is_multipart: bool
    syntax: str | None = None
    weight: float = 1.0

    def takes(self, media: str) -> bool:
        """Whether a part of this media type is within the range."""
        kind = media.partition("/")[0]
        return self.media in {media, "*/*", f"{kind}/*"}


def read_accept(header: str | None, parameter: str | None) -> tuple[Wanted, ...]:
    """Read an Accept header and the query parameter of that name, which counts before it.

    Examples
    --------
    >>> [(one.media, one.syntax) for one in read_accept(
    ...     'image/png;q=.5, multipart/related; type="application/dicom"; transfer-syntax=*', None)]
    [('application/dicom', '*'), ('image/png', None)]
    """
    given: list[Wanted] = []
    for text in (
        (parameter or "").replace("dicom json", "dicom+json").replace("dicom xml", "dicom+xml"),
        header,
    ):
        given.extend(sorted(_ranges(text or ""), key=lambda one: -one.weight))
    return tuple(one for one in given if one.weight > 0) or (Wanted("*/*", is_multipart=True),)


def _ranges(text: str) -> Iterator[Wanted]:
    pieces: list[list[str]] = [[]]
    for piece in _PIECE.findall(text):
        if piece == ",":
            pieces.append([])
        elif piece != ";":
            pieces[-1].append(piece.strip())
    for media, *parameters in [one for one in pieces if one and one[0]][:_MOST_RANGES]:
        named = dict(_parameter(one) for one in parameters)
        kind = media.lower()
        is_multipart = kind in {MULTIPART, "multipart/*", "*/*"}
        inner = named.get("type", "*/*").lower() if kind != "*/*" and is_multipart else kind
        yield Wanted(inner, is_multipart, named.get("transfer-syntax"), _weight(named.get("q")))


def _parameter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip().lower(), value.strip().strip('"')


def _weight(text: str | None) -> float:
    try:
        return 1.0 if text is None else max(0.0, min(1.0, float(text)))
    except ValueError:
        return 0.0


@dataclass(frozen=True, slots=True)
class Coding:
    """How a part is given: `syntax` None is as it is stored."""

    media: str
    syntax: str | None


def object_coding(wanted: Sequence[Wanted], stored_syntax: str) -> str | None:
    """Choose the transfer syntax of an object; None is as it is stored, which is taken wherever it may be.

    Raises
    ------
    ServiceError
        `NOT_ACCEPTABLE` if none of those accepted can be written.
    """
    fitting = [one for one in wanted if one.takes(DICOM)]
    if any(one.syntax in {None, "*", stored_syntax} for one in fitting):
        return None
    for one in fitting:
        if one.syntax in TARGETS:
            return one.syntax
    raise not_acceptable("An instance", [DICOM], wanted, TARGETS)


def is_single(wanted: Sequence[Wanted], media: str) -> bool:
    """Whether a lone part is asked for by itself, not in a multipart message."""
    first = next((one for one in wanted if one.takes(media)), None)
    return first is not None and not first.is_multipart


def frame_coding(wanted: Sequence[Wanted], stored_syntax: str) -> Coding:
    """Choose how a frame is given: as it is stored wherever that is accepted.

    Raises
    ------
    ServiceError
        `NOT_ACCEPTABLE` if nothing accepted can be made.
    """
    stored = EXPLICIT if stored_syntax in _UNCODED else stored_syntax
    own_media = _MEDIA_OF_SYNTAX.get(stored, OCTETS)
    for one in wanted:
        if one.takes(own_media) and one.syntax in {None, "*", stored_syntax, stored}:
            return Coding(own_media, None)
        if one.takes(OCTETS) and one.media != "*/*" and one.syntax in {"*", stored_syntax}:
            return Coding(OCTETS, None)
    for one in wanted:
        for media, syntaxes in SYNTAXES_OF.items():
            for syntax in syntaxes:
                is_fitting = one.takes(media) and one.syntax in {None, "*", syntax}
                if is_fitting and syntax in TARGETS:
                    return Coding(media, syntax)
    raise not_acceptable("A frame", list(SYNTAXES_OF), wanted, TARGETS)


def choose_text(wanted: Sequence[Wanted]) -> str:
    """Choose between the two forms of the DICOM model.

    Raises
    ------
    ServiceError
        `NOT_ACCEPTABLE` if neither is accepted.
    """
    for one in wanted:
        if one.takes(JSON) or one.media == "application/json":
            return JSON
        if one.takes(XML):
            return XML
    raise not_acceptable("This", [JSON, XML], wanted)


def not_acceptable(
    what: str, offered: Iterable[str], wanted: Sequence[Wanted], syntaxes: Iterable[str] = ()
) -> ServiceError:
    """Make the error of an answer in a form that is not made."""
    asked = ", ".join(f"{one.media} {one.syntax or ''}".strip() for one in wanted[:4])
    in_syntaxes = ", ".join(syntaxes)
    suffix = f" in its own transfer syntax or {in_syntaxes}" if in_syntaxes else ""
    return ServiceError(
        Problem.NOT_ACCEPTABLE, f"{what} comes as {', '.join(offered)}{suffix}, not as {asked}."
    )
