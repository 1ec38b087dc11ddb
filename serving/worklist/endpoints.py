"""GET /api/v1/worklist: what is read next."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from serving.identity.caller import ActingCaller
from serving.worklist.language import Language, choose_language
from serving.worklist.schemas import WorklistPage
from serving.worklist.service import Worklist

Limit = Annotated[int, Query(ge=1, le=200, description="At most this many studies.")]
Cursor = Annotated[str | None, Query(max_length=64, description="Where the page before ended.")]
Lang = Annotated[Language | None, Query(description="Counts before Accept-Language.")]
AcceptLanguage = Annotated[str | None, Header()]


def build_router(worklist: Worklist) -> APIRouter:
    """Serve `worklist` over HTTP."""
    router = APIRouter(prefix="/api/v1", tags=["worklist"])

    @router.get("/worklist", summary="Read the worklist")
    def read_worklist(
        *,
        caller: ActingCaller,
        response: Response,
        limit: Limit = 50,
        cursor: Cursor = None,
        lang: Lang = None,
        accept_language: AcceptLanguage = None,
    ) -> WorklistPage:
        """Give the studies that wait, the first due first; `next` leads on to the next page."""
        language = choose_language(accept_language, lang)
        response.headers["Content-Language"] = language
        response.headers["Cache-Control"] = "no-store"
        response.headers["Vary"] = "Accept-Language"
        page = worklist.read(
            scope=caller.scope, site=caller.home_site, who=caller.who, limit=limit, cursor=cursor
        )
        return WorklistPage.of(page, language=language, limit=limit)

    return router
