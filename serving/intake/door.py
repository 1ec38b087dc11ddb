"""By which door an upload came in: said in the audit trail and, of what was refused, in the quarantine."""

from enum import StrEnum


class Door(StrEnum):
    """The ways in; each ends in :meth:`serving.intake.service.Intake.take`."""

    UPLOAD = "upload"
    RESUMABLE = "resumable"
    STOW = "stow"
    C_STORE = "c-store"
    QUARANTINE = "quarantine"
    """Taken in again, as it was or corrected."""
