"""Claims as JSON: what is asked for, and who holds what."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from serving.reading.claims import Claimed
from serving.reading.slots import Slot, is_read_twice
from serving.reading.terms import ReadingTerms
from serving.store.claims import Claim, HeldStudy
from serving.store.reading_state import StudyAtHand
from serving.store.times import from_us

# A UID (PS3.5 9.1), as the Transaction UID of a workitem is one.
TransactionUid = Annotated[str, Field(max_length=64, pattern=r"^[0-9]+(\.[0-9]+)*$")]
Reason = Annotated[str, Field(min_length=3, max_length=500, pattern=r"\S")]


class ClaimRequest(BaseModel):
    """What may come with a claim."""

    model_config = ConfigDict(extra="forbid")

    transaction_uid: TransactionUid | None = Field(
        default=None, description="The same one sent twice takes one study; made by the server if absent."
    )


class TakeOver(BaseModel):
    """From whom and why a supervisor takes a study."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason
    slot: Slot = Field(default=Slot.FIRST, description="1 the read, 2 the second one, 3 the adjudication.")
    for_me: bool = Field(default=True, description="False: the study is free for whoever comes next.")


class Holder(BaseModel):
    """Who holds a study, in which slot, until when."""

    slot: Slot
    reader: str
    claimed_at: datetime
    expires_at: datetime

    @classmethod
    def of(cls, claim: Claim) -> Self:
        """Put a claim into words."""
        return cls(
            slot=Slot(claim.slot),
            reader=claim.reader,
            claimed_at=from_us(claim.claimed_at_us),
            expires_at=from_us(claim.expires_at_us),
        )


class ClaimedStudy(BaseModel):
    """A study that the caller holds."""

    study: str
    url: str
    slot: Slot = Field(
        description="1 the read, 2 a second one that sees nothing of the first, 3 adjudication."
    )
    transaction_uid: str
    claimed_at: datetime
    expires_at: datetime = Field(description="Renew it before; every save of the draft does.")
    is_new: bool = Field(description="False: it was held already, and its lease was renewed.")

    @classmethod
    def of(cls, claimed: Claimed) -> Self:
        """Put a claim into words."""
        return cls.of_claim(claimed.claim, claimed.study.key, is_new=claimed.is_new)

    @classmethod
    def of_held(cls, held: HeldStudy) -> Self:
        """Put one of somebody's claims into words."""
        return cls.of_claim(held.claim, held.study_key, is_new=False)

    @classmethod
    def of_claim(cls, claim: Claim, study: str, *, is_new: bool) -> Self:
        """Put a claim of a study into words."""
        return cls(
            study=study,
            url=f"/api/v1/studies/{study}",
            slot=Slot(claim.slot),
            transaction_uid=claim.transaction_uid or "",
            claimed_at=from_us(claim.claimed_at_us),
            expires_at=from_us(claim.expires_at_us),
            is_new=is_new,
        )


class NextStudy(BaseModel):
    """The study that the caller was given, or why there is none."""

    claim: ClaimedStudy | None
    why_none: str | None = Field(description="A sentence, where nothing is free.")


class MyClaims(BaseModel):
    """What the caller holds."""

    claims: list[ClaimedStudy]
    most: int = Field(description="So many may one reader hold.")


class StudyClaims(BaseModel):
    """Who reads a study."""

    study: str
    is_waiting: bool = Field(description="False: it was read and signed.")
    is_reopened: bool = Field(description="It was read, and another image came since.")
    readers_wanted: int = Field(description="2 where two read it without seeing each other's read.")
    signed_slots: list[Slot]
    holders: list[Holder]

    @classmethod
    def of(cls, study: StudyAtHand, *, terms: ReadingTerms, now_us: int) -> Self:
        """Put the claims of a study into words; those that have expired keep nobody off."""
        return cls(
            study=study.key,
            is_waiting=study.is_waiting,
            is_reopened=study.is_reopened,
            readers_wanted=2 if is_read_twice(study, second_tiers=terms.second_tiers) else 1,
            signed_slots=[Slot(read.slot) for read in study.signed],
            holders=[Holder.of(claim) for claim in study.claims if claim.is_held(now_us)],
        )
