"""The page of one study, with the part on which it is taken, read and signed."""

import secrets
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import Request
from fastapi.responses import HTMLResponse

from serving.consents.schemas import StudyConsent
from serving.consents.service import Consents
from serving.errors import ServiceError
from serving.identity.caller import Caller, Role
from serving.identity.permissions import PERMISSIONS
from serving.reading.claim_schemas import StudyClaims
from serving.reading.codes import CodedDiagnosis
from serving.reading.draft_schemas import Action, Verdict
from serving.reading.read_schemas import ReadView
from serving.reading.reads import Desk, Reads
from serving.store.times import from_us, now_us
from serving.studies.schemas import StudyDetail
from serving.studies.service import Studies
from serving.web.pages import Pages
from serving.web.reading_wording import ReadingWording, reading_wording_of
from serving.web.wording import Wording
from serving.web.written import Written
from serving.worklist.language import Language

_IMAGES_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Panel:
    """What the part about reading shows; `told` is what went wrong, `kept` the draft that is in the way."""

    words: ReadingWording
    claims: StudyClaims
    reads: tuple[ReadView, ...]
    is_blinded: bool
    is_reader: bool
    is_mine: bool
    amends: bool
    form: Written
    save_key: str
    needs_proof: bool
    codes: tuple[CodedDiagnosis, ...]
    actions: tuple[Action, ...] = tuple(Action)
    verdicts: tuple[Verdict, ...] = (Verdict.ACCEPTED, Verdict.REJECTED)
    told: str = ""
    kept: ReadView | None = None


@dataclass(frozen=True)
class StudyPage:
    """Shows a study to whoever may see it."""

    pages: Pages
    studies: Studies
    consents: Consents
    reads: Reads

    def show(
        self,
        request: Request,
        words: Wording,
        key: str,
        caller: Caller,
        *,
        written: Written | None = None,
        error: ServiceError | None = None,
    ) -> HTMLResponse:
        """Fill in the page; `written` is what the reader typed and `error` why it was not kept or signed.

        Raises
        ------
        ServiceError
            `NOT_FOUND` if there is no such study in the caller's scope.
        """
        view = self.studies.find(key, scope=caller.scope, site=caller.home_site, who=caller.who)
        detail = StudyDetail.of(view, language=Language(words.code))
        desk = self.reads.desk(key, caller)
        return self.pages.fill(
            "study.html",
            request,
            words,
            HTTPStatus.OK if error is None else error.status,
            study=detail,
            quality=[one.model_dump(mode="json") for one in detail.quality],
            consent=StudyConsent.of(self.consents.look(key, scope=caller.scope)),
            shown_images=detail.images[:_IMAGES_SHOWN],
            revision=view.study.revision,
            may_complete=PERMISSIONS["POST", "/studies/{study}/complete"].allows(caller),
            minutes_left=(detail.due_at - from_us(now_us())).total_seconds() / 60,
            reading=self._panel(desk, words, caller, written, error),
        )

    def _panel(
        self,
        desk: Desk,
        words: Wording,
        caller: Caller,
        written: Written | None,
        error: ServiceError | None,
    ) -> Panel:
        say = reading_wording_of(Language(words.code))
        now = self.reads.trail.clock()
        reader = caller.who.name
        claim = desk.study.claim_of(reader)
        draft = None if desk.draft is None else ReadView.of(desk.draft, self.reads.codes)
        version = None if draft is None else draft.version
        form = Written.of(draft) if written is None else written.at(version)
        is_reader = Role.READER in caller.roles
        return Panel(
            words=say,
            claims=StudyClaims.of(desk.study, terms=self.reads.terms, now_us=now),
            reads=tuple(
                ReadView.of(read, self.reads.codes) for read in desk.reads if read.signed_at_us is not None
            ),
            is_blinded=desk.is_blinded,
            is_reader=is_reader,
            is_mine=is_reader and claim is not None and claim.is_held(now),
            amends=is_reader and not desk.study.is_waiting and desk.may_amend,
            form=form,
            save_key=secrets.token_hex(16),
            needs_proof=self.reads.terms.proof_s is not None and caller.session is not None,
            codes=tuple(self.reads.codes.search("", limit=500)),
            told="" if error is None else say.problem(error.problem) or error.detail,
            kept=draft if error is not None and "current" in error.members else None,
        )
