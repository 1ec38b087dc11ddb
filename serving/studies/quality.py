"""What is amiss with a picture or a series, as JSON: a code, what was measured, the mend in two languages."""

from typing import Self

from pydantic import BaseModel, Field

from data.quality.finding import Fault, Finding
from data.quality.words import CHINESE, ENGLISH


class InTwoLanguages(BaseModel):
    """A sentence."""

    en: str
    zh: str


class QualityFinding(BaseModel):
    """Something amiss; it never keeps a study from being taken, scored or read."""

    code: Fault
    problem: InTwoLanguages
    remedy: InTwoLanguages
    image: str | None = Field(description="SOP Instance UID; none if the series is meant.")
    series: str | None
    measured: float | None
    limit: float | None = Field(description="Where the fault begins, in the unit of what was measured.")

    @classmethod
    def of(cls, finding: Finding) -> Self:
        """Put a finding into words."""
        english, chinese = ENGLISH[finding.fault], CHINESE[finding.fault]
        return cls(
            code=finding.fault,
            problem=InTwoLanguages(en=english.problem, zh=chinese.problem),
            remedy=InTwoLanguages(en=english.remedy, zh=chinese.remedy),
            image=finding.instance,
            series=finding.series,
            measured=None if finding.measured is None else round(finding.measured, 4),
            limit=finding.limit,
        )
