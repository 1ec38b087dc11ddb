"""The worklist as JSON."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, Field

from serving.store.claims import Claim
from serving.store.queue import QueueRow
from serving.store.times import from_us
from serving.worklist.language import Language
from serving.worklist.service import COUNTED_UP_TO, Page

State = Literal["received", "scoring", "scored", "abstained", "failed"]
Priority = Literal["stat", "urgent", "routine"]
TierName = Literal["critical", "urgent", "routine", "low"]


class ModelName(BaseModel):
    """The model that scored a study."""

    name: str
    version: str


class ImageLinks(BaseModel):
    """Where a frame is shown."""

    sop_instance_uid: str
    frame: int = Field(description="Counted from 1.")
    rendered: str
    thumbnail: str

    @classmethod
    def of(cls, study: str, sop_instance_uid: str, frame: int) -> Self:
        """Give the addresses of a frame."""
        place = f"/api/v1/studies/{study}/instances/{sop_instance_uid}/frames/{frame}"
        return cls(
            sop_instance_uid=sop_instance_uid,
            frame=frame,
            rendered=f"{place}/rendered",
            thumbnail=f"{place}/thumbnail",
        )


class HeldBy(BaseModel):
    """Who reads a study at present."""

    reader: str
    slot: int = Field(description="1 the read, 2 a second one, 3 the adjudication.")
    until: datetime


class WorklistEntry(BaseModel):
    """A study that waits."""

    id: str
    url: str
    state: State
    tier: TierName
    due_at: datetime
    minutes_left: float = Field(description="Until it is due; negative: late by so many minutes.")
    reason_line: str = Field(description="Why it stands here, in the language asked for.")
    arriving_until: datetime | None = Field(
        description="More of its images may come until then, when it is scored; null if it is complete."
    )
    received_at: datetime
    priority: Priority
    modality: str
    images: int
    age: float | None
    sex: str | None
    body_site: str | None
    patient: str | None
    model: ModelName | None
    novelty: float | None = Field(description="Above 1 the picture is unlike those the model knows.")
    quality: float | None = Field(description="0 to 1.")
    key_image: ImageLinks | None = Field(description="What to look at first; null without a score.")
    cover: ImageLinks | None = Field(description="The key image, else the image that came first.")
    held_by: list[HeldBy] = Field(description="Who reads it at present; empty: nobody.")

    @classmethod
    def of(cls, row: QueueRow, *, now_us: int, language: Language, claims: Sequence[Claim] = ()) -> Self:
        """Put a stored row into words."""
        place = row.placement
        key = _links(row.study_key, row.key_sop_instance_uid, row.key_frame_number)
        model = ModelName(name=row.model_name, version=row.model_version or "") if row.model_name else None
        return cls.model_validate(
            {
                "id": row.study_key,
                "url": f"/api/v1/studies/{row.study_key}",
                "state": row.state,
                "tier": place.tier,
                "due_at": from_us(place.due_at_us),
                "minutes_left": round((place.due_at_us - now_us) / 60e6, 1),
                "reason_line": place.reason_zh if language is Language.CHINESE else place.reason_en,
                "arriving_until": None if row.arriving_until_us is None else from_us(row.arriving_until_us),
                "received_at": from_us(row.received_at_us),
                "priority": row.priority,
                "modality": row.modality,
                "images": row.n_images,
                "age": row.age_years,
                "sex": row.sex,
                "body_site": row.body_site,
                "patient": row.patient,
                "model": model,
                "novelty": row.novelty,
                "quality": row.quality,
                "key_image": key,
                "cover": key or _links(row.study_key, row.first_sop_instance_uid, 1),
                "held_by": [
                    HeldBy(reader=one.reader, slot=one.slot, until=from_us(one.expires_at_us))
                    for one in claims
                ],
            }
        )


class WorklistPage(BaseModel):
    """A part of the worklist, the first due first."""

    purpose: Literal["for prioritisation only"] = "for prioritisation only"
    read_at: datetime
    language: Language
    waiting: int = Field(description=f"Studies that wait; counting stops at {COUNTED_UP_TO:,}.")
    waiting_is_more: bool = Field(description="Whether more wait than were counted.")
    entries: list[WorklistEntry]
    next: str | None = Field(description="The address of the next page; null on the last.")

    @classmethod
    def of(cls, page: Page, *, language: Language, limit: int) -> Self:
        """Put a page into words."""
        following = None
        if page.next_cursor is not None:
            following = f"/api/v1/worklist?limit={limit}&cursor={page.next_cursor}&lang={language}"
        return cls(
            read_at=from_us(page.read_at_us),
            language=language,
            waiting=page.n_waiting,
            waiting_is_more=page.n_waiting >= COUNTED_UP_TO,
            entries=[
                WorklistEntry.of(row, now_us=page.read_at_us, language=language, claims=page.held(row))
                for row in page.rows
            ],
            next=following,
        )


def _links(study: str, sop_instance_uid: str | None, frame: int | None) -> ImageLinks | None:
    if sop_instance_uid is None:
        return None
    return ImageLinks.of(study, sop_instance_uid, frame or 1)
