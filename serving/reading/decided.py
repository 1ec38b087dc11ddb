"""What was decided: in plain values for its reader, and for the audit trail without a text of theirs."""

import hashlib
from collections.abc import Mapping

from serving.store.reads import Decision, StoredRead


def said(decision: Decision) -> Mapping[str, object]:
    """Give a decision in plain JSON values, all but the coded diagnosis."""
    return {
        "diagnosis_text": decision.diagnosis_text,
        "action": decision.action,
        "interval_days": decision.interval_days,
        "priority": decision.priority,
        "findings": list(decision.findings),
        "key_images": list(decision.key_images),
        "note": decision.note,
    }


def facts_of_read(read: StoredRead) -> Mapping[str, object]:
    """Give what a read says; its free text stands as a hash, so that a change of it would show."""
    decision = read.decision
    return {
        "read": read.id,
        "slot": read.slot,
        "version": read.version,
        "revision": read.revision,
        "score": read.score_id,
        "amends": read.amends,
        "diagnosis": None
        if decision.diagnosis_code is None
        else f"{decision.diagnosis_scheme}:{decision.diagnosis_code}",
        "action": decision.action,
        "interval_days": decision.interval_days,
        "priority": decision.priority,
        "findings": [[one["verdict"], one["key"]] for one in decision.findings],
        "key_images": [[one["sop_instance_uid"], one["frame"]] for one in decision.key_images],
        "text_sha256": text_hash(read),
    }


def text_hash(read: StoredRead) -> str:
    """Give one hash of all that a reader wrote in words."""
    decision = read.decision
    words = [
        decision.diagnosis_text or "",
        decision.note,
        read.amendment_reason or "",
        *(str(one["comment"]) for one in decision.findings),
    ]
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogatepass")).hexdigest()
