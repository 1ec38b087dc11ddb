"""What an order leaves in the audit trail: which studies it counts for, and none of its patient."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from serving.store.audit_chain import Action, AuditEvent, Result, Who
from serving.store.orders import StoredOrder

if TYPE_CHECKING:
    from serving.orders.service import TakenOrder


def received_order(taken: "TakenOrder", *, who: Who, at_us: int) -> list[AuditEvent]:
    """Say that an order was taken, in a row for each study under its accession number, or in one."""
    stored = taken.stored
    order = stored.order
    facts: dict[str, object] = {
        "order": stored.key,
        "version": stored.version,
        "is_new": taken.is_new,
        "source": order.source,
        "state": order.state,
        "priority": order.priority,
    }
    if not taken.matches:
        return [AuditEvent(Action.ORDERED, who, stored.site, at_us, details=facts)]
    return [
        AuditEvent(
            Action.ORDERED,
            who,
            stored.site,
            at_us,
            study_uid=match.study_uid,
            details={
                **facts,
                "contradiction": match.contradiction,
                "study_priority_before": match.priority_before,
                "study_priority": match.priority,
            },
        )
        for match in taken.matches
    ]


def refused_order(reason: str, *, site: str, who: Who, at_us: int) -> AuditEvent:
    """Say that an order was refused, and by which code."""
    return AuditEvent(Action.ORDERED, who, site, at_us, result=Result.REFUSED, details={"reason": reason})


def viewed_orders(found: Sequence[StoredOrder], *, site: str, who: Who, at_us: int) -> AuditEvent:
    """Say which orders were shown, and in which version."""
    details = {"orders": {one.key: one.version for one in found}}
    return AuditEvent(Action.VIEWED_ORDER, who, site, at_us, details=details)
