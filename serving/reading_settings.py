"""What an operator sets about reading: leases, load, second reads, whose studies others read, signatures."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, field_validator
from pydantic_settings import NoDecode

# Those of serving.worklist.policy; a test holds the two together.
TierName = Literal["critical", "urgent", "routine", "low"]


class ReadingSettings(BaseModel):
    """The part of :class:`serving.settings.Settings` that is about reading.

    Examples
    --------
    >>> ReadingSettings(second_read_tiers="critical, urgent").second_read_tiers
    ('critical', 'urgent')
    """

    claim_minutes: float = Field(
        default=15.0,
        gt=0,
        le=24 * 60,
        description="For how long a study that a reader took is kept from others; every save renews it.",
    )
    claims_at_once: int = Field(default=5, ge=1, description="So many studies may one reader hold.")
    second_read_tiers: Annotated[tuple[TierName, ...], NoDecode] = Field(
        default=(),
        description="Tiers, comma-separated, whose studies two read, neither seeing the other's read, and a "
        "third if they disagree.",
    )
    read_elsewhere_sites: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Sites, comma-separated, whose studies are not read by those whose home they are; * for "
        "every site.",
    )
    signature_proof_minutes: float = Field(
        default=0.0,
        ge=0,
        description="Who signs must have given password or code within so many minutes; 0: the session is "
        "enough.",
    )

    @field_validator("second_read_tiers", "read_elsewhere_sites", mode="before")
    @classmethod
    def _split_list(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value
