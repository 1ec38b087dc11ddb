"""Writes a multipart/related message part by part, so that no part and no message is held whole."""

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fastapi.responses import StreamingResponse

from serving.dicomweb.media import MULTIPART


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its headers, and what it holds piece by piece."""

    media: str
    content: Iterable[bytes]
    location: str | None = None


def related(parts: Iterable[Part], *, media: str) -> StreamingResponse:
    """Answer with parts that are made as they are sent."""
    boundary = secrets.token_hex(16)
    return StreamingResponse(
        _written(parts, boundary),
        media_type=f'{MULTIPART}; type="{media}"; boundary={boundary}',
        headers={"Cache-Control": "no-store", "Vary": "Accept"},
    )


def single(part: Part) -> StreamingResponse:
    """Answer with one part by itself."""
    headers = {"Cache-Control": "no-store", "Vary": "Accept"}
    if part.location:
        headers["Content-Location"] = part.location
    return StreamingResponse(iter(part.content), media_type=part.media, headers=headers)


def _written(parts: Iterable[Part], boundary: str) -> Iterator[bytes]:
    for part in parts:
        head = f"--{boundary}\r\nContent-Type: {part.media}\r\n"
        if part.location:
            head += f"Content-Location: {part.location}\r\n"
        yield f"{head}\r\n".encode()
        yield from part.content
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()
