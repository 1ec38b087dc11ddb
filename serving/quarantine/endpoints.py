"""/api/v1/quarantine: what could not be taken is listed, shown, corrected, taken in again or discarded."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from serving.identity.caller import ActingCaller, Caller
from serving.quarantine.schemas import (
    BulkAnswer,
    BulkDiscardRequest,
    BulkRetryRequest,
    CorrectionRequest,
    DiscardRequest,
    PurgeAnswer,
    PurgeRequest,
    QuarantineDetail,
    QuarantineEntry,
    QuarantinePage,
    RetryAnswer,
)
from serving.quarantine.service import Asker, Quarantine
from serving.store.quarantine import HeldState, Sought
from serving.store.times import to_us

Key = Annotated[str, Path(max_length=64, description="The entry's id.")]
Limit = Annotated[int, Query(ge=1, le=200, description="At most this many entries.")]
Cursor = Annotated[str | None, Query(max_length=64, description="Where the page before ended.")]
State = Annotated[HeldState, Query(description="held: waits for somebody.")]
Since = Annotated[datetime | None, Query(description="That came last at this time or later.")]
Reason = Annotated[str | None, Query(max_length=64, description="The stable code.")]
DoorName = Annotated[str | None, Query(max_length=16, description="upload, resumable, stow or c-store.")]
SiteName = Annotated[str | None, Query(max_length=64)]


def asker_of(caller: Caller) -> Asker:
    """Give who asks as the quarantine knows them."""
    return Asker(caller.who, caller.scope, caller.home_site)


def _asking(caller: ActingCaller) -> Asker:
    return asker_of(caller)


Asking = Annotated[Asker, Depends(_asking)]


def build_router(quarantine: Quarantine) -> APIRouter:
    """Serve `quarantine` over HTTP."""
    router = APIRouter(prefix="/api/v1/quarantine", tags=["quarantine"])

    @router.get("", summary="List what could not be taken")
    def list_quarantine(
        *,
        asker: Asking,
        state: State = HeldState.HELD,
        reason: Reason = None,
        door: DoorName = None,
        site: SiteName = None,
        since: Since = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> QuarantinePage:
        """Give the refused files of the caller's sites, the newest first."""
        sought = Sought(state, reason, door, site, None if since is None else to_us(since))
        return QuarantinePage.of(quarantine.read(sought, asker=asker, limit=limit, cursor=cursor))

    @router.post("/retry", summary="Take in many again")
    def retry_many(asked: BulkRetryRequest, asker: Asking) -> BulkAnswer:
        """Take in again what a filter finds, at most 200 at a time, each corrected as was said of it."""
        return BulkAnswer.of(quarantine.retry_all(asked.filter.sought(), asker=asker))

    @router.post("/discard", summary="Discard many")
    def discard_many(asked: BulkDiscardRequest, asker: Asking) -> BulkAnswer:
        """Give up what a filter finds, at most 200 at a time."""
        return BulkAnswer.of(quarantine.discard_all(asked.filter.sought(), asked.reason, asker=asker))

    @router.post("/purge", summary="Remove what is old")
    def purge(asked: PurgeRequest, asker: Asking) -> PurgeAnswer:
        """Remove what came last so many days ago; the originals of corrected files stay."""
        return PurgeAnswer.of(quarantine.purge(asker=asker, older_than_days=asked.older_than_days))

    @router.get("/{entry}", summary="Look at a refused file")
    def read_entry(entry: Key, asker: Asking) -> QuarantineDetail:
        """Give a refused file with its header, as far as it can be read."""
        return QuarantineDetail.of_view(quarantine.find(entry, asker=asker))

    @router.get(
        "/{entry}/rendered",
        summary="See a refused file",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}, "description": "Its first picture."}},
    )
    def read_picture(entry: Key, asker: Asking) -> Response:
        """Give the first picture of a refused file, if it can be decoded."""
        picture = quarantine.picture(entry, asker=asker)
        return Response(picture.content, media_type=picture.format)

    @router.post("/{entry}/corrections", summary="Correct a refused file")
    def correct(entry: Key, asked: CorrectionRequest, asker: Asking) -> QuarantineDetail:
        """Say what is to be other than it was sent: values, character set, UID, site; nothing is taken in."""
        view = quarantine.correct(entry, asked.change(), asker=asker, is_preview=asked.preview)
        return QuarantineDetail.of_view(view)

    @router.post("/{entry}/retry", summary="Take in again")
    def retry(entry: Key, asker: Asking) -> RetryAnswer:
        """Take a refused file in, corrected as was said; its original is kept as it came."""
        return RetryAnswer.of(quarantine.retry(entry, asker=asker))

    @router.post("/{entry}/discard", summary="Discard")
    def discard(entry: Key, asked: DiscardRequest, asker: Asking) -> QuarantineEntry:
        """Give a refused file up; it is removed when it is old."""
        return QuarantineEntry.of(quarantine.discard(entry, asked.reason, asker=asker))

    return router
