"""/api/v1/quiet-times: for how long a study is waited for after its last image."""

from fastapi import APIRouter

from serving.administration.quiet.schemas import QuietTimeList, QuietTimeRequest, QuietTimeView
from serving.administration.quiet.service import QuietTimes
from serving.administration.reach import administered
from serving.identity.caller import ActingCaller, Caller


def build_router(quiet_times: QuietTimes) -> APIRouter:
    """Serve `quiet_times` over HTTP."""
    router = APIRouter(prefix="/api/v1/quiet-times", tags=["administration"])

    def listed(caller: Caller) -> QuietTimeList:
        found = quiet_times.all(scope=administered(caller))
        return QuietTimeList(quiet_times=[QuietTimeView.of(one) for one in found])

    @router.get("", summary="List quiet times")
    def list_quiet_times(caller: ActingCaller) -> QuietTimeList:
        """Give what is set at the sites that the caller administers and for all sites, and the defaults."""
        return listed(caller)

    @router.put("", summary="Set a quiet time")
    def change_quiet_time(asked: QuietTimeRequest, caller: ActingCaller) -> QuietTimeList:
        """Set a quiet time of a site and modality; for all sites an operator alone can."""
        quiet_times.change(
            asked.site, asked.modality, asked.seconds, scope=administered(caller), who=caller.who
        )
        return listed(caller)

    return router
