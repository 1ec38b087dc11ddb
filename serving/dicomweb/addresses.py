"""The addresses of DICOMweb, and what every request by them says."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request

from serving.dicomweb.media import Wanted, read_accept
from serving.errors import Problem, ServiceError

ROOT = "/dicom-web"
OF_STUDY = "/studies/{study}"
OF_SERIES = f"{OF_STUDY}/series/{{series}}"
OF_INSTANCE = f"{OF_SERIES}/instances/{{instance}}"
OF_FRAMES = f"{OF_INSTANCE}/frames/{{frames}}"

Study = Annotated[str, Path(max_length=128, description="Study Instance UID.")]
Series = Annotated[str, Path(max_length=128, description="Series Instance UID.")]
Instance = Annotated[str, Path(max_length=128, description="SOP Instance UID.")]
FrameList = Annotated[str, Path(max_length=4096, description="Frame numbers from 1, comma-separated.")]

_MOST_FRAMES = 1000


@dataclass(frozen=True, slots=True)
class Wish:
    """Where the service was reached, and what is accepted."""

    base_url: str
    wanted: tuple[Wanted, ...]


def _wish(
    request: Request,
    accept: Annotated[str | None, Header()] = None,
    accept_parameter: Annotated[str | None, Query(alias="accept", max_length=512)] = None,
) -> Wish:
    return Wish(f"{str(request.base_url).rstrip('/')}{ROOT}", read_accept(accept, accept_parameter))


AWish = Annotated[Wish, Depends(_wish)]


def read_frames(text: str) -> tuple[int, ...]:
    """Read a list of frame numbers.

    Raises
    ------
    ServiceError
        `BAD_PARAMETER` if it is none.

    Examples
    --------
    >>> read_frames("1,3")
    (1, 3)
    """
    parts = text.split(",")
    if len(parts) > _MOST_FRAMES or not all(
        part.strip().isascii() and part.strip().isdigit() for part in parts
    ):
        raise ServiceError(
            Problem.BAD_PARAMETER,
            f"The list of frames {text[:64]!r} cannot be used: it is numbers from 1 with commas, at most "
            f"{_MOST_FRAMES:,}.",
        )
    return tuple(int(part) for part in parts)
