"""POST /api/v1/studies: how images come in."""

import math
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Header, Request, Response, status
from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from serving.audit.origin import Acting
from serving.errors import Problem, ServiceError
from serving.identity.caller import ActingSite
from serving.intake.context import ContextFields, SenderContext, read_context
from serving.intake.pace import Pace
from serving.intake.schemas import UploadAnswer
from serving.intake.service import Intake, Outcome
from serving.intake.upload import Upload
from serving.store.audit_chain import Who

IdempotencyKey = Annotated[
    str | None,
    Header(max_length=255, description="A repeated request under the same key gets the same answer."),
]

# Bytes that are gathered before a thread parses and writes them.
_BATCH = 1024 * 1024


def build_router(intake: Intake) -> APIRouter:
    """Serve `intake` over HTTP."""
    router = APIRouter(prefix="/api/v1", tags=["studies"])

    @router.post(
        "/studies",
        summary="Send images",
        status_code=status.HTTP_201_CREATED,
        response_model=UploadAnswer,
        responses={200: {"model": UploadAnswer, "description": "All of it was known already."}},
        openapi_extra={"requestBody": _request_body()},
    )
    async def receive_studies(
        request: Request,
        response: Response,
        site: ActingSite,
        who: Acting,
        idempotency_key: IdempotencyKey = None,
    ) -> UploadAnswer:
        """Take photographs, DICOM files and zip archives of them, mixed as they come.

        What can be read is stored durably and queued before the answer is given; every other file is named
        with its reason. If none can be taken the answer is a problem document that names them all.
        """
        outcome = await receive(request, intake, site=site, who=who, idempotency_key=idempotency_key)
        return answer_with_outcome(outcome, response)

    return router


def answer_with_outcome(outcome: Outcome, response: Response) -> UploadAnswer:
    """Answer a request that took files: 200 if all were known, and whether the answer is given again."""
    if not outcome.is_new and not outcome.is_repeat:
        response.status_code = status.HTTP_200_OK
    if outcome.is_repeat:
        response.headers["Idempotent-Replayed"] = "true"
    return UploadAnswer.of(outcome)


async def receive(
    request: Request,
    intake: Intake,
    *,
    site: str,
    who: Who,
    idempotency_key: str | None = None,
    check_fields: Callable[[dict[str, str]], None] = lambda _: None,
) -> Outcome:
    """Write a request's body to disk as it comes, then take it; parsing and writing happen in threads.

    `check_fields` sees the form's fields before anything is taken; it may take some out, or refuse.
    """
    upload = await run_in_threadpool(
        intake.begin,
        content_type=request.headers.get("content-type", ""),
        declared_bytes=declared_bytes(request),
    )
    try:
        await write_down(request, upload, intake.limits.pace)
        await run_in_threadpool(upload.finish)
        await run_in_threadpool(check_fields, upload.fields)
        return await run_in_threadpool(_take, upload, intake, site, who, idempotency_key)
    finally:
        await run_in_threadpool(upload.close)


def declared_bytes(request: Request) -> int | None:
    """Give the size that a request says its body has."""
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isdecimal() else None


async def write_down(request: Request, upload: Upload, pace: Pace) -> None:
    """Write a request's body to disk as it comes.

    Raises
    ------
    ServiceError
        If it is not what it should be, stops, or is too slow.
    """
    try:
        batch = bytearray()
        async for chunk in in_time(request.stream(), pace):
            batch += chunk
            if len(batch) >= _BATCH:
                await run_in_threadpool(upload.feed, bytes(batch))
                batch.clear()
        await run_in_threadpool(upload.feed, bytes(batch))
    except ClientDisconnect as error:
        raise ServiceError(
            Problem.MALFORMED_UPLOAD, "The connection ended before the upload was whole: send it again."
        ) from error


async def in_time(
    chunks: AsyncIterator[bytes], pace: Pace, *, idle_s: float = math.inf
) -> AsyncIterator[bytes]:
    """Pass a body on for as long as it comes fast enough, and never stops for `idle_s`.

    Raises
    ------
    ServiceError
        `UPLOAD_TOO_SLOW`.
    """
    n_bytes, start_s = 0, time.monotonic()
    while True:
        try:
            left_s = pace.seconds_left(n_bytes, time.monotonic() - start_s)
            with anyio.fail_after(min(left_s, idle_s)):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise ServiceError(
                Problem.UPLOAD_TOO_SLOW,
                f"The upload stopped after {n_bytes:,} bytes or is too slow: nothing was taken; send it "
                "again, in smaller parts if the line is slow.",
            ) from error
        n_bytes += len(chunk)
        yield chunk


def _take(upload: Upload, intake: Intake, site: str, who: Who, idempotency_key: str | None) -> Outcome:
    context: SenderContext = read_context(upload.fields)
    return intake.take(upload, context, site=site, who=who, idempotency_key=idempotency_key)


def _request_body() -> dict[str, Any]:
    fields = ContextFields.model_json_schema()["properties"]
    files = {
        "type": "array",
        "items": {"type": "string", "format": "binary"},
        "description": "Photographs, DICOM files, zip archives. The field's name does not matter.",
    }
    schema = {"type": "object", "required": ["files"], "properties": {"files": files, **fields}}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
