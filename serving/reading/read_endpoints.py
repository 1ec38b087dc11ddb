"""PUT /api/v1/studies/{id}/read and what belongs to it: drafts, signatures, the reads of a study."""

import re
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response

from serving.errors import Problem, ServiceError
from serving.identity.caller import ActingCaller
from serving.identity.renewed_proof import RenewedProof
from serving.reading.claim_endpoints import StudyKey
from serving.reading.draft_schemas import DraftContent, SignRequest
from serving.reading.read_schemas import DraftView, ReadHistory, SignedView
from serving.reading.reads import Kept, Reads, Save

IfMatch = Annotated[
    str | None,
    Header(description='The version that the caller saw last, as "3"; absent for the first save.'),
]
IfNoneMatch = Annotated[str | None, Header(description="*: there is no draft yet.")]

_VERSION = re.compile(r'(?:W/)?"?([0-9]{1,9})"?')


def build_router(reads: Reads, proof: RenewedProof) -> APIRouter:
    """Serve `reads` over HTTP; `proof` asks signers who they are."""
    router = APIRouter(prefix="/api/v1/studies", tags=["reading"])

    @router.get("/{study}/read", summary="My draft of a study")
    def read_draft(study: StudyKey, caller: ActingCaller, response: Response) -> DraftView:
        """Give the caller's own draft; ETag is its version."""
        return _draft(reads, reads.draft(study, caller), response)

    @router.put("/{study}/read", summary="Save my draft of a study")
    def save_draft(
        *,
        study: StudyKey,
        content: DraftContent,
        caller: ActingCaller,
        response: Response,
        if_match: IfMatch = None,
        if_none_match: IfNoneMatch = None,
    ) -> DraftView:
        """Keep a draft over the one of the version in If-Match; the claim is renewed.

        A version that is not the last is refused with 412, `current` and `refused`: nothing is lost.
        """
        save = Save(
            content.decision(),
            _version(if_match, if_none_match),
            content.save_key,
            content.seen_score,
            content.model_dump(mode="json", exclude_unset=True),
        )
        return _draft(reads, reads.save(study, caller, save), response)

    @router.post("/{study}/read/sign", summary="Sign my draft of a study")
    def sign_read(
        *, study: StudyKey, asked: SignRequest, caller: ActingCaller, request: Request, response: Response
    ) -> SignedView:
        """Make a read of a draft, which is never altered from then on.

        Refused with 409 if the study is not what the reader was shown. Sent twice, it is signed once.
        """
        proof.require(request, caller, password=asked.password, code=asked.code)
        response.headers["Cache-Control"] = "no-store"
        return SignedView.of(reads.sign(study, caller, asked), reads.codes)

    @router.get("/{study}/reads", summary="The reads of a study")
    def read_history(study: StudyKey, caller: ActingCaller, response: Response) -> ReadHistory:
        """Give what was signed, with what it amends, and the caller's own drafts."""
        response.headers["Cache-Control"] = "no-store"
        return ReadHistory.of(reads.history(study, caller), reads.codes)

    return router


def _draft(reads: Reads, kept: Kept, response: Response) -> DraftView:
    response.headers["ETag"] = f'"{kept.read.version}"'
    response.headers["Cache-Control"] = "no-store"
    return DraftView.of(kept, reads.codes, now_us=reads.trail.clock())


def _version(if_match: str | None, if_none_match: str | None) -> int | None:
    if if_match is None:
        return None
    found = _VERSION.fullmatch(if_match.strip())
    if found is None or if_none_match is not None:
        raise ServiceError(
            Problem.BAD_PARAMETER,
            f'If-Match is {if_match[:40]!r}: give the ETag of the draft as you know it, such as "3", and no '
            "If-None-Match.",
        )
    return int(found[1])
