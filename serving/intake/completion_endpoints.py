"""/api/v1/studies/{id}/complete and /arrival: a study is said to be complete, and how far it has come."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from serving.identity.caller import ActingCaller
from serving.intake.completion_schemas import ArrivalView, CompletedStudy
from serving.intake.service import Intake

StudyKey = Annotated[
    str, Path(max_length=64, description="The study's id, as the worklist gives it, or its UID.")
]


def build_router(intake: Intake) -> APIRouter:
    """Serve what `intake` knows of arriving studies over HTTP."""
    router = APIRouter(prefix="/api/v1/studies", tags=["studies"])

    @router.post("/{study}/complete", summary="Say that a study is complete")
    def complete_study(study: StudyKey, caller: ActingCaller) -> CompletedStudy:
        """Have a study scored at once of which more images were waited for; to say it again changes nothing.

        The answer says what is amiss with the images as a whole, such as missing slices.
        """
        done = intake.complete(study, scope=caller.scope, who=caller.who, site=caller.home_site)
        return CompletedStudy.of(done, intake.look_over_whole(done.key, scope=caller.scope))

    @router.get("/{study}/arrival", summary="How far a study has come")
    def read_arrival(study: StudyKey, response: Response, caller: ActingCaller) -> ArrivalView:
        """Give how many images are there, and until when more are waited for; nothing of the patient."""
        response.headers["Cache-Control"] = "no-store"
        found, expected = intake.completing.look(
            study, scope=caller.scope, who=caller.who, site=caller.home_site
        )
        return ArrivalView.of(found, expected)

    return router
