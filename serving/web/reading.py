"""The forms by which a study is taken, given back, written about and signed on its page."""

from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse
from pydantic import ValidationError
from starlette.datastructures import FormData

from serving.errors import Problem, ServiceError
from serving.identity.caller import ActingCaller, Caller
from serving.identity.renewed_proof import RenewedProof
from serving.reading.claims import Claims
from serving.reading.draft_schemas import SignRequest
from serving.reading.reads import Reads, Save
from serving.web.pages import Words
from serving.web.study_page import StudyPage
from serving.web.wording import Wording
from serving.web.written import Written


def build_router(page: StudyPage, claims: Claims, reads: Reads, proof: RenewedProof) -> APIRouter:
    """Serve the forms."""
    router = APIRouter(include_in_schema=False)

    @router.post("/next")
    def take_next(words: Words, caller: ActingCaller) -> Response:
        claimed = claims.next(caller)
        return _to("/" if claimed is None else f"/studies/{claimed.study.key}", words)

    @router.post("/studies/{study}/claim")
    def claim_study(request: Request, study: str, words: Words, caller: ActingCaller) -> Response:
        try:
            claims.claim(study, caller)
        except ServiceError as error:
            return page.show(request, words, study, caller, error=error)
        return _to(f"/studies/{study}", words)

    @router.post("/studies/{study}/release")
    def release_study(request: Request, study: str, words: Words, caller: ActingCaller) -> Response:
        try:
            claims.release(study, caller)
        except ServiceError as error:
            return page.show(request, words, study, caller, error=error)
        return _to("/", words)

    @router.post("/studies/{study}/read")
    async def write_read(request: Request, study: str, words: Words, caller: ActingCaller) -> Response:
        form = await request.form()
        return await run_in_threadpool(_write, request, study, words, caller, form)

    def _write(request: Request, study: str, words: Wording, caller: Caller, form: FormData) -> Response:
        written = Written.read(form)
        try:
            content = written.content(_text(form, "save_key") or None, _number(form, "seen_score"))
            sent = content.model_dump(mode="json", exclude_unset=True)
            save = Save(content.decision(), written.version, content.save_key, content.seen_score, sent)
            kept = reads.save(study, caller, save)
            if _text(form, "do") != "sign":
                return _to(f"/studies/{study}", words)
            proof.require(
                request,
                caller,
                password=_text(form, "password") or None,
                code=_text(form, "code") or None,
            )
            reads.sign(study, caller, _signature(form, kept.read.version, written.amendment_reason))
        except ServiceError as error:
            return page.show(request, words, study, caller, written=written, error=error)
        return _to(f"/studies/{study}", words)

    return router


def _signature(form: FormData, version: int, amendment_reason: str) -> SignRequest:
    try:
        return SignRequest.model_validate(
            {
                "version": version,
                "seen_revision": _number(form, "seen_revision"),
                "seen_images": _number(form, "seen_images"),
                "seen_score": _number(form, "seen_score"),
                "amendment_reason": amendment_reason or None,
            }
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ServiceError(Problem.INVALID_REQUEST, f"{first['loc'][0]}: {first['msg']}.") from error


def _text(form: FormData, name: str) -> str:
    value = form.get(name)
    return value if isinstance(value, str) else ""


def _number(form: FormData, name: str) -> int | None:
    text = _text(form, name)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _to(way: str, words: Wording) -> RedirectResponse:
    return RedirectResponse(f"{way}?lang={words.code}", HTTPStatus.SEE_OTHER)
