"""POST /api/v1/studies/{id}/rank: a supervisor's own place for a study in the queue."""

from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from serving.identity.caller import ActingCaller
from serving.reading.claim_endpoints import StudyKey
from serving.reading.overriding import Overriding
from serving.store.queue import Placement
from serving.store.times import from_us
from serving.worklist.policy import Tier


class RankRequest(BaseModel):
    """Where a study is to stand, and why."""

    model_config = ConfigDict(extra="forbid")

    due_at: AwareDatetime = Field(description="Until when it is to be read: its place in the queue.")
    reason: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=3, max_length=200, pattern=r"^[^\x00-\x1f]+$"),
    ] = Field(description="Stands in the queue for everybody to read: no name of a patient.")


class Rank(BaseModel):
    """Where a study stands now."""

    due_at: datetime
    tier: Tier
    reason_line_en: str
    reason_line_zh: str

    @classmethod
    def of(cls, placement: Placement) -> Self:
        """Put a place into words."""
        return cls(
            due_at=from_us(placement.due_at_us),
            tier=Tier(placement.tier),
            reason_line_en=placement.reason_en,
            reason_line_zh=placement.reason_zh,
        )


def build_router(overriding: Overriding) -> APIRouter:
    """Serve `overriding` over HTTP."""
    router = APIRouter(prefix="/api/v1/studies", tags=["reading"])

    @router.post("/{study}/rank", summary="Move a study in the queue")
    def move_study(study: StudyKey, request: RankRequest, caller: ActingCaller, response: Response) -> Rank:
        """Have a study due earlier or later, with a reason that stands in the queue."""
        response.headers["Cache-Control"] = "no-store"
        return Rank.of(overriding.move(study, caller, due_at=request.due_at, reason=request.reason))

    return router
