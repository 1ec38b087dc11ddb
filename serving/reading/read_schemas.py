"""Reads as JSON: drafts, signatures, and the history of a study."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field

from serving.reading.codes import Scheme, ValueSet
from serving.reading.decided import said
from serving.reading.draft_schemas import Action, FindingVerdict, KeyImageChoice
from serving.reading.reads import History, Kept
from serving.reading.slots import Slot
from serving.store.reads import StoredRead
from serving.store.times import from_us
from serving.worklist.policy import DoctorPriority


class DiagnosisView(BaseModel):
    """A coded diagnosis with its meaning; no meaning for a code that has left the value set since."""

    scheme: Scheme
    code: str
    en: str | None
    zh: str | None


class ReadView(BaseModel):
    """A draft, or a read that was signed."""

    id: int
    slot: Slot
    reader: str
    is_draft: bool
    version: int
    begun_at: datetime
    saved_at: datetime
    signed_at: datetime | None
    amends: int | None = Field(description="'id' of the read that this one takes the place of.")
    amendment_reason: str | None
    revision: int | None = Field(description="Of the study, as it was when this was signed.")
    score: int | None = Field(description="'id' of the score that the reader was shown.")
    save_key: str | None
    diagnosis: DiagnosisView | None
    diagnosis_text: str | None
    action: Action | None
    interval_days: int | None
    priority: DoctorPriority | None
    findings: list[FindingVerdict]
    key_images: list[KeyImageChoice]
    note: str

    @classmethod
    def of(cls, read: StoredRead, codes: ValueSet) -> Self:
        """Put a stored read into words."""
        return cls.model_validate(
            {
                "id": read.id,
                "slot": read.slot,
                "reader": read.reader,
                "is_draft": read.signed_at_us is None,
                "version": read.version,
                "begun_at": from_us(read.begun_at_us),
                "saved_at": from_us(read.saved_at_us),
                "signed_at": None if read.signed_at_us is None else from_us(read.signed_at_us),
                "amends": read.amends,
                "amendment_reason": read.amendment_reason,
                "revision": read.revision,
                "score": read.score_id,
                "save_key": read.save_key,
                "diagnosis": _diagnosis(read, codes),
                **said(read.decision),
            }
        )


class Lease(BaseModel):
    """Whether the reader still holds the study."""

    is_held: bool
    expires_at: datetime | None
    what_to_do: str | None = Field(description="Where it is not held: what to do before signing.")


class DraftView(BaseModel):
    """A draft as it is kept, and the lease under which it was saved."""

    read: ReadView
    lease: Lease

    @classmethod
    def of(cls, kept: Kept, codes: ValueSet, *, now_us: int) -> Self:
        """Put a draft into words."""
        claim = kept.claim
        is_held = claim is not None and claim.is_held(now_us)
        what_to_do = None
        if not is_held and kept.study.is_waiting:
            what_to_do = "The study is not yours (any more), the draft is kept: claim it (again) to sign."
        expires_at = None if claim is None else from_us(claim.expires_at_us)
        lease = Lease(is_held=is_held, expires_at=expires_at, what_to_do=what_to_do)
        return cls(read=ReadView.of(kept.read, codes), lease=lease)


class SignedView(BaseModel):
    """A read that was signed."""

    read: ReadView
    study_is_read: bool = Field(description="False: another reader is to read it still.")
    is_new: bool = Field(description="False: the same request had signed it before.")

    @classmethod
    def of(cls, kept: Kept, codes: ValueSet) -> Self:
        """Put a signature into words."""
        return cls(
            read=ReadView.of(kept.read, codes),
            study_is_read=not kept.study.is_waiting,
            is_new=kept.is_new,
        )


class ReadHistory(BaseModel):
    """The reads of a study that the caller may see, in the order in which they were begun."""

    study: str
    is_read: bool = Field(description="Whether it left the queue.")
    is_blinded: bool = Field(
        description="True: two readers are at it, and what others signed is shown once both are through."
    )
    reads: list[ReadView]

    @classmethod
    def of(cls, history: History, codes: ValueSet) -> Self:
        """Put a study's reads into words."""
        return cls(
            study=history.study.key,
            is_read=not history.study.is_waiting,
            is_blinded=history.is_blinded,
            reads=[ReadView.of(read, codes) for read in history.reads],
        )


def _diagnosis(read: StoredRead, codes: ValueSet) -> DiagnosisView | None:
    scheme, code = read.decision.diagnosis_scheme, read.decision.diagnosis_code
    if scheme is None or code is None:
        return None
    entry = codes.get(scheme, code)
    return DiagnosisView(scheme=Scheme(scheme), code=code, en=entry and entry.en, zh=entry and entry.zh)
