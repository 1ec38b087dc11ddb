"""Who reads which study: leases that end by themselves, never two for a study's same slot.

Whoever changes a study's claims holds its row (:func:`serving.store.reading_state.hold`); the index
`uq_claims_held` stands behind that, whatever a program does.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from serving.store.reading_tables import claims
from serving.store.tables import studies
from serving.store.tenancy import Scope, within


class Ending(StrEnum):
    """How a lease ended."""

    RELEASED = "released"
    EXPIRED = "expired"
    TAKEN_OVER = "taken-over"
    SIGNED = "signed"


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease that was not ended; past `expires_at_us` it keeps nobody off any more."""

    id: int
    study_id: int
    slot: int
    reader: str
    transaction_uid: str | None
    claimed_at_us: int
    expires_at_us: int

    def is_held(self, at_us: int) -> bool:
        """Whether it counts at a time."""
        return at_us < self.expires_at_us


@dataclass(frozen=True, slots=True)
class HeldStudy:
    """A claim with the address and UID of its study."""

    claim: Claim
    study_key: str
    study_uid: str
    site: str


class AlreadyHeldError(Exception):
    """Somebody else's claim of the same slot stands."""


def open_claims(
    connection: Connection, *, scope: Scope, study_ids: Collection[int]
) -> dict[int, tuple[Claim, ...]]:
    """Give the claims of some studies that were not ended, expired or not, in the order of their slots."""
    query = (
        select(claims)
        .where(within(scope, claims.c.site_id), claims.c.study_id.in_(study_ids), claims.c.ended_at.is_(None))
        .order_by(claims.c.study_id, claims.c.slot)
    )
    found: dict[int, tuple[Claim, ...]] = {}
    for row in connection.execute(query):
        found[row.study_id] = (*found.get(row.study_id, ()), _claim(row))
    return found


def claims_of_reader(connection: Connection, *, scope: Scope, reader: str, now_us: int) -> list[HeldStudy]:
    """Give what somebody holds, the longest held first."""
    return claims_of_readers(connection, scope=scope, readers=[reader], now_us=now_us).get(reader, [])


def claims_of_readers(
    connection: Connection, *, scope: Scope, readers: Collection[str], now_us: int
) -> dict[str, list[HeldStudy]]:
    """Give what each of some readers holds, the longest held first; nothing for who holds nothing."""
    query = (
        select(claims, studies.c.key, studies.c.uid)
        .join(studies, studies.c.id == claims.c.study_id)
        .where(
            within(scope, claims.c.site_id),
            claims.c.reader.in_(readers),
            claims.c.ended_at.is_(None),
            claims.c.expires_at > now_us,
        )
        .order_by(claims.c.claimed_at, claims.c.id)
    )
    found: dict[str, list[HeldStudy]] = {}
    for row in connection.execute(query):
        found.setdefault(row.reader, []).append(HeldStudy(_claim(row), row.key, row.uid, row.site_id))
    return found


def last_slot(connection: Connection, *, scope: Scope, study_id: int, reader: str) -> int | None:
    """Give the slot in which somebody last held a study, ended or not; None if they never did."""
    query = (
        select(claims.c.slot)
        .where(within(scope, claims.c.site_id), claims.c.study_id == study_id, claims.c.reader == reader)
        .order_by(claims.c.id.desc())
        .limit(1)
    )
    return connection.execute(query).scalar_one_or_none()


@dataclass(frozen=True, slots=True)
class NewClaim:
    """A slot of a study for a reader until a time."""

    site: str
    study_id: int
    slot: int
    reader: str
    transaction_uid: str
    claimed_at_us: int
    expires_at_us: int


def begin_claims(connection: Connection, new: Sequence[NewClaim]) -> list[Claim]:
    """Give studies, each of the site that it names, to readers; gives the claims in the same order.

    Raises
    ------
    AlreadyHeldError
        If a claim of the same slot was not ended; nothing more can be done in this transaction.
    """
    rows = [
        {
            "site_id": one.site,
            "study_id": one.study_id,
            "slot": one.slot,
            "reader": one.reader,
            "transaction_uid": one.transaction_uid,
            "claimed_at": one.claimed_at_us,
            "expires_at": one.expires_at_us,
        }
        for one in new
    ]
    try:
        found = connection.execute(insert(claims).returning(claims, sort_by_parameter_order=True), rows).all()
    except IntegrityError as error:
        raise AlreadyHeldError from error
    return [_claim(row) for row in found]


def extend_claim(connection: Connection, claim: Claim, *, site: str, expires_at_us: int) -> None:
    """Let a claim last until a later time."""
    connection.execute(
        update(claims)
        .where(claims.c.site_id == site, claims.c.id == claim.id, claims.c.ended_at.is_(None))
        .values(expires_at=expires_at_us)
    )


def end_claim(connection: Connection, claim: Claim, *, site: str, ending: Ending, now_us: int) -> None:
    """End a claim."""
    connection.execute(
        update(claims)
        .where(claims.c.site_id == site, claims.c.id == claim.id, claims.c.ended_at.is_(None))
        .values(ended_at=now_us, ending=str(ending))
    )


def _claim(row: Row[*tuple[object, ...]]) -> Claim:
    return Claim(
        row.id, row.study_id, row.slot, row.reader, row.transaction_uid, row.claimed_at, row.expires_at
    )
