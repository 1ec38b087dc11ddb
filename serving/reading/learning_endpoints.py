"""GET /api/v1/discrepancies: where readers and models differ."""

from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from serving.identity.caller import ActingCaller
from serving.reading.differing import Kind
from serving.reading.learning import Differing, Learning
from serving.store.discrepancies import Discrepancy, Total, Wanted
from serving.store.times import from_us

Name = Annotated[str | None, Query(max_length=128)]
ClassKey = Annotated[str | None, Query(alias="class", max_length=64, description="A class of the model.")]
Limit = Annotated[int, Query(ge=1, le=500, description="At most this many.")]
Before = Annotated[int | None, Query(ge=1, description="Where the page before ended: its 'next'.")]


class DiscrepancyView(BaseModel):
    """A class of which the model and the reader of a study say different things."""

    id: int
    study: str
    url: str
    site: str
    model: str
    version: str
    class_key: str = Field(description="Empty: the model has no class for what it missed.")
    kind: Kind
    reader: str
    read: int = Field(description="'id' of the read that says so.")
    found_at: datetime

    @classmethod
    def of(cls, row: Discrepancy) -> Self:
        """Put a stored row into words."""
        return cls(
            id=row.id,
            study=row.study_key,
            url=f"/api/v1/studies/{row.study_key}",
            site=row.site,
            model=row.model_name,
            version=row.model_version,
            class_key=row.class_key,
            kind=Kind(row.kind),
            reader=row.reader,
            read=row.read_id,
            found_at=from_us(row.found_at_us),
        )


class TotalView(BaseModel):
    """How many studies there are of a difference."""

    model: str
    version: str
    class_key: str
    kind: Kind
    studies: int

    @classmethod
    def of(cls, total: Total) -> Self:
        """Put a count into words."""
        return cls(
            model=total.model_name,
            version=total.model_version,
            class_key=total.class_key,
            kind=Kind(total.kind),
            studies=total.n_studies,
        )


class DiscrepancyList(BaseModel):
    """Discrepancies of studies that were read, the newest first."""

    discrepancies: list[DiscrepancyView]
    totals: list[TotalView] = Field(description="Over all pages.")
    next: int | None = Field(description="For 'before' of the next page; null on the last.")

    @classmethod
    def of(cls, page: Differing) -> Self:
        """Put a page into words."""
        return cls(
            discrepancies=[DiscrepancyView.of(row) for row in page.rows],
            totals=[TotalView.of(total) for total in page.totals],
            next=page.following,
        )


def build_router(learning: Learning) -> APIRouter:
    """Serve `learning` over HTTP."""
    router = APIRouter(prefix="/api/v1", tags=["reading"])

    @router.get("/discrepancies", summary="Where readers and models differ")
    def read_discrepancies(
        *,
        caller: ActingCaller,
        response: Response,
        model: Name = None,
        version: Name = None,
        site: Name = None,
        class_key: ClassKey = None,
        kind: Kind | None = None,
        limit: Limit = 100,
        before: Before = None,
    ) -> DiscrepancyList:
        """Give what signed reads say against the score that was shown: false alarms, missed, modified."""
        response.headers["Cache-Control"] = "no-store"
        wanted = Wanted(model, version, site, class_key, None if kind is None else str(kind))
        return DiscrepancyList.of(learning.discrepancies(wanted, caller, limit=limit, before=before))

    return router
