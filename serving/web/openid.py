"""The ways of signing in by an identity provider: to it, back from it, and out of it."""

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from serving.errors import Problem, ServiceError
from serving.identity.cookies import is_secure, set_session
from serving.identity.openid.terms import CALLBACK, SECONDS_TO_SIGN_IN, Fault, OpenIdError
from serving.identity.signing_in import visitor_of
from serving.web.openid_wording import fault_said
from serving.web.pages import Pages, Words
from serving.web.sign_in import WAY_OF_STAGE
from serving.web.wording import Wording
from serving.worklist.language import Language

if TYPE_CHECKING:  # Authlib is loaded where there is a provider
    from serving.identity.openid.service import OpenIdSignIn

Next = Annotated[str, Query(max_length=2000)]

WAY_IN = "/sign-in/openid"
WAY_OUT = "/sign-out/openid"

_COOKIE = "firstread-openid"
_SAID_ONCE = ("state", "code", "iss", "error")


def build_router(pages: Pages, openid: "OpenIdSignIn | None") -> APIRouter:
    """Serve the ways; without a provider they lead nowhere."""
    router = APIRouter(include_in_schema=False)

    @router.get(WAY_IN)
    def begin(request: Request, words: Words, next: Next = "/") -> Response:  # noqa: A002 - the parameter's name
        provider = _configured(openid)
        try:
            begun = provider.begin(visitor_of(request), next)
        except OpenIdError as error:
            return _refused(pages, request, words, error)
        answer = _to(begun.address)
        answer.set_cookie(
            _COOKIE,
            begun.cookie,
            max_age=SECONDS_TO_SIGN_IN,
            path=WAY_IN,
            secure=is_secure(request),
            httponly=True,
            samesite="lax",  # the way back is a step from the provider's site
        )
        return answer

    @router.get(CALLBACK)
    def finish(request: Request, words: Words) -> Response:
        provider = _configured(openid)
        try:
            opened, path = provider.finish(
                visitor_of(request), _answer(request), cookie=request.cookies.get(_COOKIE)
            )
        except OpenIdError as error:
            return _refused(pages, request, words, error)
        way = WAY_OF_STAGE.get(opened.stage)
        answer = _to(path if way is None else f"{way}?lang={words.code}&next={path}")
        set_session(request, answer, opened.token)
        answer.delete_cookie(_COOKIE, path=WAY_IN)
        return answer

    @router.get(WAY_OUT)
    def sign_out_there() -> Response:
        provider = _configured(openid).flow.provider
        after = provider.terms.redirect_uri.removesuffix(CALLBACK) + "/sign-in"
        try:
            return _to(provider.sign_out_address(after=after) or "/sign-in")
        except OpenIdError:  # the session here has ended all the same
            return _to("/sign-in")

    return router


def _configured(openid: "OpenIdSignIn | None") -> "OpenIdSignIn":
    if openid is None:
        raise ServiceError(
            Problem.NOT_FOUND, "This service has no identity provider: sign in by name and password."
        )
    return openid


def _answer(request: Request) -> dict[str, str]:
    """Give what the provider had the browser bring; what came twice counts for nothing (RFC 6749, 3.1)."""
    given = request.query_params
    return {name: given[name] for name in _SAID_ONCE if len(given.getlist(name)) == 1}


def _refused(pages: Pages, request: Request, words: Wording, error: OpenIdError) -> HTMLResponse:
    away = error.fault in {Fault.UNREACHABLE, Fault.MISCONFIGURED}
    answer = pages.fill(
        "refused.html",
        request,
        words,
        HTTPStatus.BAD_GATEWAY if away else HTTPStatus.FORBIDDEN,
        title=words.failed_title,
        detail=fault_said(error.fault, Language(words.code)),
    )
    answer.delete_cookie(_COOKIE, path=WAY_IN)
    return answer


def _to(way: str) -> RedirectResponse:
    return RedirectResponse(way, status_code=HTTPStatus.SEE_OTHER, headers={"Cache-Control": "no-store"})
