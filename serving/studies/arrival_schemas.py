"""How a study came together, as JSON: what is still to come, what came late, the patient's other studies."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field

from serving.store.arrivals import Wait
from serving.store.late_images import LateImages
from serving.store.priors import Prior
from serving.store.times import from_us
from serving.worklist.schemas import State


class StillArriving(BaseModel):
    """A study of which more images may come: it is listed and placed, and not scored yet."""

    since: datetime
    until: datetime = Field(description="It is scored then, unless more comes or it is complete sooner.")
    expected_images: int | None = Field(description="How many were announced; null if nobody said so.")

    @classmethod
    def of(cls, wait: Wait | None, expected: int | None) -> Self | None:
        """Put a wait into words; None for a study that is complete."""
        if wait is None:
            return None
        return cls(since=from_us(wait.since_us), until=from_us(wait.until_us), expected_images=expected)


class Late(BaseModel):
    """Images that came after a result was there, or after the caller had taken the study."""

    images: int
    at: datetime = Field(description="When the first of them came.")
    since_claimed: bool = Field(description="Whether the caller held the study then.")
    is_in_score: bool = Field(description="Whether the score is of the study with these images.")

    @classmethod
    def of(cls, late: LateImages | None, *, is_in_score: bool) -> Self | None:
        """Put late images into words."""
        if late is None:
            return None
        return cls(
            images=late.n_images,
            at=from_us(late.at_us),
            since_claimed=late.was_held,
            is_in_score=is_in_score,
        )


class PriorStudy(BaseModel):
    """Another study of the same patient: the same identifier of the same issuer."""

    id: str
    url: str
    uid: str
    date: str | None = Field(description="The study's own, as YYYY-MM-DD; null if its files do not say it.")
    received_at: datetime
    modality: str
    description: str
    images: int
    state: State

    @classmethod
    def of(cls, prior: Prior) -> Self:
        """Put a prior into words."""
        return cls.model_validate(
            {
                "id": prior.key,
                "url": f"/api/v1/studies/{prior.key}",
                "uid": prior.uid,
                "date": date_of(prior.date),
                "received_at": from_us(prior.received_at_us),
                "modality": prior.modality,
                "description": prior.description,
                "images": prior.n_images,
                "state": prior.state,
            }
        )


def date_of(written: str) -> str | None:
    """Give a date as people write it, None for what is none.

    Examples
    --------
    >>> date_of("20260304"), date_of("2026")
    ('2026-03-04', None)
    """
    is_date = len(written) == 8 and written.isascii() and written.isdigit()
    return f"{written[:4]}-{written[4:6]}-{written[6:]}" if is_date else None
