"""Whether a study is complete, as JSON."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field

from data.quality.finding import Finding
from serving.intake.completing import Completed
from serving.store.arrivals import StudyArrival
from serving.store.times import from_us
from serving.studies.quality import QualityFinding
from serving.worklist.schemas import State


class CompletedStudy(BaseModel):
    """A study that is complete."""

    id: str
    url: str
    uid: str
    images: int
    is_new: bool = Field(
        description="Whether more images were waited for until now; it is scored from now on."
    )
    quality: list[QualityFinding] = Field(description="What is amiss with its images, as a whole.")

    @classmethod
    def of(cls, study: Completed, findings: tuple[Finding, ...]) -> Self:
        """Put a completed study into words."""
        return cls(
            id=study.key,
            url=f"/api/v1/studies/{study.key}",
            uid=study.uid,
            images=study.n_images,
            is_new=study.is_new,
            quality=[QualityFinding.of(finding) for finding in findings],
        )


class ArrivalView(BaseModel):
    """How far a study has come: whoever shows it asks again, and sees that something came."""

    id: str
    state: State
    images: int
    expected_images: int | None = Field(description="How many were announced; null if nobody said so.")
    revision: int = Field(description="Counts how often it was opened; a score is of one revision.")
    arriving_until: datetime | None = Field(description="Null if it is complete.")

    @classmethod
    def of(cls, arrival: StudyArrival, expected: int | None) -> Self:
        """Put an arrival into words."""
        until = None if arrival.wait is None else from_us(arrival.wait.until_us)
        return cls.model_validate(
            {
                "id": arrival.key,
                "state": arrival.state,
                "images": arrival.n_images,
                "expected_images": expected,
                "revision": arrival.revision,
                "arriving_until": until,
            }
        )
