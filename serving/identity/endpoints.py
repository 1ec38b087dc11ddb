"""GET /api/v1/me: who a request comes from."""

from fastapi import APIRouter, Response

from serving.identity.caller import ActingCaller
from serving.identity.schemas import Me


def build_router() -> APIRouter:
    """Serve what is known of the caller."""
    router = APIRouter(prefix="/api/v1", tags=["identity"])

    @router.get("/me", summary="Who am I")
    def read_me(response: Response, caller: ActingCaller) -> Me:
        """Say who the request comes from and what they may do."""
        response.headers["Cache-Control"] = "no-store"
        return Me.of(caller)

    return router
