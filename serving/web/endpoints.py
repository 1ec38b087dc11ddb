"""The pages: the worklist, a study, and a form to send images."""

import hashlib
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from serving.audit.origin import Acting
from serving.errors import Problem, ServiceError
from serving.identity.caller import ActingCaller, ActingSite
from serving.intake.endpoints import receive
from serving.intake.schemas import ReceivedStudy, RejectedFile
from serving.intake.service import Intake
from serving.operations.service import Operations
from serving.store.times import from_us, now_us
from serving.studies.schemas import StudyDetail
from serving.studies.service import Studies
from serving.web.wording import Wording, wording_of
from serving.worklist.language import Language, choose_language
from serving.worklist.schemas import WorklistPage
from serving.worklist.service import Worklist

Cursor = Annotated[str | None, Query(max_length=64)]

_FOLDER = Path(__file__).parent
_ROWS_A_PAGE = 50
_IMAGES_SHOWN = 60

_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def _words(
    lang: Annotated[Language | None, Query()] = None, accept_language: Annotated[str | None, Header()] = None
) -> Wording:
    return wording_of(choose_language(accept_language, lang))


Words = Annotated[Wording, Depends(_words)]


class Pages:
    """Fills in the templates."""

    def __init__(self) -> None:
        self.assets = {
            path.name: path.read_bytes()
            for path in (_FOLDER / "assets").iterdir()
            if path.suffix in _MEDIA_TYPES
        }
        self._version = hashlib.sha256(
            b"".join(self.assets[name] for name in sorted(self.assets))
        ).hexdigest()[:12]
        self._templates = Environment(
            loader=FileSystemLoader(_FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            auto_reload=False,
        )

    def fill(
        self,
        template: str,
        request: Request,
        words: Wording,
        status: HTTPStatus = HTTPStatus.OK,
        **values: object,
    ) -> HTMLResponse:
        """Make a page; what a stranger sent is escaped."""
        html = self._templates.get_template(template).render(
            words=words, path=request.url.path, assets_version=self._version, **values
        )
        return HTMLResponse(
            html, status, headers={"Cache-Control": "no-store", "Content-Language": words.code}
        )


def build_router(
    *, intake: Intake, worklist: Worklist, studies: Studies, operations: Operations
) -> APIRouter:
    """Serve the pages."""
    router = APIRouter(include_in_schema=False)
    pages = Pages()

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
        )

    @router.get("/studies/{study}")
    def show_study(request: Request, study: str, words: Words, caller: ActingCaller) -> HTMLResponse:
        try:
            view = studies.find(study, scope=caller.scope, site=caller.home_site, who=caller.who)
        except ServiceError as error:
            return _failure(pages, request, words, error)
        detail = StudyDetail.of(view, language=Language(words.code))
        return pages.fill(
            "study.html",
            request,
            words,
            study=detail,
            shown_images=detail.images[:_IMAGES_SHOWN],
            minutes_left=(detail.due_at - from_us(now_us())).total_seconds() / 60,
        )

    @router.post("/send")
    async def send_images(request: Request, words: Words, site: ActingSite, who: Acting) -> HTMLResponse:
        try:
            outcome = await receive(request, intake, site=site, who=who)
        except ServiceError as error:
            return await run_in_threadpool(_failure, pages, request, words, error)
        return pages.fill(
            "sent.html",
            request,
            words,
            HTTPStatus.CREATED if outcome.is_new else HTTPStatus.OK,
            studies=[ReceivedStudy.of(study) for study in outcome.studies],
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
            media_type=_MEDIA_TYPES[Path(name).suffix],
            headers={"Cache-Control": "public, max-age=31536000, immutable"},
        )

    return router


def _failure(pages: Pages, request: Request, words: Wording, error: ServiceError) -> HTMLResponse:
    return pages.fill(
        "sent.html",
        request,
        words,
        error.status,
        studies=[],
        rejected=[RejectedFile.of(line) for line in error.rejected],
        detail=words.nothing_taken if error.problem is Problem.NOTHING_TAKEN else error.detail,
    )
