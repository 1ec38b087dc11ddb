"""POST /api/v1/studies/{id}/claim and what belongs to it: who reads which study until when."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Body, Path, Response

from serving.identity.caller import ActingCaller
from serving.reading.claim_schemas import (
    ClaimedStudy,
    ClaimRequest,
    MyClaims,
    NextStudy,
    StudyClaims,
    TakeOver,
)
from serving.reading.claims import Claimed, Claims

StudyKey = Annotated[str, Path(max_length=64, description="The study's id, as the worklist gives it.")]
Asked = Annotated[ClaimRequest | None, Body()]

_NONE = "Nothing that waits is free and of your specialty: come back when the next study arrives."


def build_router(claims: Claims) -> APIRouter:
    """Serve `claims` over HTTP."""
    router = APIRouter(prefix="/api/v1", tags=["reading"])

    @router.post(
        "/studies/{study}/claim",
        summary="Take a study",
        status_code=HTTPStatus.CREATED,
        responses={200: {"model": ClaimedStudy, "description": "It was held already: the lease is renewed."}},
    )
    def claim_study(
        study: StudyKey, caller: ActingCaller, response: Response, asked: Asked = None
    ) -> ClaimedStudy:
        """Keep a study from other readers for a while; renewed if the caller holds it already."""
        claimed = claims.claim(study, caller, (asked or ClaimRequest()).transaction_uid)
        return _answer(claimed, response)

    @router.get("/studies/{study}/claim", summary="Who reads a study")
    def read_claims(study: StudyKey, caller: ActingCaller, response: Response) -> StudyClaims:
        """Say who holds a study until when, and how many reads it is to have."""
        response.headers["Cache-Control"] = "no-store"
        found = claims.look(study, caller)
        return StudyClaims.of(found, terms=claims.terms, now_us=claims.trail.clock())

    @router.delete("/studies/{study}/claim", summary="Give a study back", status_code=HTTPStatus.NO_CONTENT)
    def release_study(study: StudyKey, caller: ActingCaller) -> Response:
        """Let others take a study; a draft of it is kept."""
        claims.release(study, caller)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    @router.post("/studies/{study}/claim/renew", summary="Keep a study for longer")
    def renew_claim(study: StudyKey, caller: ActingCaller, response: Response) -> ClaimedStudy:
        """Let a claim last a whole lease from now on."""
        response.headers["Cache-Control"] = "no-store"
        return ClaimedStudy.of(claims.renew(study, caller))

    @router.post("/studies/{study}/claim/take-over", summary="Take a study from its reader")
    def take_over(study: StudyKey, request: TakeOver, caller: ActingCaller, response: Response) -> NextStudy:
        """End another's claim, and take the study or leave it to the next reader; needs a reason."""
        response.headers["Cache-Control"] = "no-store"
        taken = claims.take_over(
            study, caller, slot=request.slot, reason=request.reason, for_me=request.for_me
        )
        if taken is None:
            return NextStudy(claim=None, why_none="The study is free for the next reader, as you asked.")
        return NextStudy(claim=ClaimedStudy.of(taken), why_none=None)

    @router.post("/worklist/next", summary="Take the next study")
    def take_next(caller: ActingCaller, response: Response, asked: Asked = None) -> NextStudy:
        """Take the first due study that is free, of the caller's specialty, and theirs to read."""
        response.headers["Cache-Control"] = "no-store"
        claimed = claims.next(caller, (asked or ClaimRequest()).transaction_uid)
        if claimed is None:
            return NextStudy(claim=None, why_none=_NONE)
        return NextStudy(claim=ClaimedStudy.of(claimed), why_none=None)

    @router.get("/claims", summary="What I hold")
    def read_my_claims(caller: ActingCaller, response: Response) -> MyClaims:
        """Give the studies that the caller holds, the longest held first."""
        response.headers["Cache-Control"] = "no-store"
        held = [ClaimedStudy.of_held(one) for one in claims.held_by(caller)]
        return MyClaims(claims=held, most=claims.terms.most_claims)

    return router


def _answer(claimed: Claimed, response: Response) -> ClaimedStudy:
    response.headers["Cache-Control"] = "no-store"
    if not claimed.is_new:
        response.status_code = HTTPStatus.OK
    return ClaimedStudy.of(claimed)
