"""The page of one's own account: what one may do, the password, the second factor, where one is signed in."""

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from serving.identity.caller import ActingCaller, Caller, Stage
from serving.identity.cookies import set_session
from serving.identity.own_account import NewPassword, OwnAccounts
from serving.identity.password_rules import shortest_password
from serving.identity.refused_sign_in import SignInRefusedError
from serving.identity.signing_in import visitor_of
from serving.store.people import Person
from serving.store.sessions import Session
from serving.store.times import from_us, now_us
from serving.web.account_wording import AccountWording, account_wording_of
from serving.web.pages import Pages, Words
from serving.web.wording import Wording
from serving.worklist.language import Language

Text = Annotated[str, Form(max_length=256)]
SessionKey = Annotated[str | None, Form(max_length=64)]


@dataclass(frozen=True, slots=True)
class ShownSession:
    """A session as the page lists it."""

    key: str
    browser: str | None
    address: str | None
    since: datetime
    seen: datetime

    @classmethod
    def of(cls, session: Session) -> "ShownSession":
        """Put a session into the page's words."""
        since, seen = from_us(session.created_at_us), from_us(session.last_seen_at_us)
        return cls(session.key, session.browser, session.address, since, seen)


def build_router(pages: Pages, accounts: OwnAccounts) -> APIRouter:
    """Serve the pages."""
    router = APIRouter(include_in_schema=False)

    @router.get("/account")
    def show_account(request: Request, words: Words, caller: ActingCaller, told: str = "") -> HTMLResponse:
        say = account_wording_of(Language(words.code))
        sentences = {"password": say.password_changed, "factor": say.factor_removed}
        return _account(pages, accounts, request, words, caller, told=sentences.get(told, ""))

    @router.post("/account/password")
    def change_password(
        request: Request, words: Words, caller: ActingCaller, *, present: Text, password: Text, again: Text
    ) -> Response:
        try:
            opened = accounts.change_password(
                visitor_of(request), caller, present, NewPassword(password, again)
            )
        except SignInRefusedError as error:
            return _account(pages, accounts, request, words, caller, refused=error)
        answer = _back(words, "password")
        set_session(request, answer, opened.token)
        return answer

    @router.get("/account/second-factor")
    def show_enrolment(request: Request, words: Words, caller: ActingCaller) -> Response:
        return _enrolment(pages, accounts, request, words, caller)

    @router.post("/account/second-factor")
    def confirm_factor(request: Request, words: Words, caller: ActingCaller, *, code: Text) -> Response:
        try:
            codes, opened = accounts.confirm_factor(visitor_of(request), caller, code)
        except SignInRefusedError as error:
            return _enrolment(pages, accounts, request, words, caller, refused=error)
        answer = pages.fill("recovery.html", request, words, codes=codes)
        if opened is not None:
            set_session(request, answer, opened.token)
        return answer

    @router.post("/account/second-factor/remove")
    def remove_factor(request: Request, words: Words, caller: ActingCaller, *, present: Text) -> Response:
        try:
            accounts.remove_factor(visitor_of(request), caller, present)
        except SignInRefusedError as error:
            return _account(pages, accounts, request, words, caller, refused=error)
        return _back(words, "factor")

    @router.post("/account/sessions/end")
    def end_sessions(
        request: Request, words: Words, caller: ActingCaller, session: SessionKey = None
    ) -> HTMLResponse:
        n_ended = accounts.end_sessions(visitor_of(request), caller, session)
        say = account_wording_of(Language(words.code))
        return _account(pages, accounts, request, words, caller, told=say.sessions_ended.format(n=n_ended))

    return router


def _account(
    pages: Pages,
    accounts: OwnAccounts,
    request: Request,
    words: Wording,
    caller: Caller,
    *,
    refused: SignInRefusedError | None = None,
    told: str = "",
) -> HTMLResponse:
    view = accounts.view(caller)
    say = account_wording_of(Language(words.code))
    now = now_us()
    sites = view.person.grants.scope.sites
    return pages.fill(
        "account.html",
        request,
        words,
        HTTPStatus.OK if refused is None else refused.status,
        person=view.person,
        roles=[say.role_names[role] for role in sorted(caller.roles)],
        sites=None if sites is None else sorted(sites),
        licence=_licence(view.person, say, now),
        licence_is_valid=view.person.valid_licence(now) is not None,
        has_factor=view.has_factor,
        needs_factor=view.needs_factor,
        n_recovery_codes=view.n_recovery_codes,
        sessions=[ShownSession.of(session) for session in view.sessions if session.stage == Stage.OPEN],
        shortest=shortest_password(has_second_factor=view.has_factor),
        refused=refused,
        told=told,
    )


def _licence(person: Person, say: AccountWording, now: int) -> str:
    licence = person.licence
    if licence is None:
        return say.licence_none
    until = "-" if licence.expires_at_us is None else f"{from_us(licence.expires_at_us):%Y-%m-%d}"
    phrase = say.licence_valid if licence.is_valid(now) else say.licence_expired
    return phrase.format(number=licence.number, issuer=licence.issuer, until=until)


def _enrolment(
    pages: Pages,
    accounts: OwnAccounts,
    request: Request,
    words: Wording,
    caller: Caller,
    *,
    refused: SignInRefusedError | None = None,
) -> Response:
    enrolment = accounts.enrolment(caller)
    if enrolment is None:
        return RedirectResponse(f"/account?lang={words.code}", status_code=HTTPStatus.SEE_OTHER)
    return pages.fill(
        "enrolment.html",
        request,
        words,
        HTTPStatus.OK if refused is None else refused.status,
        enrolment=enrolment,
        is_needed=caller.stage is Stage.ENROLMENT,
        refused=refused,
    )


def _back(words: Wording, told: str) -> RedirectResponse:
    return RedirectResponse(f"/account?lang={words.code}&told={told}", status_code=HTTPStatus.SEE_OTHER)
