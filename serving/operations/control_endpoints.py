"""/api/v1/operations: scoring paused and resumed, workers, what is stuck, another try for a failed study."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Response

from serving.audit.origin import Acting
from serving.identity.caller import ActingScope
from serving.operations.control import ScoringControl
from serving.operations.control_schemas import (
    PauseRequest,
    ScoringState,
    StuckStudies,
    StuckStudy,
    WorkerList,
    WorkerView,
)

Limit = Annotated[int, Query(ge=1, le=1000, description="At most this many studies of each state.")]


def build_router(control: ScoringControl) -> APIRouter:
    """Serve `control` over HTTP."""
    router = APIRouter(prefix="/api/v1/operations", tags=["operations"])

    @router.get("/scoring", summary="Does scoring run")
    def read_scoring(response: Response) -> ScoringState:
        """Say whether scoring is paused, by whom and why."""
        response.headers["Cache-Control"] = "no-store"
        return ScoringState.of(control.switch())

    @router.post("/scoring/pause", summary="Pause scoring")
    def pause_scoring(request: PauseRequest, who: Acting) -> ScoringState:
        """Have all workers begin no more studies; uploads are taken and queued as before."""
        return ScoringState.of(control.pause(request.reason, who=who))

    @router.post("/scoring/resume", summary="Resume scoring")
    def resume_scoring(who: Acting) -> ScoringState:
        """Let all workers go on where they were."""
        return ScoringState.of(control.resume(who=who))

    @router.get("/workers", summary="Who scores")
    def read_workers(response: Response) -> WorkerList:
        """Give every worker, on what it runs and when it last gave a sign of life."""
        response.headers["Cache-Control"] = "no-store"
        return WorkerList(workers=[WorkerView.of(worker) for worker in control.workers()])

    @router.get("/stuck", summary="What is stuck")
    def read_stuck(response: Response, scope: ActingScope, who: Acting, limit: Limit = 100) -> StuckStudies:
        """Name the studies that have been in one state for longer than that allows."""
        response.headers["Cache-Control"] = "no-store"
        return StuckStudies(
            studies=[StuckStudy.of(one) for one in control.stuck(scope=scope, limit=limit, who=who)]
        )

    @router.post(
        "/studies/{study}/retry", summary="Score a failed study again", status_code=HTTPStatus.ACCEPTED
    )
    def retry_study(study: str, scope: ActingScope, who: Acting) -> Response:
        """Queue a study again that failed, or that no model was for."""
        control.retry(study, scope=scope, who=who)
        return Response(status_code=HTTPStatus.ACCEPTED)

    return router
