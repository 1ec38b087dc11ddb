"""Orders: what was asked for under an accession number, and whether it is meant for a study.

Which studies an order is of is not written down: they have its accession number, at its site, and their
patient does not contradict it. So it makes no difference which of the two comes first.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from serving.store.order_tables import orders
from serving.store.tables import studies, study_listings
from serving.store.tenancy import Scope, within
from serving.store.turns import take_turns_at

_URGENCY = {"stat": 0, "urgent": 1, "routine": 2}


class OrderState(StrEnum):
    """Where an order stands (FHIR R4 request-status)."""

    DRAFT = "draft"
    ACTIVE = "active"
    ON_HOLD = "on-hold"
    REVOKED = "revoked"
    COMPLETED = "completed"
    ENTERED_IN_ERROR = "entered-in-error"
    UNKNOWN = "unknown"


# States in which what an order asks for counts: an examination that is done is still to be read.
_COUNTING = frozenset({OrderState.ACTIVE, OrderState.ON_HOLD, OrderState.COMPLETED, OrderState.UNKNOWN})


class Contradiction(StrEnum):
    """Why an order under a study's accession number is taken for another patient's."""

    PATIENT_ID = "patient-id"
    ISSUER = "issuer"
    BIRTH_DATE = "birth-date"


@dataclass(frozen=True, slots=True)
class OrderedPatient:
    """Whom an order is for; each identifier is a pair of issuer and identifier, empty if not said.

    `birth_date` and `sex` are in DICOM's forms, the name too.
    """

    identifiers: tuple[tuple[str, str], ...]
    name: str = ""
    birth_date: str = ""
    sex: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for.

    `accession_system` and `placer_system` are the namespaces of the numbers, empty where none was said.
    """

    accession: str
    placer: str
    priority: str
    question: str
    procedure: str
    patient: OrderedPatient
    state: OrderState
    source: str
    sender: str
    accession_system: str = ""
    placer_system: str = ""


@dataclass(frozen=True, slots=True)
class StoredOrder:
    """An order as it is kept; `version` counts its changes from 1."""

    key: str
    site: str
    order: Order
    version: int
    received_at_us: int
    changed_at_us: int


@dataclass(frozen=True, slots=True)
class StudyOrder:
    """An order under a study's accession number, and what speaks against its being the study's."""

    stored: StoredOrder
    contradiction: Contradiction | None

    @property
    def counts(self) -> bool:
        """Whether what it asks for is the study's."""
        return self.contradiction is None and self.stored.order.state in _COUNTING


@dataclass(frozen=True, slots=True)
class Examined:
    """Of whom a study says it is: what an order must not contradict; empty where it says nothing."""

    patient: str
    issuer: str
    birth_date: str


@dataclass(frozen=True, slots=True)
class Wish:
    """What the orders of a study ask for together."""

    priority: str | None
    question: str | None
    orders: tuple[StudyOrder, ...]


def turn_of_accession(site: str, accession: str) -> str:
    """Name the turn at an accession number: who writes its study or its order waits for the other."""
    return f"accession\0{site}\0{accession}"


def turns_of(site: str, *, accession: str | None, placer: str | None) -> list[str]:
    """Name the turns at the numbers of an order."""
    at_accession = [turn_of_accession(site, accession)] if accession else []
    return at_accession + ([f"placer\0{site}\0{placer}"] if placer else [])


def hold_orders(connection: Connection, names: Iterable[str]) -> None:
    """Keep others from changing orders, and studies from coming in, under some names until this ends."""
    take_turns_at(connection, names)


def contradiction_of(patient: OrderedPatient, examined: Examined) -> Contradiction | None:
    """Say what speaks against an order's being that of a study.

    One identifier in common is enough, unless both say who issued it and differ. Where either has none, the
    birth date counts. What is not said is no difference.

    Examples
    --------
    >>> asked = OrderedPatient((("HIS", "P1"), ("", "310...")), birth_date="19800101")
    >>> contradiction_of(asked, Examined("P1", "", ""))
    >>> contradiction_of(asked, Examined("P1", "OTHER", "")).value
    'issuer'
    >>> contradiction_of(asked, Examined("P2", "HIS", "")).value
    'patient-id'
    >>> contradiction_of(asked, Examined("", "", "19810101")).value
    'birth-date'
    """
    if examined.patient and patient.identifiers:
        issuers = [issuer for issuer, identifier in patient.identifiers if identifier == examined.patient]
        if not issuers:
            return Contradiction.PATIENT_ID
        agreed = any(not issuer or not examined.issuer or issuer == examined.issuer for issuer in issuers)
        return None if agreed else Contradiction.ISSUER
    if patient.birth_date and examined.birth_date and patient.birth_date != examined.birth_date:
        return Contradiction.BIRTH_DATE
    return None


def wish_of(connection: Connection, examined: Examined, *, site: str, accession: str) -> Wish:
    """Give what the orders of a study ask for: the highest priority, and each question once."""
    if not accession:
        return Wish(None, None, ())
    found = tuple(
        StudyOrder(stored, contradiction_of(stored.order.patient, examined))
        for stored in find_orders(connection, scope=Scope.of(site), accession=accession)
    )
    counting = [one.stored.order for one in found if one.counts]
    questions = list(dict.fromkeys(order.question for order in counting if order.question))
    return Wish(
        min((order.priority for order in counting), key=_URGENCY.__getitem__, default=None),
        "\n".join(questions) or None,
        found,
    )


def orders_of(connection: Connection, *, scope: Scope, study_id: int) -> list[StudyOrder]:
    """Give the orders under the accession number of a study in the scope, the earliest first."""
    row = connection.execute(
        select(study_listings, studies.c.accession.label("number_of_order"))
        .join(studies, studies.c.id == study_listings.c.study_id)
        .where(within(scope, study_listings.c.site_id), study_listings.c.study_id == study_id)
    ).first()
    if row is None:
        return []
    wish = wish_of(connection, examined_of(row), site=row.site_id, accession=row.number_of_order)
    return list(wish.orders)


def examined_of(listing: Row[*tuple[Any, ...]]) -> Examined:
    """Give of whom a study says it is, from its listing."""
    return Examined(listing.patient, listing.issuer, listing.birth_date)


def find_order(connection: Connection, *, scope: Scope, order_key: str) -> StoredOrder | None:
    """Give an order by its key, None if there is none in the scope."""
    query = select(orders).where(within(scope, orders.c.site_id), orders.c.key == order_key)
    row = connection.execute(query).first()
    return None if row is None else _stored(row)


def find_orders(
    connection: Connection, *, scope: Scope, accession: str | None = None, placer: str | None = None
) -> list[StoredOrder]:
    """Give the orders in the scope that have these numbers, of which one is given; the earliest first."""
    assert accession is not None or placer is not None
    query = select(orders).where(within(scope, orders.c.site_id))
    if accession is not None:
        query = query.where(orders.c.accession == accession)
    if placer is not None:
        query = query.where(orders.c.placer == placer)
    return [_stored(row) for row in connection.execute(query.order_by(orders.c.id))]


def add_order(connection: Connection, order: Order, *, site: str, now_us: int) -> StoredOrder:
    """Write a new order down."""
    key = secrets.token_hex(16)
    connection.execute(
        insert(orders).values(
            site_id=site, key=key, version=1, received_at=now_us, changed_at=now_us, **_values(order)
        )
    )
    return StoredOrder(key, site, order, 1, now_us, now_us)


def change_order(connection: Connection, known: StoredOrder, order: Order, *, now_us: int) -> StoredOrder:
    """Write down what has become of an order; one that is as it was stays as it is."""
    if order == known.order:
        return known
    connection.execute(
        update(orders)
        .where(orders.c.site_id == known.site, orders.c.key == known.key)
        .values(version=known.version + 1, changed_at=now_us, **_values(order))
    )
    return StoredOrder(known.key, known.site, order, known.version + 1, known.received_at_us, now_us)


def _values(order: Order) -> dict[str, object]:
    issuer, identifier = order.patient.identifiers[0] if order.patient.identifiers else ("", "")
    return {
        "accession": order.accession,
        "placer": order.placer,
        "accession_system": order.accession_system,
        "placer_system": order.placer_system,
        "priority": order.priority,
        "question": order.question,
        "procedure": order.procedure,
        "issuer": issuer,
        "patient": identifier,
        "patient_ids": [list(pair) for pair in order.patient.identifiers],
        "patient_name": order.patient.name,
        "birth_date": order.patient.birth_date,
        "sex": order.patient.sex,
        "state": str(order.state),
        "source": order.source,
        "sender": order.sender,
    }


def _stored(row: Row[*tuple[Any, ...]]) -> StoredOrder:
    pairs: Sequence[Sequence[str]] = row.patient_ids
    patient = OrderedPatient(
        tuple((issuer, identifier) for issuer, identifier in pairs), row.patient_name, row.birth_date, row.sex
    )
    order = Order(
        accession=row.accession,
        placer=row.placer,
        priority=row.priority,
        question=row.question,
        procedure=row.procedure,
        patient=patient,
        state=OrderState(row.state),
        source=row.source,
        sender=row.sender,
        accession_system=row.accession_system,
        placer_system=row.placer_system,
    )
    return StoredOrder(row.key, row.site_id, order, row.version, row.received_at, row.changed_at)
