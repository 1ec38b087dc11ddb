"""What an action is called in the standards: DICOM's audit event codes, and FHIR's action letters."""

from collections.abc import Mapping
from dataclasses import dataclass

from serving.store.audit_chain import Action, AuditRow, Result


@dataclass(frozen=True, slots=True)
class Code:
    """A code of DICOM's terminology (DCM, PS3.16 annex D)."""

    value: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Meaning:
    """An action as the standards see it.

    `event` is of CID 400, `kind` of CID 401 where one fits; `letter` says what was done to the object:
    create, read, update, delete or execute; `life_cycle` where in its life (PS3.15 A.5.1.2.3).
    """

    event: Code
    letter: str
    kind: Code | None = None
    life_cycle: str | None = None


_ACTIVITY = Code("110100", "Application Activity")
_LOG_USED = Code("110101", "Audit Log Used")
_TRANSFERRED = Code("110104", "DICOM Instances Transferred")
_ACCESSED = Code("110103", "DICOM Instances Accessed")
_EXPORT = Code("110106", "Export")
_ORDER = Code("110109", "Order Record")
_QUERY = Code("110112", "Query")
_ALERT = Code("110113", "Security Alert")
_AUTHENTICATION = Code("110114", "User Authentication")

MEANING: Mapping[Action, Meaning] = {
    Action.STARTED: Meaning(_ACTIVITY, "E", Code("110120", "Application Start")),
    Action.STOPPED: Meaning(_ACTIVITY, "E", Code("110121", "Application Stop")),
    Action.RECEIVED: Meaning(_TRANSFERRED, "C", life_cycle="1"),
    Action.ORDERED: Meaning(_ORDER, "C", life_cycle="1"),
    Action.VIEWED_ORDER: Meaning(_ORDER, "R", life_cycle="6"),
    Action.COMPLETED: Meaning(_ACCESSED, "U", life_cycle="3"),
    Action.QUIET_TIME_CHANGED: Meaning(_ALERT, "E", Code("110131", "Software Configuration")),
    Action.SCORED: Meaning(_ACCESSED, "U", life_cycle="8"),
    Action.SCORING_PAUSED: Meaning(_ALERT, "E", Code("110131", "Software Configuration")),
    Action.SCORING_RESUMED: Meaning(_ALERT, "E", Code("110131", "Software Configuration")),
    Action.SCORING_RETRIED: Meaning(_ACCESSED, "U", life_cycle="8"),
    Action.VIEWED_LIST: Meaning(_QUERY, "E", life_cycle="6"),
    Action.VIEWED_STUDY: Meaning(_ACCESSED, "R", life_cycle="6"),
    Action.VIEWED_IMAGE: Meaning(_ACCESSED, "R", life_cycle="6"),
    Action.CLAIMED: Meaning(_ACCESSED, "U", life_cycle="3"),
    Action.CLAIM_ENDED: Meaning(_ACCESSED, "U", life_cycle="3"),
    Action.DRAFTED: Meaning(_ACCESSED, "U", life_cycle="3"),
    Action.DECIDED: Meaning(_ACCESSED, "U", life_cycle="9"),
    Action.OVERRIDDEN: Meaning(_ACCESSED, "U", life_cycle="3"),
    Action.LOGGED_IN: Meaning(_AUTHENTICATION, "E", Code("110122", "Login")),
    Action.LOGGED_OUT: Meaning(_AUTHENTICATION, "E", Code("110123", "Logout")),
    Action.LOCKED_OUT: Meaning(_ALERT, "E", Code("110137", "User Security Attributes Changed")),
    Action.ACCESS_REFUSED: Meaning(_ALERT, "E", Code("110132", "Use of Restricted Function")),
    Action.PASSWORD_CHANGED: Meaning(_ALERT, "E", Code("110137", "User Security Attributes Changed")),
    Action.SECOND_FACTOR_CHANGED: Meaning(_ALERT, "E", Code("110137", "User Security Attributes Changed")),
    Action.EXPORTED: Meaning(_EXPORT, "R", life_cycle="10"),
    Action.CONSENT_CHANGED: Meaning(_ACCESSED, "U", life_cycle="3"),
    Action.PERMISSION_CHANGED: Meaning(_ALERT, "E", Code("110136", "Security Roles Changed")),
    Action.MODEL_CHANGED: Meaning(_ALERT, "E", Code("110131", "Software Configuration")),
    Action.KEY_MADE: Meaning(_ALERT, "E", Code("110129", "Security Configuration")),
    Action.TRAIL_EXPORTED: Meaning(_LOG_USED, "R"),
    Action.TRAIL_RESUMED: Meaning(_ALERT, "E", Code("110134", "Audit Recording Started")),
    Action.TRAIL_BROKEN: Meaning(_ALERT, "E", Code("110132", "Use of Restricted Function")),
    Action.PURGED: Meaning(_LOG_USED, "D"),
    Action.QUARANTINE_VIEWED: Meaning(_ACCESSED, "R", life_cycle="6"),
    Action.QUARANTINE_CORRECTED: Meaning(_ACCESSED, "U", life_cycle="3"),
    Action.QUARANTINE_RETRIED: Meaning(_TRANSFERRED, "C", life_cycle="1"),
    Action.QUARANTINE_DISCARDED: Meaning(_ACCESSED, "U", life_cycle="12"),
    Action.QUARANTINE_PURGED: Meaning(_ACCESSED, "D", life_cycle="14"),
    Action.ASSOCIATED: Meaning(_ALERT, "E", Code("110126", "Node Authentication")),
    Action.TRANSFERRED: Meaning(_TRANSFERRED, "R", life_cycle="11"),
}

# A later version of the program may have written actions that this one does not know.
_UNKNOWN = Meaning(_ACTIVITY, "E")

_SEVERITY = {Result.DONE: "0", Result.REFUSED: "4", Result.FAILED: "8"}


def meaning_of(row: AuditRow) -> Meaning:
    """Give what a row's action is called in the standards."""
    return MEANING[Action(row.action)] if row.action in MEANING else _UNKNOWN


def outcome_of(row: AuditRow) -> str:
    """Give how it ended, as both standards write it: 0 success, 4 minor failure, 8 serious failure."""
    return _SEVERITY[Result(row.result)] if row.result in _SEVERITY else "12"
