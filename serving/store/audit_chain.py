"""A row of the audit trail, and the hash that ties it to the row before.

Each row holds the hash of the one before it and the SHA-256 of its own canonical bytes, that hash among
them. So a change, a removal or an insertion anywhere breaks the chain there, unless every row behind it is
made anew; what vouches for the end stands outside the table (:mod:`serving.audit.checkpoints`,
:mod:`serving.audit.head`). A row names studies by their UID and people by the account they use, never a
patient.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Final

from serving.store.texts import storable

GENESIS: Final = "0" * 64
"""What the first row names as the hash before it."""

# Stands in every row's bytes: should their form ever change, old rows are still read in the old one.
_FORM = 1


class Action(StrEnum):
    """What was done; a later version may add some, and never changes one."""

    STARTED = "started"
    STOPPED = "stopped"
    RECEIVED = "received"
    COMPLETED = "completed"
    QUIET_TIME_CHANGED = "quiet-time-changed"
    ORDERED = "ordered"
    VIEWED_ORDER = "viewed-order"
    SCORED = "scored"
    SCORING_PAUSED = "scoring-paused"
    SCORING_RESUMED = "scoring-resumed"
    SCORING_RETRIED = "scoring-retried"
    VIEWED_LIST = "viewed-list"
    VIEWED_STUDY = "viewed-study"
    VIEWED_IMAGE = "viewed-image"
    CLAIMED = "claimed"
    CLAIM_ENDED = "claim-ended"
    DRAFTED = "drafted"
    DECIDED = "decided"
    OVERRIDDEN = "overridden"
    LOGGED_IN = "logged-in"
    LOGGED_OUT = "logged-out"
    LOCKED_OUT = "locked-out"
    ACCESS_REFUSED = "access-refused"
    PASSWORD_CHANGED = "password-changed"  # noqa: S105 - an act, not a secret
    SECOND_FACTOR_CHANGED = "second-factor-changed"
    EXPORTED = "exported"
    CONSENT_CHANGED = "consent-changed"
    PERMISSION_CHANGED = "permission-changed"
    MODEL_CHANGED = "model-changed"
    KEY_MADE = "key-made"
    TRAIL_EXPORTED = "trail-exported"
    TRAIL_RESUMED = "trail-resumed"
    TRAIL_BROKEN = "trail-broken"
    PURGED = "purged"
    QUARANTINE_VIEWED = "quarantine-viewed"
    QUARANTINE_CORRECTED = "quarantine-corrected"
    QUARANTINE_RETRIED = "quarantine-retried"
    QUARANTINE_DISCARDED = "quarantine-discarded"
    QUARANTINE_PURGED = "quarantine-purged"
    ASSOCIATED = "associated"
    TRANSFERRED = "transferred"


class Result(StrEnum):
    """How it ended."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


class ActorKind(StrEnum):
    """What stands behind a name."""

    PERSON = "person"
    TOKEN = "token"  # noqa: S105 - a kind of actor, not a secret
    SERVICE = "service"
    OPERATOR = "operator"
    ANONYMOUS = "anonymous"
    DEVICE = "device"


@dataclass(frozen=True, slots=True)
class Who:
    """Who acts, and from where.

    `verified_identity` is that of a person who proved it, with the licence number; None as long as nobody
    signs in. `address` is the client's as the server sees it, `request_id` the one in the server's log.
    """

    kind: ActorKind
    name: str
    verified_identity: str | None = None
    address: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Something that was done; `details` says what was shown or changed, in plain JSON values."""

    action: Action
    who: Who
    site: str
    at_us: int
    result: Result = Result.DONE
    study_uid: str | None = None
    model: str | None = None
    model_sha256: str | None = None
    policy_version: str | None = None
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditRow:
    """An event as it is kept.

    `is_clock_back` is 1 where `at_us` is earlier than that of the row before: rows stand in the order in
    which they were written, whatever the clock did. `details` is JSON.
    """

    seq: int
    at_us: int
    is_clock_back: int
    site: str
    actor_kind: str
    actor: str
    verified_identity: str | None
    address: str | None
    request_id: str | None
    action: str
    result: str
    study_uid: str | None
    model: str | None
    model_sha256: str | None
    policy_version: str | None
    details: str
    before: str
    hash: str


@dataclass(frozen=True, slots=True)
class Link:
    """The place of a row in the chain: what the next row follows."""

    seq: int
    hash: str
    at_us: int = 0


START: Final = Link(0, GENESIS)

_HASHED = tuple(one.name for one in fields(AuditRow) if one.name != "hash")


def sealed(event: AuditEvent, *, after: Link) -> AuditRow:
    """Make the row of an event that follows `after`.

    Examples
    --------
    >>> who = Who(ActorKind.SERVICE, "scoring")
    >>> row = sealed(AuditEvent(Action.SCORED, who, "local", at_us=5), after=START)
    >>> row.seq, row.before == GENESIS, row.hash == row_hash(row)
    (1, True, True)
    """
    values: dict[str, object] = {
        "seq": after.seq + 1,
        "at_us": event.at_us,
        "is_clock_back": int(event.at_us < after.at_us),
        "site": event.site,
        "actor_kind": str(event.who.kind),
        "actor": event.who.name,
        "verified_identity": event.who.verified_identity,
        "address": event.who.address,
        "request_id": event.who.request_id,
        "action": str(event.action),
        "result": str(event.result),
        "study_uid": event.study_uid,
        "model": event.model,
        "model_sha256": event.model_sha256,
        "policy_version": event.policy_version,
        "details": _json(dict(event.details)),
        "before": after.hash,
    }
    # What the database would have to change must not be hashed as it was.
    values = {name: storable(value) if isinstance(value, str) else value for name, value in values.items()}
    return AuditRow(**values, hash=_hash(values))  # type: ignore[arg-type]  # each is of its field's type


def row_hash(row: AuditRow, *, seq: int | None = None) -> str:
    """Give the hash that a row must have, at its place or at another one."""
    values = {name: getattr(row, name) for name in _HASHED}
    return _hash(values if seq is None else values | {"seq": seq})


def _hash(values: Mapping[str, object]) -> str:
    return hashlib.sha256(_json({"form": _FORM, **values}).encode("ascii")).hexdigest()


def _json(value: object) -> str:
    # ASCII, so that no text of a file can fail to be written; what the database holds of a foreign type
    # was put there by hand, and must give other bytes rather than an error.
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=repr)
