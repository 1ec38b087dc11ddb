"""POST /dicom-web/studies: STOW-RS (PS3.18 10.5)."""

import json
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from data.dicom.xml_model import xml_of
from serving.dicomweb.addresses import OF_STUDY, ROOT, AWish, Study, Wish
from serving.dicomweb.media import JSON, XML, choose_text
from serving.dicomweb.related_upload import RelatedUpload
from serving.dicomweb.storing import Stored, model_of, store
from serving.identity.caller import ActingCaller, ActingSite, Caller
from serving.intake.endpoints import declared_bytes, write_down
from serving.intake.service import Intake

# Of refused instances so many are explained in words; all have their failure reason.
_MOST_EXPLAINED = 10

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {'multipart/related; type="application/dicom"': {"schema": {"type": "string"}}},
    }
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": {JSON: {}, XML: {}}, "description": "All instances are stored."},
    202: {"content": {JSON: {}, XML: {}}, "description": "Some are stored, or under another UID."},
    409: {"content": {JSON: {}, XML: {}}, "description": "None is stored; each has its failure reason."},
}


def build_router(intake: Intake) -> APIRouter:
    """Take instances by STOW-RS."""
    router = APIRouter(prefix=ROOT, tags=["dicomweb"])

    async def taken(
        request: Request, site: str, caller: Caller, wish: Wish, study_uid: str | None = None
    ) -> Response:
        media = choose_text(wish.wanted)
        upload = await run_in_threadpool(
            RelatedUpload,
            intake.spool,
            content_type=request.headers.get("content-type", ""),
            limits=intake.limits,
            declared_bytes=declared_bytes(request),
        )
        try:
            await write_down(request, upload, intake.limits.pace)
            stored = await run_in_threadpool(_store, upload, intake, study_uid, site, caller)
        finally:
            await run_in_threadpool(upload.close)
        return _answer(stored, wish.base_url, media)

    @router.post(
        "/studies",
        summary="Store instances",
        response_class=Response,
        responses=_ANSWERS,
        openapi_extra=_BODY,
    )
    async def store_instances(
        request: Request, site: ActingSite, caller: ActingCaller, wish: AWish
    ) -> Response:
        """Take instances of any studies; what is stored is durable and queued before the answer is given."""
        return await taken(request, site, caller, wish)

    @router.post(
        OF_STUDY,
        summary="Store instances of a study",
        response_class=Response,
        responses=_ANSWERS,
        openapi_extra=_BODY,
    )
    async def store_instances_of_study(
        *, study: Study, request: Request, site: ActingSite, caller: ActingCaller, wish: AWish
    ) -> Response:
        """Take instances of one study; those of others are refused."""
        return await taken(request, site, caller, wish, study)

    return router


def _store(upload: RelatedUpload, intake: Intake, study_uid: str | None, site: str, caller: Caller) -> Stored:
    upload.finish()
    return store(upload, intake, study_uid=study_uid, site=site, caller=caller)


def _answer(stored: Stored, base_url: str, media: str) -> Response:
    model = model_of(stored, base_url)
    content = (
        xml_of(model) if media == XML else json.dumps(model, ensure_ascii=False).encode("utf-8", "replace")
    )
    answer = Response(content, status_code=stored.status, media_type=media)
    for _, line in stored.failed[:_MOST_EXPLAINED]:
        said = f"{line.file} {line.problem} ({line.reason}); {line.remedy}"
        printable = "".join(
            letter if " " <= letter <= "~" and letter not in '"\\' else "?" for letter in said
        )
        answer.headers.append("Warning", f'299 firstread: "{printable[:400]}"')
    return answer
