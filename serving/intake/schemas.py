"""What became of an upload, as JSON."""

from typing import Literal, Self

from pydantic import BaseModel, Field

from serving.errors import Rejection
from serving.intake.service import Outcome, TakenStudy
from serving.store.uses import Consent
from serving.studies.quality import QualityFinding
from serving.worklist.schemas import State


class RejectedFile(BaseModel):
    """A file that was not taken."""

    file: str = Field(description="Its name as it was sent; a member of an archive as archive/member.")
    status: str = "rejected"
    reason: str = Field(description="The stable code.")
    problem: str
    remedy: str
    quarantine: str | None = Field(
        default=None, description="Key of the entry in the quarantine that lists it, for administrators."
    )
    kept: bool = Field(
        default=False, description="Whether that has its bytes; if not, the quota is used up: send it again."
    )

    @classmethod
    def of(cls, line: Rejection) -> Self:
        """Put a rejection into words."""
        return cls(
            file=line.file,
            reason=line.reason,
            problem=line.problem,
            remedy=line.remedy,
            quarantine=line.quarantine,
            kept=line.is_kept,
        )


class ReceivedStudy(BaseModel):
    """A study that the upload made or added to; it is stored and stands in the queue."""

    id: str
    url: str
    uid: str
    state: State
    images: int
    new_images: int = Field(description="0: every image was known already.")
    files: list[str]
    consent: Consent | Literal["unknown"] = Field(
        description="What the study may be used for beyond care, as it stands now; unknown is not allowed."
    )

    quality: list[QualityFinding] = Field(
        description="What is amiss with its images, with a mend while the patient is still there."
    )

    @classmethod
    def of(cls, study: TakenStudy) -> Self:
        """Put a taken study into words."""
        return cls.model_validate(
            {
                "id": study.key,
                "url": f"/api/v1/studies/{study.key}",
                "uid": study.uid,
                "state": study.state,
                "images": study.n_images,
                "new_images": study.n_new_images,
                "files": list(study.files),
                "consent": study.consent or "unknown",
                "quality": [QualityFinding.of(finding) for finding in study.findings],
            }
        )


class UploadAnswer(BaseModel):
    """What became of an upload: every file stands in one of the two lists."""

    studies: list[ReceivedStudy]
    rejected: list[RejectedFile]
    rejected_count: int = Field(description="All of them, should the list be cut.")

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        """Put an outcome into words."""
        return cls(
            studies=[ReceivedStudy.of(study) for study in outcome.studies],
            rejected=[RejectedFile.of(line) for line in outcome.rejected],
            rejected_count=outcome.n_rejected,
        )
