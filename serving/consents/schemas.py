"""A study's consent as JSON."""

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from serving.consents.service import ConsentView
from serving.store.exports import Export
from serving.store.times import from_us
from serving.store.uses import Consent, Purpose


class ConsentChange(BaseModel):
    """What the patient allows from now on."""

    model_config = ConfigDict(extra="forbid")

    consent: Consent


class ExportedTo(BaseModel):
    """An export that held the study."""

    id: str
    purpose: Purpose
    exported_by: str
    started_at: datetime
    ended_at: datetime | None = Field(description="None: it was cut off, and may hold some of the files.")
    files: int | None
    report_sha256: str | None = Field(description="Of the report that lies beside the export.")

    @classmethod
    def of(cls, export: Export) -> Self:
        """Put an export into words."""
        return cls(
            id=export.key,
            purpose=export.purpose,
            exported_by=export.exported_by,
            started_at=from_us(export.started_at_us),
            ended_at=None if export.ended_at_us is None else from_us(export.ended_at_us),
            files=export.n_files,
            report_sha256=export.report_sha256,
        )


class StudyConsent(BaseModel):
    """What a study may be used for, and where it went before."""

    study: str
    consent: Consent | Literal["unknown"] = Field(description="Unknown is not allowed: care alone.")
    said_by: str | None
    said_at: datetime | None
    exports: list[ExportedTo] = Field(
        description="What left the house already: a withdrawal does not bring it back, so tell who has it."
    )

    @classmethod
    def of(cls, view: ConsentView) -> Self:
        """Put a consent into words."""
        statement = view.statement
        return cls(
            study=view.study_key,
            consent="unknown" if statement is None else statement.consent,
            said_by=None if statement is None else statement.said_by,
            said_at=None if statement is None else from_us(statement.said_at_us),
            exports=[ExportedTo.of(export) for export in view.exports],
        )
