"""The pages that a one-time link opens: the first set-up, and a new password."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from serving.identity.cookies import clear_session, set_session
from serving.identity.links import Purpose
from serving.identity.own_account import NewPassword, OwnAccounts
from serving.identity.password_rules import SHORTEST_ALONE
from serving.identity.refused_sign_in import SignInRefusedError
from serving.identity.signing_in import visitor_of
from serving.web.pages import Pages, Words
from serving.web.wording import Wording

Text = Annotated[str, Form(max_length=256)]
Name = Annotated[str, Form(max_length=100)]
Token = Annotated[str, Form(max_length=100)]
TokenInAddress = Annotated[str, Query(max_length=100)]


def build_router(pages: Pages, accounts: OwnAccounts) -> APIRouter:
    """Serve the pages."""
    router = APIRouter(include_in_schema=False)

    @router.get("/set-up")
    def show_set_up(request: Request, words: Words, token: TokenInAddress = "") -> HTMLResponse:
        return _set_up(pages, accounts, request, words, token)

    @router.post("/set-up")
    def set_up(
        request: Request,
        words: Words,
        *,
        token: Token,
        login_name: Name,
        password: Text,
        again: Text,
        name_zh: Name = "",
        name_en: Name = "",
    ) -> Response:
        try:
            opened = accounts.set_up(
                visitor_of(request),
                token,
                login_name=login_name,
                name_zh=name_zh,
                name_en=name_en,
                new=NewPassword(password, again),
            )
        except SignInRefusedError as error:
            given = {"login_name": login_name, "name_zh": name_zh, "name_en": name_en}
            return _set_up(pages, accounts, request, words, token, refused=error, given=given)
        answer = RedirectResponse(
            f"/account/second-factor?lang={words.code}", status_code=HTTPStatus.SEE_OTHER
        )
        set_session(request, answer, opened.token)
        return answer

    @router.get("/password")
    def show_password(request: Request, words: Words, token: TokenInAddress = "") -> HTMLResponse:
        return _password(pages, accounts, request, words, token)

    @router.post("/password")
    def set_password(
        request: Request, words: Words, *, token: Token, password: Text, again: Text
    ) -> Response:
        try:
            accounts.set_password_by_link(visitor_of(request), token, NewPassword(password, again))
        except SignInRefusedError as error:
            return _password(pages, accounts, request, words, token, refused=error)
        answer = RedirectResponse(
            f"/sign-in?lang={words.code}&told=password", status_code=HTTPStatus.SEE_OTHER
        )
        clear_session(request, answer)
        return answer

    return router


def _set_up(
    pages: Pages,
    accounts: OwnAccounts,
    request: Request,
    words: Wording,
    token: str,
    *,
    refused: SignInRefusedError | None = None,
    given: dict[str, str] | None = None,
) -> HTMLResponse:
    is_open = True
    try:
        accounts.links.check(visitor_of(request), token, Purpose.SET_UP)
    except SignInRefusedError as error:
        is_open, refused = False, error
    return pages.fill(
        "set_up.html",
        request,
        words,
        HTTPStatus.OK if refused is None else refused.status,
        token=token if is_open else "",
        is_open=is_open,
        refused=refused,
        given=given or {"login_name": "", "name_zh": "", "name_en": ""},
        shortest=SHORTEST_ALONE,
    )


def _password(
    pages: Pages,
    accounts: OwnAccounts,
    request: Request,
    words: Wording,
    token: str,
    *,
    refused: SignInRefusedError | None = None,
) -> HTMLResponse:
    name = ""
    try:
        person = accounts.links.check(visitor_of(request), token, Purpose.PASSWORD)
        name = "" if person is None else person.login_name
    except SignInRefusedError as error:
        refused = error
    return pages.fill(
        "password.html",
        request,
        words,
        HTTPStatus.OK if refused is None else refused.status,
        token=token if name else "",
        is_open=bool(name),
        login_name=name,
        refused=refused,
        shortest=SHORTEST_ALONE,
    )
