"""GET and PUT /api/v1/studies/{id}/consent: what a study may be used for beyond its patient's care."""

from typing import Annotated

from fastapi import APIRouter, Path

from serving.consents.schemas import ConsentChange, StudyConsent
from serving.consents.service import Consents
from serving.identity.caller import ActingCaller

StudyKey = Annotated[str, Path(max_length=64, description="The study's id, as the worklist gives it.")]


def build_router(consents: Consents) -> APIRouter:
    """Serve `consents` over HTTP."""
    router = APIRouter(prefix="/api/v1/studies", tags=["studies"])

    @router.get("/{study}/consent", summary="What a study may be used for")
    def read_consent(study: StudyKey, caller: ActingCaller) -> StudyConsent:
        """Give the patient's consent, who entered it when, and the exports that held the study."""
        return StudyConsent.of(
            consents.find(study, scope=caller.scope, site=caller.home_site, who=caller.who)
        )

    @router.put("/{study}/consent", summary="Enter a consent or its withdrawal")
    def change_consent(study: StudyKey, change: ConsentChange, caller: ActingCaller) -> StudyConsent:
        """State what the patient allows from now on; the answer names the exports that held the study."""
        return StudyConsent.of(
            consents.change(study, change.consent, scope=caller.scope, site=caller.home_site, who=caller.who)
        )

    return router
