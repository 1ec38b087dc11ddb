"""The orders under a study's accession number, as JSON."""

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, Field

from serving.store.orders import Contradiction, OrderState, StudyOrder
from serving.store.times import from_us
from serving.worklist.schemas import Priority


class OrderOfStudy(BaseModel):
    """What was asked for; one of another patient shows nothing of that patient but its numbers."""

    id: str = Field(description="Stands in /fhir/ServiceRequest/{id}.")
    accession: str
    placer: str = Field(description="The number that its placer gave it; empty if none.")
    counts: bool = Field(description="Whether the study has its priority.")
    contradiction: Contradiction | None = Field(
        description="Why it is taken for another patient's: the images say another identifier, issuer or "
        "birth date. Then it changed nothing."
    )
    state: OrderState
    priority: Priority
    procedure: str | None
    question: str | None
    source: Literal["hl7", "fhir"]
    received_at: datetime
    changed_at: datetime

    @classmethod
    def of(cls, found: StudyOrder) -> Self:
        """Put an order into words."""
        stored, order = found.stored, found.stored.order
        is_own = found.contradiction is None
        return cls.model_validate(
            {
                "id": stored.key,
                "accession": order.accession,
                "placer": order.placer,
                "counts": found.counts,
                "contradiction": found.contradiction,
                "state": order.state,
                "priority": order.priority,
                "procedure": order.procedure or None if is_own else None,
                "question": order.question or None if is_own else None,
                "source": order.source,
                "received_at": from_us(stored.received_at_us),
                "changed_at": from_us(stored.changed_at_us),
            }
        )
