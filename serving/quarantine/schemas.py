"""Refused files as JSON, and what is asked for them."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data.dicom.correcting import Corrections
from serving.errors import Rejection
from serving.quarantine.retrying import corrections_of
from serving.quarantine.service import Bulk, Change, EntryPage, EntryView, Purged, Retried
from serving.store.quarantine import Entry, HeldState, Sought
from serving.store.times import from_us, to_us

Site = Annotated[str, Field(max_length=64)]


class HeaderSummary(BaseModel):
    """What the file's header says; empty where it says nothing or cannot be read."""

    issuer: str
    patient: str
    study_uid: str
    series_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    modality: str


class CorrectionsView(BaseModel):
    """What the next try changes."""

    edits: dict[str, list[str]]
    character_set: str | None
    new_uid: bool

    @classmethod
    def of(cls, corrections: Corrections) -> Self:
        """Describe corrections."""
        return cls(
            edits={keyword: list(values) for keyword, values in corrections.edits.items()},
            character_set=corrections.character_set,
            new_uid=corrections.has_new_uid,
        )


class QuarantineEntry(BaseModel):
    """A file that was not taken."""

    id: str
    url: str
    site: str
    state: HeldState
    reason: str = Field(description="The stable code.")
    problem: str = Field(description="Of the last try.")
    remedy: str
    door: str = Field(description="upload, resumable, stow or c-store.")
    sender: str
    received_at: datetime
    last_at: datetime
    times: int = Field(description="How often the same bytes were refused for that reason.")
    file: str = Field(description="Its name as it was sent first.")
    files: int = Field(description="More than 1: so many members of the archive that it is.")
    sha256: str
    bytes: int
    kept: bool = Field(description="False: the quota was used up, and the file is listed alone.")
    header: HeaderSummary
    corrections: CorrectionsView
    corrected_sha256: str | None = Field(description="Of the file that was taken in instead.")
    ended_at: datetime | None
    ended_by: str | None
    ending: str | None = Field(description="Why it was discarded, or the ids of its studies.")

    @classmethod
    def fields_of(cls, entry: Entry) -> dict[str, Any]:
        """Give an entry's fields."""
        return {
            "id": entry.key,
            "url": f"/api/v1/quarantine/{entry.key}",
            "site": entry.site,
            "state": entry.state,
            "reason": entry.reason,
            "problem": entry.problem,
            "remedy": entry.remedy,
            "door": entry.arrived.door,
            "sender": entry.arrived.sender,
            "received_at": from_us(entry.arrived.at_us),
            "last_at": from_us(entry.last_at_us),
            "times": entry.n_times,
            "file": entry.file_name,
            "files": entry.n_files,
            "sha256": entry.sha256,
            "bytes": entry.n_bytes,
            "kept": entry.object_sha256 is not None,
            "header": {name: getattr(entry.header, name) for name in HeaderSummary.model_fields},
            "corrections": CorrectionsView.of(corrections_of(entry.corrections)),
            "corrected_sha256": entry.corrected_sha256,
            "ended_at": None if entry.ended_at_us is None else from_us(entry.ended_at_us),
            "ended_by": entry.ended_by,
            "ending": entry.ending,
        }

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """Describe an entry."""
        return cls.model_validate(cls.fields_of(entry))


class QuarantinePage(BaseModel):
    """A part of the list, the newest first."""

    entries: list[QuarantineEntry]
    found: int = Field(description="How many there are; exact below 10,000.")
    cursor: str | None = Field(description="Leads on to the next page; null on the last.")

    @classmethod
    def of(cls, page: EntryPage) -> Self:
        """Describe a page."""
        return cls(
            entries=[QuarantineEntry.of(entry) for entry in page.entries],
            found=page.n_found,
            cursor=page.next_cursor,
        )


class TextReadAnew(BaseModel):
    """A text as the file's own character set has it, and as the corrected one."""

    keyword: str
    before: str
    after: str


class QuarantineDetail(QuarantineEntry):
    """A refused file with what can be read of it."""

    dicom: dict[str, Any] | None = Field(
        description="Its header in the DICOM JSON model, text read by the corrected character set; null if "
        "it cannot be read or is not kept. Long values are left out."
    )
    texts: list[TextReadAnew] = Field(description="What the corrected character set reads otherwise.")

    @classmethod
    def of_view(cls, view: EntryView) -> Self:
        """Describe an entry with its header."""
        texts = [TextReadAnew(keyword=one.keyword, before=one.before, after=one.after) for one in view.texts]
        return cls.model_validate(cls.fields_of(view.entry) | {"dicom": view.header, "texts": texts})


class CorrectionRequest(BaseModel):
    """What is to be other than it was sent; it replaces what was asked for before."""

    model_config = ConfigDict(extra="forbid")

    edits: dict[str, str | list[str]] = Field(
        default_factory=dict,
        max_length=100,
        description="New values by keyword of PS3.6; an empty list empties the attribute.",
    )
    character_set: str | None = Field(
        default=None, max_length=200, description=r"Counts instead of the file's own: GBK, ISO_IR 192."
    )
    new_uid: bool = Field(
        default=False, description="It is an image of its own: it gets a SOP Instance UID of its own."
    )
    site: Site | None = Field(default=None, description="Assigns it to another site that you see, too.")
    preview: bool = Field(default=False, description="Only show what would come of it.")

    def change(self) -> Change:
        """Give what is asked for."""
        edits = {
            keyword: (value,) if isinstance(value, str) else tuple(value)
            for keyword, value in self.edits.items()
        }
        return Change(Corrections(edits, self.character_set, self.new_uid), self.site)


class DiscardRequest(BaseModel):
    """Why a file is given up."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1, max_length=500)


class EntryFilter(BaseModel):
    """Which waiting entries are meant; at least one of them must be said."""

    model_config = ConfigDict(extra="forbid")

    reason: str | None = Field(default=None, max_length=64)
    door: str | None = Field(default=None, max_length=16)
    site: Site | None = None
    since: datetime | None = Field(default=None, description="That came last at this time or later.")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.reason is None and self.door is None and self.site is None and self.since is None:
            raise ValueError("name at least one of reason, door, site and since")
        return self

    def sought(self) -> Sought:
        """Give the filter as the store takes it."""
        since_us = None if self.since is None else to_us(self.since)
        return Sought(reason=self.reason, door=self.door, site=self.site, since_us=since_us)


class BulkRetryRequest(BaseModel):
    """Which files are taken in again."""

    model_config = ConfigDict(extra="forbid")

    filter: EntryFilter


class BulkDiscardRequest(DiscardRequest):
    """Which files are given up, and why."""

    filter: EntryFilter


class RefusedAgain(BaseModel):
    """A file that was refused again."""

    file: str
    reason: str
    problem: str
    remedy: str
    quarantine: str | None

    @classmethod
    def of(cls, line: Rejection) -> Self:
        """Put a rejection into words."""
        return cls(
            file=line.file,
            reason=line.reason,
            problem=line.problem,
            remedy=line.remedy,
            quarantine=line.quarantine,
        )


class RetryAnswer(BaseModel):
    """What became of a file that was taken in again."""

    entry: QuarantineEntry
    studies: list[str] = Field(description="Addresses of the studies that it is in.")
    rejected: list[RefusedAgain] = Field(description="What of an archive was refused again.")

    @classmethod
    def of(cls, retried: Retried) -> Self:
        """Put it into words."""
        return cls(
            entry=QuarantineEntry.of(retried.entry),
            studies=[f"/api/v1/studies/{key}" for key, _ in retried.retaken.studies],
            rejected=[RefusedAgain.of(line) for line in retried.retaken.rejected],
        )


class BulkAnswer(BaseModel):
    """What became of many."""

    done: list[str] = Field(description="Their ids.")
    rejected: list[RefusedAgain]
    left: int = Field(description="Not reached: ask again.")

    @classmethod
    def of(cls, bulk: Bulk) -> Self:
        """Put it into words."""
        return cls(
            done=list(bulk.done), rejected=[RefusedAgain.of(line) for line in bulk.refused], left=bulk.n_left
        )


class PurgeRequest(BaseModel):
    """What is old enough to go."""

    model_config = ConfigDict(extra="forbid")

    older_than_days: float | None = Field(
        default=None, ge=0, le=36_500, description="By default FIRSTREAD_QUARANTINE_DAYS."
    )


class PurgeAnswer(BaseModel):
    """What was removed."""

    entries: int
    bytes: int

    @classmethod
    def of(cls, purged: Purged) -> Self:
        """Put it into words."""
        return cls(entries=purged.n_entries, bytes=purged.n_bytes)
