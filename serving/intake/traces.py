"""What an upload leaves in the audit trail: which studies it brought, and what was refused."""

import hashlib
from collections import Counter
from collections.abc import Sequence

from serving.errors import Rejection, ServiceError
from serving.store.audit_chain import Action, AuditEvent, Result, Who
from serving.store.receipt import ArrivedStudy, Receipt
from serving.store.uses import Consent


def received_studies(
    receipts: Sequence[tuple[ArrivedStudy, Receipt, Consent | None]],
    rejected: Sequence[Rejection],
    *,
    site: str,
    who: Who,
    door: str,
    at_us: int,
) -> list[AuditEvent]:
    """Say which studies came in; the hash of their images' hashes tells later whether these are the same."""
    return [
        AuditEvent(
            Action.RECEIVED,
            who,
            site,
            at_us,
            study_uid=receipt.uid,
            details={
                "door": door,
                "state": receipt.state,
                "priority": arrived.priority,
                "images": receipt.n_images,
                "new_images": receipt.n_new,
                "complete": receipt.waits_until_us is None,
                "late": receipt.is_late,
                "objects_sha256": _digest(arrived),
                "refused_files": _by_reason(rejected),
                "consent": consent,
                **_ordered(receipt),
            },
        )
        for arrived, receipt, consent in receipts
    ]


def refused_upload(error: ServiceError, *, site: str, who: Who, door: str, at_us: int) -> AuditEvent:
    """Say that an upload was refused, and for which reasons; names of files are not kept."""
    details = {"door": door, "problem": str(error.problem), "refused_files": _by_reason(error.rejected)}
    return AuditEvent(Action.RECEIVED, who, site, at_us, result=Result.REFUSED, details=details)


def _ordered(receipt: Receipt) -> dict[str, object]:
    """Say by which orders a study came, and which were taken for another patient's."""
    if not receipt.orders:
        return {}
    return {
        "orders": [one.stored.key for one in receipt.orders if one.counts],
        "contradicting_orders": {
            one.stored.key: one.contradiction for one in receipt.orders if one.contradiction is not None
        },
    }


def _digest(arrived: ArrivedStudy) -> str:
    hashes = sorted(image.sha256 for image in arrived.instances)
    return hashlib.sha256("\n".join(hashes).encode("ascii")).hexdigest()


def _by_reason(rejected: Sequence[Rejection]) -> dict[str, int]:
    return dict(Counter(str(line.reason) for line in rejected))
