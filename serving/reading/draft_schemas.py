"""What a reader sends: the draft of a read, and what goes with a signature."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from serving.reading.codes import Scheme
from serving.store.reads import Decision
from serving.worklist.policy import DoctorPriority

# In UTF-8: three times the longest note that was asked for would still be read in one piece.
MOST_NOTE_BYTES = 256 * 1024


class Action(StrEnum):
    """What is to be done for the patient."""

    REASSURE = "reassure"
    MONITOR = "monitor"
    BIOPSY = "biopsy"
    REFER_URGENTLY = "refer-urgently"
    REPEAT_IMAGE = "repeat-image"


class Verdict(StrEnum):
    """What a reader says of something that the model said, or did not say."""

    ACCEPTED = "accepted"
    MODIFIED = "modified"
    REJECTED = "rejected"
    MISSED = "missed"


def _without_nul(text: str) -> str:
    # neither database keeps it, and nobody can see it
    return text.replace("\0", "")


def _of_bytes(text: str) -> str:
    n_bytes = len(text.encode("utf-8"))
    if n_bytes > MOST_NOTE_BYTES:
        raise ValueError(f"the note is {n_bytes:,} bytes of UTF-8; {MOST_NOTE_BYTES:,} are taken: shorten it")
    return text


Text = Annotated[str, Field(max_length=2000), AfterValidator(_without_nul)]
Note = Annotated[str, AfterValidator(_without_nul), AfterValidator(_of_bytes)]
Uid = Annotated[str, Field(max_length=128)]
FrameNumber = Annotated[int, Field(ge=1, le=1_000_000, description="Counted from 1.")]
SaveKey = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[!-~]+$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Coded(_Part):
    """A code of a diagnosis; GET /api/v1/codes gives those that are taken."""

    scheme: Scheme
    code: Annotated[str, Field(min_length=1, max_length=64)]


class KeyImageChoice(_Part):
    """A frame that shows what was found."""

    sop_instance_uid: Uid
    frame: FrameNumber = 1


class FindingVerdict(_Part):
    """What the reader says of one finding of the model's, or of one that it missed."""

    verdict: Verdict
    key: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="The class of the model; may be absent where something was missed."
    )
    diagnosis: Coded | None = Field(default=None, description="What it is instead, or what was missed.")
    comment: Text = ""
    image: KeyImageChoice | None = None

    @model_validator(mode="after")
    def _says_of_what(self) -> Self:
        if self.verdict is not Verdict.MISSED and self.key is None:
            raise ValueError(f"a finding that is {self.verdict} needs 'key', the class of the model")
        if self.verdict is Verdict.MISSED and not (self.key or self.diagnosis or self.comment.strip()):
            raise ValueError("what was missed needs 'key', 'diagnosis' or 'comment'")
        return self


class DraftContent(_Part):
    """A read as far as it has come; every field may still be absent."""

    save_key: SaveKey | None = Field(
        default=None, description="Names this save: sent twice with the same content, it counts once."
    )
    seen_score: int | None = Field(
        default=None, description="'id' of the score that the reader was shown; absent: the newest one."
    )
    diagnosis: Coded | None = None
    diagnosis_text: Text | None = None
    action: Action | None = None
    interval_days: Annotated[int, Field(ge=1, le=3650)] | None = Field(
        default=None, description="After so many days again; with the action 'monitor'."
    )
    priority: DoctorPriority | None = Field(default=None, description="How urgent the reader finds it.")
    findings: Annotated[list[FindingVerdict], Field(max_length=100)] = []
    key_images: Annotated[list[KeyImageChoice], Field(max_length=200)] = []
    note: Note = Field(default="", description=f"At most {MOST_NOTE_BYTES:,} bytes of UTF-8.")

    def decision(self) -> Decision:
        """Give what is stored."""
        return Decision(
            diagnosis_scheme=None if self.diagnosis is None else str(self.diagnosis.scheme),
            diagnosis_code=None if self.diagnosis is None else self.diagnosis.code,
            diagnosis_text=self.diagnosis_text,
            action=None if self.action is None else str(self.action),
            interval_days=self.interval_days,
            priority=None if self.priority is None else str(self.priority),
            findings=tuple(one.model_dump(mode="json") for one in self.findings),
            key_images=tuple(one.model_dump(mode="json") for one in self.key_images),
            note=self.note,
        )


class SignRequest(_Part):
    """What the reader was shown, and what else a signature needs."""

    version: int = Field(ge=1, description="Of the draft that is to be signed, as its last save gave it.")
    seen_revision: int = Field(description="'revision' of the study as the reader was shown it.")
    seen_images: int = Field(description="How many images it had.")
    seen_score: int | None = Field(description="'id' of the score that the reader was shown; null: none.")
    amendment_reason: Annotated[str, Field(min_length=3, max_length=2000)] | None = Field(
        default=None, description="Why, where the read takes the place of one that was signed."
    )
    password: Annotated[str, Field(max_length=256)] | None = Field(
        default=None, description="Where the house asks for it anew before a signature."
    )
    code: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="The second factor's, in place of the password."
    )
