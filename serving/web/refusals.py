"""What a browser is shown where it may not go on: the page to sign in, or a sentence."""

from collections.abc import Callable
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from serving.errors import Problem, ServiceError
from serving.identity.caller import Stage, acting_caller
from serving.web.account_wording import account_wording_of
from serving.web.pages import Pages
from serving.web.wording import wording_of
from serving.worklist.language import Language, choose_language

_SHOWN = {
    Problem.SIGN_IN_NEEDED,
    Problem.CREDENTIAL_REFUSED,
    Problem.NOT_ALLOWED,
    Problem.LICENCE_NEEDED,
    Problem.PAGE_TOKEN_WRONG,
    Problem.NO_SITE,
    Problem.TOO_MANY_TRIES,
}
_SIGNED_OUT = {Problem.SIGN_IN_NEEDED, Problem.CREDENTIAL_REFUSED}
_WAY_OF_STAGE = {
    Stage.SECOND_FACTOR: "/sign-in/second-factor",
    Stage.ENROLMENT: "/account/second-factor",
    Stage.OPEN: "/sign-in",
}


def page_of_refusal(pages: Pages) -> Callable[[Request, ServiceError], Response | None]:
    """Make what gives a browser a page in place of a problem document, None where that is not asked for."""

    def page(request: Request, error: ServiceError) -> Response | None:
        wants_page = "text/html" in request.headers.get("accept", "")
        if error.problem not in _SHOWN or not wants_page or request.url.path.startswith("/api/"):
            return None
        caller = acting_caller(request)
        if error.problem in _SIGNED_OUT and request.method == "GET":
            wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            way = f"{_WAY_OF_STAGE[caller.stage]}?next={quote(wanted)}"
            return _with(RedirectResponse(way, status_code=303), error)
        if error.problem is Problem.NOT_ALLOWED and request.url.path == "/" and caller.user is not None:
            return RedirectResponse("/account", status_code=303)  # not everybody has a worklist
        words = wording_of(_language(request))
        say = account_wording_of(Language(words.code))
        answer = pages.fill(
            "refused.html",
            request,
            words,
            error.status,
            title=say.not_allowed if error.problem is Problem.NOT_ALLOWED else words.failed_title,
            detail=say.problem(error.problem) or error.detail,
        )
        return _with(answer, error)

    return page


def _language(request: Request) -> Language:
    asked = request.query_params.get("lang")
    known = Language(asked) if asked in {str(one) for one in Language} else None
    return choose_language(request.headers.get("accept-language"), known)


def _with(answer: Response, error: ServiceError) -> Response:
    answer.headers.update(error.headers)
    return answer
