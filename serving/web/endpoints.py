"""The pages: the worklist, a study, and a form to send images."""

from http import HTTPStatus
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse

from serving.audit.origin import Acting
from serving.consents.service import Consents
from serving.errors import Problem, ServiceError
from serving.identity.caller import ActingCaller, ActingSite
from serving.identity.gate import PAGE_TOKEN_FIELD, Gate
from serving.intake.endpoints import receive
from serving.intake.schemas import ReceivedStudy, RejectedFile
from serving.intake.service import Intake
from serving.operations.service import Operations
from serving.store.uses import Consent
from serving.web.account_wording import account_wording_of
from serving.web.pages import MEDIA_TYPES, Pages, Words
from serving.web.reading_wording import reading_wording_of
from serving.web.study_page import StudyPage
from serving.web.wording import Wording
from serving.worklist.language import Language
from serving.worklist.schemas import WorklistPage
from serving.worklist.service import Worklist

Cursor = Annotated[str | None, Query(max_length=64)]

_ROWS_A_PAGE = 50


def build_router(
    pages: Pages,
    *,
    intake: Intake,
    worklist: Worklist,
    consents: Consents,
    operations: Operations,
    gate: Gate,
    study_page: StudyPage,
) -> APIRouter:
    """Serve the pages."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    def show_worklist(
        request: Request, words: Words, caller: ActingCaller, cursor: Cursor = None
    ) -> HTMLResponse:
        page = worklist.read(
            scope=caller.scope, site=caller.home_site, who=caller.who, limit=_ROWS_A_PAGE, cursor=cursor
        )
        return pages.fill(
            "worklist.html",
            request,
            words,
            page=WorklistPage.of(page, language=Language(words.code), limit=_ROWS_A_PAGE),
            next_cursor=page.next_cursor,
            is_first=cursor is None,
            has_models=bool(operations.models()),
            may_send=gate.table["POST", "/send"].allows(caller),
            may_read=gate.table["POST", "/next"].allows(caller),
            reading_words=reading_wording_of(Language(words.code)),
            paused_because=_paused_because(operations),
        )

    @router.get("/studies/{study}")
    def show_study(request: Request, study: str, words: Words, caller: ActingCaller) -> HTMLResponse:
        try:
            return study_page.show(request, words, study, caller)
        except ServiceError as error:
            return show_failure(pages, request, words, error)

    @router.post("/studies/{study}/consent")
    def change_consent(
        *,
        request: Request,
        study: str,
        consent: Annotated[Consent, Form()],
        words: Words,
        caller: ActingCaller,
    ) -> Response:
        try:
            consents.change(study, consent, scope=caller.scope, site=caller.home_site, who=caller.who)
        except ServiceError as error:
            return show_failure(pages, request, words, error)
        return RedirectResponse(f"/studies/{study}?lang={words.code}", HTTPStatus.SEE_OTHER)

    @router.post("/send")
    async def send_images(request: Request, words: Words, site: ActingSite, who: Acting) -> HTMLResponse:
        def check_page(fields: dict[str, str]) -> None:
            gate.check_given_token(request, fields.pop(PAGE_TOKEN_FIELD, None))

        try:
            outcome = await receive(request, intake, site=site, who=who, check_fields=check_page)
        except ServiceError as error:
            return await run_in_threadpool(show_failure, pages, request, words, error)
        return pages.fill(
            "sent.html",
            request,
            words,
            HTTPStatus.CREATED if outcome.is_new else HTTPStatus.OK,
            studies=[ReceivedStudy.of(study).model_dump(mode="json") for study in outcome.studies],
            rejected=[RejectedFile.of(line) for line in outcome.rejected],
            detail="",
        )

    @router.get("/assets/{name}")
    def read_asset(name: str) -> Response:
        content = pages.assets.get(name)
        if content is None:
            raise ServiceError(Problem.NOT_FOUND, f"There is no asset {name!r}.")
        return Response(
            content,
            media_type=MEDIA_TYPES[Path(name).suffix],
            headers={"Cache-Control": "public, max-age=31536000, immutable"},
        )

    return router


def _paused_because(operations: Operations) -> str | None:
    switch = operations.scoring_switch()
    return switch.reason if switch is not None and switch.is_paused else None


def show_failure(pages: Pages, request: Request, words: Wording, error: ServiceError) -> HTMLResponse:
    """Say what went wrong, on a page."""
    return pages.fill(
        "sent.html",
        request,
        words,
        error.status,
        studies=[],
        rejected=[RejectedFile.of(line) for line in error.rejected],
        detail=words.nothing_taken if error.problem is Problem.NOTHING_TAKEN else _said(words, error),
    )


def _said(words: Wording, error: ServiceError) -> str:
    return account_wording_of(Language(words.code)).problem(error.problem) or error.detail
