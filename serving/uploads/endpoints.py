"""/api/v1/uploads: files in pieces by the tus protocol, each resumed where it was cut off."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response, status
from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from serving.audit.origin import Acting
from serving.errors import Problem, ServiceError
from serving.identity.caller import ActingCaller, ActingSite
from serving.intake.endpoints import declared_bytes, in_time
from serving.uploads.protocol import (
    MEDIA_TYPE,
    VERSION,
    check_version,
    http_date,
    read_checksum,
    read_number,
    said_of_service,
)
from serving.uploads.schemas import UploadView
from serving.uploads.service import Uploads
from serving.uploads.writing import Sender, Writer

TusResumable = Annotated[
    str | None, Header(description=f"The protocol's version: {VERSION}; 412 for any other.")
]
UploadLength = Annotated[str | None, Header(description="Bytes of the whole file.")]
UploadOffset = Annotated[
    str | None, Header(description="Bytes that have come already, as HEAD says; 409 if it is another number.")
]
UploadMetadata = Annotated[
    str | None,
    Header(
        description="Pairs of a key and its value in base64, separated by commas: filename (or "
        "relativePath, with its folders), filetype, batch (the sender's word for files that belong "
        "together), sha256 (of the whole file, checked at its end), and the fields of the study's context "
        "as the form of POST /api/v1/studies has them. What is longer than headers may be (16 KiB) is said "
        "when the batch is completed."
    ),
]
UploadChecksum = Annotated[
    str | None,
    Header(
        description="sha1 or sha256 of this request's body, a space, the digest in base64; 460 if the body "
        "has another, and nothing of it is kept."
    ),
]
MethodOverride = Annotated[
    str | None,
    Header(
        alias="X-HTTP-Method-Override",
        description="PATCH, DELETE or HEAD sent as a POST, where a line lets no other method through.",
    ),
]

# Bytes that are gathered before a thread writes them, unless they have waited for so long.
_BATCH = 1024 * 1024
_SECONDS_A_BATCH = 2.0


def acting_sender(caller: ActingCaller, site: ActingSite, who: Acting) -> Sender:
    """Give who sends."""
    return Sender.of(site, who, caller.user)


ActingSender = Annotated[Sender, Depends(acting_sender)]


def build_router(uploads: Uploads) -> APIRouter:
    """Serve `uploads` over HTTP."""
    router = APIRouter(prefix="/api/v1/uploads", tags=["uploads"])
    max_bytes = uploads.intake.limits.max_bytes

    @router.options(
        "",
        summary="Say what resumable uploads can do here",
        status_code=status.HTTP_204_NO_CONTENT,
        responses={204: {"description": "In the headers.", "headers": _described(*said_of_service(0))}},
    )
    def say_abilities() -> Response:
        """Give the protocol's versions and extensions, the largest file, the checksums that are known."""
        return Response(status_code=status.HTTP_204_NO_CONTENT, headers=said_of_service(max_bytes))

    @router.post(
        "",
        summary="Announce a file that comes in pieces",
        status_code=status.HTTP_201_CREATED,
        response_class=Response,
        responses={
            201: {
                "description": "Its address is in Location.",
                "content": {},
                "headers": _described("Location", "Upload-Offset", "Upload-Expires", "Tus-Resumable"),
            }
        },
        openapi_extra={"requestBody": _body("The first bytes of the file, if they are sent along.", False)},
    )
    async def announce(
        *,
        request: Request,
        sender: ActingSender,
        tus_resumable: TusResumable = None,
        upload_length: UploadLength = None,
        upload_metadata: UploadMetadata = None,
        upload_checksum: UploadChecksum = None,
    ) -> Response:
        """Open a place for a file; its bytes follow by PATCH, or the first of them with this request.

        Without a batch the file is an upload by itself: it is taken with its last byte, and what became of
        it is read at its address. A name that is already under way gets a place of its own.
        """
        check_version(tus_resumable)
        n_bytes = read_number("Upload-Length", upload_length)
        checksum = read_checksum(upload_checksum)
        has_body = request.headers.get("content-type", "").partition(";")[0].strip() == MEDIA_TYPE
        upload = await run_in_threadpool(uploads.announce, n_bytes, upload_metadata or "", sender=sender)
        headers = {"Location": f"/api/v1/uploads/{upload.key}"}
        if has_body or not n_bytes:
            writer = await run_in_threadpool(
                uploads.write,
                upload.key,
                sender=sender,
                offset=0,
                n_declared=declared_bytes(request),
                checksum=checksum,
            )
            await _write(request, uploads, writer)
            await _settle(uploads, upload.key, writer, sender)
            headers |= _progress(writer.n_received, writer.expires_at_us)
        else:
            headers |= _progress(0, upload.batch.expires_at_us)
        return Response(status_code=status.HTTP_201_CREATED, headers=headers)

    @router.get(
        "/{upload}",
        summary="Read how much of a file has come, and what became of it",
        responses={
            200: {
                "headers": _described(
                    "Upload-Offset", "Upload-Length", "Upload-Metadata", "Upload-Expires", "Tus-Resumable"
                )
            }
        },
    )
    def look(
        upload: str, response: Response, sender: ActingSender, tus_resumable: TusResumable = None
    ) -> UploadView:
        """Give an upload's offset in the headers (HEAD: in them alone), and its state and answer as JSON."""
        check_version(tus_resumable, is_needed=False)
        found = uploads.find(upload, sender=sender)
        response.headers.update(_progress(found.n_received, found.batch.expires_at_us))
        response.headers["Upload-Length"] = str(found.n_bytes)
        if found.metadata:
            response.headers["Upload-Metadata"] = found.metadata
        return UploadView.of(found)

    @router.patch(
        "/{upload}",
        summary="Send the next bytes of a file",
        status_code=status.HTTP_204_NO_CONTENT,
        responses={
            204: {
                "description": "They are on the disk.",
                "headers": _described("Upload-Offset", "Upload-Expires", "Tus-Resumable"),
            },
            460: {"description": "They have not the checksum that was said (checksum-mismatch)."},
        },
        openapi_extra={"requestBody": _body("Bytes of the file from Upload-Offset on.", True)},
    )
    async def append(
        *,
        request: Request,
        upload: str,
        sender: ActingSender,
        tus_resumable: TusResumable = None,
        upload_offset: UploadOffset = None,
        upload_checksum: UploadChecksum = None,
        method_override: MethodOverride = None,
    ) -> Response:
        """Write bytes behind those that have come; what is told is on the disk.

        What comes before a line is cut counts, unless the request has a checksum. One request at a time: a
        second one is told 423. With the last byte of a file without a batch, the file is taken: if it cannot
        be, the answer is the problem that POST /api/v1/studies would have given.
        """
        del method_override  # was heeded where the request came in
        check_version(tus_resumable)
        if request.headers.get("content-type", "").partition(";")[0].strip() != MEDIA_TYPE:
            raise ServiceError(
                Problem.UNSUPPORTED_MEDIA_TYPE, f"The next bytes of an upload are sent as {MEDIA_TYPE}."
            )
        checksum = read_checksum(upload_checksum)
        writer = await run_in_threadpool(
            uploads.write,
            upload,
            sender=sender,
            offset=read_number("Upload-Offset", upload_offset),
            n_declared=declared_bytes(request),
            checksum=checksum,
        )
        await _write(request, uploads, writer)
        await _settle(uploads, upload, writer, sender)
        return Response(
            status_code=status.HTTP_204_NO_CONTENT,
            headers=_progress(writer.n_received, writer.expires_at_us),
        )

    @router.delete("/{upload}", summary="End an upload", status_code=status.HTTP_204_NO_CONTENT)
    def end(upload: str, sender: ActingSender, tus_resumable: TusResumable = None) -> Response:
        """Drop what has come of a file that is no longer wanted; 409 once it was called whole."""
        check_version(tus_resumable)
        uploads.end(upload, sender=sender)
        return Response(status_code=status.HTTP_204_NO_CONTENT)

    return router


async def _write(request: Request, uploads: Uploads, writer: Writer) -> None:
    pace, idle_s = uploads.intake.limits.pace, uploads.terms.idle_s
    try:
        batch, since_s = bytearray(), time.monotonic()
        try:
            async for chunk in in_time(request.stream(), pace, idle_s=idle_s):
                batch += chunk
                if len(batch) >= _BATCH or time.monotonic() - since_s >= _SECONDS_A_BATCH:
                    await run_in_threadpool(writer.feed, bytes(batch))
                    batch.clear()
                    since_s = time.monotonic()
            await run_in_threadpool(writer.feed, bytes(batch))
            await run_in_threadpool(writer.finish)
        except ClientDisconnect as error:
            await run_in_threadpool(_cut, writer, bytes(batch))
            raise ServiceError(
                Problem.MALFORMED_UPLOAD, "The connection ended before the request was whole."
            ) from error
        except ServiceError as error:
            if error.problem is not Problem.UPLOAD_TOO_SLOW:
                raise
            await run_in_threadpool(_cut, writer, bytes(batch))
            raise ServiceError(
                Problem.UPLOAD_TOO_SLOW,
                f"The line brought nothing, or too little, for too long: {writer.n_received:,} bytes of the "
                "file are here; go on from there.",
                headers={"Upload-Offset": str(writer.n_received)},
            ) from error
    finally:
        await run_in_threadpool(writer.close)


def _cut(writer: Writer, rest: bytes) -> None:
    writer.feed(rest)
    writer.cut()


async def _settle(uploads: Uploads, key: str, writer: Writer, sender: Sender) -> None:
    if writer.is_whole:
        await run_in_threadpool(uploads.settle, key, sender=sender)


def _progress(n_received: int, expires_at_us: int) -> dict[str, str]:
    return {"Upload-Offset": str(n_received), "Upload-Expires": http_date(expires_at_us)}


def _body(description: str, is_required: bool) -> dict[str, Any]:
    return {
        "required": is_required,
        "description": description,
        "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    }


_HEADERS = {
    "Location": "The address that the bytes go to.",
    "Upload-Offset": "Bytes of the file that have come and are on the disk.",
    "Upload-Length": "Bytes of the whole file.",
    "Upload-Metadata": "As it was announced.",
    "Upload-Expires": "When the upload is given up if nothing more comes.",
    "Tus-Resumable": "The protocol's version of this answer.",
    "Tus-Version": "The versions of the protocol that are spoken.",
    "Tus-Extension": "Its extensions that are spoken.",
    "Tus-Max-Size": "Bytes of the largest file.",
    "Tus-Checksum-Algorithm": "For Upload-Checksum.",
}


def _described(*names: str) -> dict[str, Any]:
    return {name: {"description": _HEADERS[name], "schema": {"type": "string"}} for name in names}
