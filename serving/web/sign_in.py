"""The pages of signing in, with both factors, and of signing out."""

import re
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from serving.identity.caller import SignedInBy, Stage, acting_caller
from serving.identity.cookies import SESSION, clear_session, read_cookie, set_device, set_session
from serving.identity.own_account import OwnAccounts
from serving.identity.refused_sign_in import SignInRefusedError
from serving.identity.signing_in import Opened, visitor_of
from serving.web.account_wording import account_wording_of
from serving.web.pages import Pages, Words
from serving.web.wording import Wording
from serving.worklist.language import Language

Text = Annotated[str, Form(max_length=256)]
Name = Annotated[str, Form(max_length=100)]
Next = Annotated[str, Query(max_length=2000)]
NextInForm = Annotated[str, Form(max_length=2000)]

# A path of ours: nothing that a browser takes for another host.
_OURS = re.compile(r"/(?![/\\])[!-~]*")

WAY_OF_STAGE = {
    Stage.SECOND_FACTOR: "/sign-in/second-factor",
    Stage.ENROLMENT: "/account/second-factor",
}


def build_router(pages: Pages, accounts: OwnAccounts, *, provider: str | None = None) -> APIRouter:
    """Serve the pages; `provider` is what another way to sign in is called."""
    router = APIRouter(include_in_schema=False)

    @router.get("/sign-in")
    def show_sign_in(request: Request, words: Words, next: Next = "/", told: str = "") -> HTMLResponse:  # noqa: A002 - the parameter's name in the address
        said = _password_set(words) if told == "password" else ""
        return _sign_in(pages, request, words, next, provider=provider, told=said, is_out=told == "out")

    @router.post("/sign-in")
    def sign_in(
        request: Request,
        words: Words,
        *,
        login_name: Name,
        password: Text,
        next: NextInForm = "/",  # noqa: A002 - the field's name
    ) -> Response:
        try:
            opened = accounts.signing_in.with_password(visitor_of(request), login_name, password)
        except SignInRefusedError as error:
            return _sign_in(
                pages, request, words, next, provider=provider, refused=error, login_name=login_name
            )
        before = read_cookie(request, SESSION)
        if before is not None:  # whoever signed in here before has left the chair
            accounts.signing_in.out(visitor_of(request), before)
        return _go_on(request, words, opened, next)

    @router.get("/sign-in/second-factor")
    def show_second_factor(request: Request, words: Words, next: Next = "/") -> HTMLResponse:  # noqa: A002 - see above
        return pages.fill("second_factor.html", request, words, next=_ours(next), refused=None)

    @router.post("/sign-in/second-factor")
    def give_second_factor(
        request: Request,
        words: Words,
        *,
        code: Name,
        next: NextInForm = "/",  # noqa: A002 - see above
    ) -> Response:
        token = read_cookie(request, SESSION) or ""
        try:
            opened = accounts.signing_in.with_second_factor(visitor_of(request), token, code)
        except SignInRefusedError as error:
            return pages.fill(
                "second_factor.html", request, words, error.status, next=_ours(next), refused=error
            )
        return _go_on(request, words, opened, next)

    @router.post("/sign-out")
    def sign_out(request: Request, words: Words) -> Response:
        token = read_cookie(request, SESSION)
        if token is not None:
            accounts.signing_in.out(visitor_of(request), token)
        # the provider's own session goes on; a form may not lead to its site (form-action), a link may
        by_provider = provider is not None and acting_caller(request).signed_in_by is SignedInBy.OIDC
        answer = _to(f"/sign-in?lang={words.code}{'&told=out' if by_provider else ''}")
        clear_session(request, answer)
        return answer

    return router


def _sign_in(
    pages: Pages,
    request: Request,
    words: Wording,
    following: str,
    *,
    provider: str | None,
    refused: SignInRefusedError | None = None,
    login_name: str = "",
    told: str = "",
    is_out: bool = False,
) -> HTMLResponse:
    answer = pages.fill(
        "sign_in.html",
        request,
        words,
        HTTPStatus.OK if refused is None else refused.status,
        next=_ours(following),
        refused=refused,
        login_name=login_name,
        told=told,
        provider=provider,
        is_out=is_out and provider is not None,
    )
    answer.headers.update({} if refused is None else refused.headers)
    return answer


def _password_set(words: Wording) -> str:
    return account_wording_of(Language(words.code)).password_set


def _go_on(request: Request, words: Wording, opened: Opened, following: str) -> Response:
    way = WAY_OF_STAGE.get(opened.stage)
    answer = _to(_ours(following) if way is None else f"{way}?lang={words.code}&next={_ours(following)}")
    set_session(request, answer, opened.token)
    if opened.device is not None:
        set_device(request, answer, opened.device)
    return answer


def _ours(following: str) -> str:
    return following if _OURS.fullmatch(following) else "/"


def _to(way: str) -> RedirectResponse:
    return RedirectResponse(way, status_code=HTTPStatus.SEE_OTHER)
