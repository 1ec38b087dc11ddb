"""The button by which a sender says that all images of a study have come."""

from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from serving.errors import ServiceError
from serving.identity.caller import ActingCaller
from serving.intake.service import Intake
from serving.web.endpoints import show_failure
from serving.web.pages import Pages, Words


def build_router(pages: Pages, intake: Intake) -> APIRouter:
    """Serve the button."""
    router = APIRouter(include_in_schema=False)

    @router.post("/studies/{study}/complete")
    def complete_study(request: Request, study: str, words: Words, caller: ActingCaller) -> Response:
        try:
            done = intake.complete(study, scope=caller.scope, who=caller.who, site=caller.home_site)
        except ServiceError as error:
            return show_failure(pages, request, words, error)
        return RedirectResponse(f"/studies/{done.key}?lang={words.code}", HTTPStatus.SEE_OTHER)

    return router
