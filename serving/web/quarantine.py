"""The pages of the quarantine: what could not be taken, listed, corrected, taken in again or discarded."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from data.dicom.correcting import Corrections
from serving.errors import ServiceError
from serving.identity.caller import ActingCaller
from serving.quarantine.endpoints import asker_of
from serving.quarantine.retrying import corrections_of
from serving.quarantine.schemas import QuarantineDetail, QuarantinePage
from serving.quarantine.service import Asker, Change, EntryView, Quarantine
from serving.store.quarantine import HeldState, Sought
from serving.web.pages import Pages, Words
from serving.web.quarantine_wording import quarantine_wording_of
from serving.web.wording import Wording
from serving.worklist.language import Language

_ROWS_A_PAGE = 50

# Empty rows of the form, beside those that are filled in.
_SPARE_ROWS = 3

Text = Annotated[str, Query(max_length=64)]
Field = Annotated[str, Form(max_length=500)]
Fields = Annotated[tuple[str, ...], Form(max_length=100)]


def build_router(pages: Pages, quarantine: Quarantine) -> APIRouter:
    """Serve the pages of `quarantine`."""
    router = APIRouter(include_in_schema=False)

    @router.get("/quarantine")
    def show_list(
        *,
        request: Request,
        words: Words,
        caller: ActingCaller,
        state: HeldState = HeldState.HELD,
        reason: Text = "",
        door: Text = "",
        cursor: Annotated[str | None, Query(max_length=64)] = None,
    ) -> HTMLResponse:
        sought = Sought(state, reason or None, door or None)
        page = quarantine.read(sought, asker=asker_of(caller), limit=_ROWS_A_PAGE, cursor=cursor)
        return pages.fill(
            "quarantine.html",
            request,
            words,
            held=quarantine_wording_of(Language(words.code)),
            page=QuarantinePage.of(page),
            chosen={"state": state, "reason": reason, "door": door},
        )

    @router.get("/quarantine/{entry}")
    def show_entry(request: Request, entry: str, words: Words, caller: ActingCaller) -> HTMLResponse:
        asked = _Asked(pages, quarantine, request, words, entry, asker_of(caller))
        view = quarantine.find(entry, asker=asked.asker)
        return asked.shown(view, corrections_of(view.entry.corrections))

    @router.post("/quarantine/{entry}/corrections")
    def correct_entry(
        *,
        request: Request,
        entry: str,
        words: Words,
        caller: ActingCaller,
        keyword: Fields = (),
        value: Fields = (),
        character_set: Field = "",
        new_uid: Field = "",
        site: Field = "",
        do: Field = "save",
    ) -> Response:
        asked = _Asked(pages, quarantine, request, words, entry, asker_of(caller))
        is_preview = do == "preview"
        corrections = _corrections(keyword, value, character_set, has_new_uid=bool(new_uid))
        change = Change(corrections, site.strip() or None)
        try:
            view = quarantine.correct(entry, change, asker=asked.asker, is_preview=is_preview)
        except ServiceError as error:
            return asked.failed(error, corrections)
        if is_preview:
            return asked.shown(view, corrections, is_preview=True)
        return _back(words, entry)

    @router.post("/quarantine/{entry}/retry")
    def retry_entry(request: Request, entry: str, words: Words, caller: ActingCaller) -> Response:
        asked = _Asked(pages, quarantine, request, words, entry, asker_of(caller))
        try:
            quarantine.retry(entry, asker=asked.asker)
        except ServiceError as error:
            return asked.failed(error)
        return _back(words, entry)

    @router.post("/quarantine/{entry}/discard")
    def discard_entry(
        *, request: Request, entry: str, words: Words, caller: ActingCaller, reason: Field = ""
    ) -> Response:
        asked = _Asked(pages, quarantine, request, words, entry, asker_of(caller))
        try:
            quarantine.discard(entry, reason, asker=asked.asker)
        except ServiceError as error:
            return asked.failed(error)
        return _back(words, entry)

    return router


def _corrections(
    keywords: Sequence[str], values: Sequence[str], character_set: str, *, has_new_uid: bool
) -> Corrections:
    """Read the form: a row without a keyword is none, one without a value empties the attribute."""
    edits = {
        keyword.strip(): tuple(value.split("\\")) if value else ()
        for keyword, value in zip(keywords, values, strict=False)
        if keyword.strip()
    }
    return Corrections(edits, character_set or None, has_new_uid)


@dataclass(frozen=True)
class _Asked:
    """A request for the page of one entry, and what fills it in."""

    pages: Pages
    quarantine: Quarantine
    request: Request
    words: Wording
    entry: str
    asker: Asker

    def shown(
        self,
        view: EntryView,
        corrections: Corrections,
        *,
        status: int = HTTPStatus.OK,
        is_preview: bool = False,
        failure: str = "",
    ) -> HTMLResponse:
        rows = [(keyword, "\\".join(values)) for keyword, values in corrections.edits.items()]
        return self.pages.fill(
            "quarantined.html",
            self.request,
            self.words,
            HTTPStatus(status),
            held=quarantine_wording_of(Language(self.words.code)),
            entry=QuarantineDetail.of_view(view),
            rows=rows + [("", "")] * _SPARE_ROWS,
            character_set=corrections.character_set or "",
            new_uid=corrections.has_new_uid,
            is_preview=is_preview,
            failure=failure,
        )

    def failed(self, error: ServiceError, corrections: Corrections | None = None) -> HTMLResponse:
        view = self.quarantine.find(self.entry, asker=self.asker)
        said = [error.detail, *(f"{line.reason}: {line.problem}; {line.remedy}." for line in error.rejected)]
        shown = corrections_of(view.entry.corrections) if corrections is None else corrections
        return self.shown(view, shown, status=error.status, failure=" ".join(said))


def _back(words: Wording, entry: str) -> RedirectResponse:
    return RedirectResponse(f"/quarantine/{entry}?lang={words.code}", HTTPStatus.SEE_OTHER)
