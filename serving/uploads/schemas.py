"""Uploads on their way, as JSON."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, Field

from serving.errors import ServiceError
from serving.intake.context import ContextFields
from serving.intake.schemas import RejectedFile, UploadAnswer
from serving.store.times import from_us
from serving.store.uploads import StoredBatch, StoredUpload
from serving.uploads.taking import problem_of, told


class UploadProblem(BaseModel):
    """Why nothing of an upload was taken."""

    code: str
    detail: str
    rejected: list[RejectedFile]

    @classmethod
    def of(cls, error: ServiceError) -> Self:
        """Put a kept error into words."""
        return cls(
            code=str(error.problem),
            detail=error.detail,
            rejected=[RejectedFile.of(line) for line in error.rejected],
        )


class UploadedFileState(BaseModel):
    """How far one file has come."""

    id: str
    url: str
    name: str
    length: int = Field(description="Bytes, as announced.")
    offset: int = Field(description="Bytes that have come and are on the disk.")
    sha256: str | None = Field(description="Of the whole file, once it has come.")

    @classmethod
    def of(cls, upload: StoredUpload) -> Self:
        """Put a file into words."""
        return cls.model_validate(_file(upload))


class _Ending(BaseModel):
    state: Literal["open", "closing", "taken", "refused", "expired"] = Field(
        description="open: files may come; closing: called whole, being taken; taken: `answer` says what "
        "became of it; refused: `problem` says why nothing was taken; expired: nobody went on in time."
    )
    expires_at: datetime = Field(description="Given up then, unless something comes; as Upload-Expires.")
    answer: UploadAnswer | None = Field(description="What POST /api/v1/studies would have answered.")
    problem: UploadProblem | None


class UploadView(UploadedFileState, _Ending):
    """One file, and what became of it if it is no part of a batch."""

    batch: str | None = Field(description="The sender's word for what it is a part of.")

    @classmethod
    def of(cls, upload: StoredUpload) -> Self:
        """Put a file into words."""
        batch = upload.batch
        return cls.model_validate(
            _file(upload) | _ending(batch) | {"batch": None if batch.is_single else batch.key}
        )


class BatchView(_Ending):
    """The files of a batch, and what became of them."""

    key: str
    files: list[UploadedFileState]

    @classmethod
    def of_files(cls, batch: StoredBatch, files: Sequence[StoredUpload]) -> Self:
        """Put a batch into words."""
        return cls.model_validate(
            _ending(batch) | {"key": batch.key, "files": [UploadedFileState.of(one) for one in files]}
        )


class BatchEnd(BaseModel):
    """What a sender says with the last word on a batch."""

    files: int | None = Field(
        default=None, ge=1, description="How many the sender counts; fewer or more are refused with 409."
    )
    context: ContextFields | None = Field(
        default=None, description="The study's context; counts before what was said with the files."
    )


def _file(upload: StoredUpload) -> dict[str, object]:
    return {
        "id": upload.key,
        "url": f"/api/v1/uploads/{upload.key}",
        "name": upload.name,
        "length": upload.n_bytes,
        "offset": upload.n_received,
        "sha256": upload.sha256,
    }


def _ending(batch: StoredBatch) -> dict[str, object]:
    return {
        "state": batch.state,
        "expires_at": from_us(batch.expires_at_us),
        "answer": None if batch.answer is None else UploadAnswer.of(told(batch)),
        "problem": None if batch.problem is None else UploadProblem.of(problem_of(batch.problem)),
    }
