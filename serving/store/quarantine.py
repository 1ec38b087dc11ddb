"""What could not be taken: written down with its reason, found, corrected, ended, and in the end purged.

Whoever writes rows for a site holds that site's quarantine (:func:`turn_of`), so that a quota is one.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select, true, update

from serving.store.quarantine_tables import quarantine
from serving.store.tenancy import Scope, within
from serving.store.texts import storable


class HeldState(StrEnum):
    """Where a refused file stands: it waits for somebody, was taken in after all, or was given up."""

    HELD = "held"
    TAKEN = "taken"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class HeaderFacts:
    """What a refused file's header says, empty where it says nothing or cannot be read."""

    issuer: str = ""
    patient: str = ""
    study_uid: str = ""
    series_uid: str = ""
    sop_instance_uid: str = ""
    sop_class_uid: str = ""
    modality: str = ""


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """A file that was not taken, as it is written down; an archive's `n_files` are its members concerned."""

    file_name: str
    sha256: str
    n_bytes: int
    reason: str
    problem: str
    remedy: str
    n_files: int = 1
    header: HeaderFacts = field(default_factory=HeaderFacts)


@dataclass(frozen=True, slots=True)
class Arrived:
    """By which door a refused file came, whose it was and when."""

    door: str
    sender: str
    address: str | None
    at_us: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A refused file as it is kept; `object_sha256` is None if its bytes are not.

    `corrections` are those that the next try makes; `corrected_sha256` is the file they made when it was
    taken in. `ending` says why it was discarded, or as which study it was taken in.
    """

    id: int
    key: str
    site: str
    state: HeldState
    reason: str
    problem: str
    remedy: str
    arrived: Arrived
    last_at_us: int
    n_times: int
    file_name: str
    n_files: int
    sha256: str
    n_bytes: int
    object_sha256: str | None
    corrected_sha256: str | None
    header: HeaderFacts
    corrections: Mapping[str, Any]
    ended_at_us: int | None
    ended_by: str | None
    ending: str | None


@dataclass(frozen=True, slots=True)
class Usage:
    """How many bytes and files of a site wait in the quarantine, and how many are listed without bytes."""

    n_bytes: int
    n_kept: int
    n_listed: int


@dataclass(frozen=True, slots=True)
class Sought:
    """Which entries are asked for; what is None is not asked about."""

    state: HeldState | None = HeldState.HELD
    reason: str | None = None
    door: str | None = None
    site: str | None = None
    since_us: int | None = None
    before_us: int | None = None


def turn_of(site: str) -> str:
    """Name the turn at a site's quarantine (:func:`serving.store.turns.take_turns_at`)."""
    return f"quarantine\0{site}"


def usage_of(connection: Connection, *, site: str) -> Usage:
    """Give how much of a site's quarantine is used by what waits or was discarded and not yet purged."""
    counts = quarantine.c.object.is_not(None)
    row = connection.execute(
        select(
            func.coalesce(func.sum(quarantine.c.n_bytes).filter(counts), 0).label("n_bytes"),
            func.count().filter(counts).label("n_kept"),
            func.count().filter(~counts).label("n_listed"),
        ).where(quarantine.c.site_id == site, quarantine.c.state != HeldState.TAKEN)
    ).one()
    return Usage(int(row.n_bytes), row.n_kept, row.n_listed)


def known_refusals(
    connection: Connection, sha256s: Sequence[str], *, site: str
) -> dict[tuple[str, str], Entry]:
    """Give what is known of some bytes at a site, by hash and reason."""
    if not sha256s:
        return {}
    query = select(quarantine).where(quarantine.c.site_id == site, quarantine.c.sha256.in_(sha256s))
    return {(row.sha256, row.reason): _entry(row) for row in connection.execute(query)}


def note_again(
    connection: Connection, entry: Entry, *, site: str, at_us: int, object_sha256: str | None
) -> None:
    """Say that known bytes were refused once more; bytes that were not kept before may be now."""
    connection.execute(
        update(quarantine)
        .where(quarantine.c.site_id == site, quarantine.c.id == entry.id)
        .values(
            n_times=quarantine.c.n_times + 1,
            last_at=at_us,
            object=entry.object_sha256 or object_sha256,
        )
    )


def add_refusal(
    connection: Connection, refused: RefusedFile, arrived: Arrived, *, site: str, object_sha256: str | None
) -> str:
    """Write a refused file down and give its key; its object must be durable and have its row already."""
    key = secrets.token_hex(16)
    header = refused.header
    connection.execute(
        insert(quarantine).values(
            site_id=site,
            key=key,
            state=HeldState.HELD,
            reason=refused.reason,
            problem=storable(refused.problem),
            remedy=storable(refused.remedy),
            door=arrived.door,
            sender=storable(arrived.sender),
            address=arrived.address,
            received_at=arrived.at_us,
            last_at=arrived.at_us,
            n_times=1,
            file_name=storable(refused.file_name),
            n_files=refused.n_files,
            sha256=refused.sha256,
            n_bytes=refused.n_bytes,
            object=object_sha256,
            issuer=storable(header.issuer),
            patient=storable(header.patient),
            study_uid=storable(header.study_uid),
            series_uid=storable(header.series_uid),
            sop_instance_uid=storable(header.sop_instance_uid),
            sop_class_uid=storable(header.sop_class_uid),
            modality=storable(header.modality),
            corrections={},
        )
    )
    return key


def drop_oldest_listed(connection: Connection, *, site: str, n_rows: int) -> None:
    """Remove the oldest entries of a site that have no bytes: a flood of refusals fills no database."""
    oldest = (
        select(quarantine.c.id)
        .where(
            quarantine.c.site_id == site,
            quarantine.c.state != HeldState.TAKEN,
            quarantine.c.object.is_(None),
        )
        .order_by(quarantine.c.id)
        .limit(n_rows)
    )
    ids = list(connection.execute(oldest).scalars())
    if ids:
        connection.execute(delete(quarantine).where(quarantine.c.site_id == site, quarantine.c.id.in_(ids)))


def list_entries(
    connection: Connection, sought: Sought, *, scope: Scope, limit: int, after: int | None = None
) -> list[Entry]:
    """Give at most `limit` entries of the scope, the newest first, behind the one numbered `after`."""
    is_asked_for = within(scope, quarantine.c.site_id) & _meets(sought)
    query = select(quarantine).where(is_asked_for).order_by(quarantine.c.id.desc()).limit(limit)
    if after is not None:
        query = query.where(quarantine.c.id < after)
    return [_entry(row) for row in connection.execute(query)]


def count_entries(connection: Connection, sought: Sought, *, scope: Scope, at_most: int) -> int:
    """Give how many entries there are; counting stops at `at_most`."""
    is_asked_for = within(scope, quarantine.c.site_id) & _meets(sought)
    found = select(quarantine.c.id).where(is_asked_for).limit(at_most).subquery()
    return connection.execute(select(func.count()).select_from(found)).scalar_one()


def find_entry(connection: Connection, *, scope: Scope, key: str, is_read_only: bool = False) -> Entry | None:
    """Give an entry of the scope by its key, held until the transaction ends unless it is only read."""
    query = select(quarantine).where(within(scope, quarantine.c.site_id), quarantine.c.key == storable(key))
    row = connection.execute(query if is_read_only else query.with_for_update()).first()
    return None if row is None else _entry(row)


def correct_entry(
    connection: Connection, entry: Entry, *, site: str, corrections: Mapping[str, object]
) -> None:
    """Say which corrections the next try makes, and whose the file is from now on."""
    connection.execute(
        update(quarantine)
        .where(quarantine.c.id == entry.id, quarantine.c.site_id == entry.site)
        .values(site_id=site, corrections=dict(corrections))
    )


def note_reason(connection: Connection, entry: Entry, *, problem: str, remedy: str) -> None:
    """Say why a file was refused once more; its reason stays that of the bytes as they came."""
    connection.execute(
        update(quarantine)
        .where(quarantine.c.id == entry.id, quarantine.c.site_id == entry.site)
        .values(problem=storable(problem), remedy=storable(remedy))
    )


def end_entry(
    connection: Connection,
    entry: Entry,
    state: HeldState,
    *,
    ending: str,
    by: str,
    at_us: int,
    corrected_sha256: str | None = None,
) -> None:
    """Say that an entry was taken in or discarded."""
    connection.execute(
        update(quarantine)
        .where(quarantine.c.id == entry.id, quarantine.c.site_id == entry.site)
        .values(
            state=state,
            ending=storable(ending),
            ended_by=storable(by),
            ended_at=at_us,
            corrected=corrected_sha256,
        )
    )


def remove_entry(connection: Connection, entry: Entry) -> None:
    """Remove an entry that was found within a scope; its bytes go if nobody else refers to them."""
    connection.execute(
        delete(quarantine).where(quarantine.c.site_id == entry.site, quarantine.c.id == entry.id)
    )


def held_by_reason(connection: Connection) -> dict[tuple[str, bool], int]:
    """Give how many files wait at all sites, by reason and by whether their bytes are kept."""
    is_kept = quarantine.c.object.is_not(None).label("is_kept")
    query = (
        select(quarantine.c.reason, is_kept, func.count().label("n"))
        .where(quarantine.c.state == HeldState.HELD)
        .group_by(quarantine.c.reason, is_kept)
    )
    return {(row.reason, bool(row.is_kept)): row.n for row in connection.execute(query)}


def _meets(sought: Sought) -> ColumnElement[bool]:
    condition: ColumnElement[bool] = true()
    for column, value in (
        (quarantine.c.state, sought.state),
        (quarantine.c.reason, sought.reason),
        (quarantine.c.door, sought.door),
        (quarantine.c.site_id, sought.site),
    ):
        if value is not None:
            condition &= column == storable(value)
    if sought.since_us is not None:
        condition &= quarantine.c.last_at >= sought.since_us
    if sought.before_us is not None:
        condition &= quarantine.c.last_at < sought.before_us
    return condition


def _entry(row: Row[*tuple[Any, ...]]) -> Entry:
    return Entry(
        id=row.id,
        key=row.key,
        site=row.site_id,
        state=HeldState(row.state),
        reason=row.reason,
        problem=row.problem,
        remedy=row.remedy,
        arrived=Arrived(row.door, row.sender, row.address, row.received_at),
        last_at_us=row.last_at,
        n_times=row.n_times,
        file_name=row.file_name,
        n_files=row.n_files,
        sha256=row.sha256,
        n_bytes=row.n_bytes,
        object_sha256=row.object,
        corrected_sha256=row.corrected,
        header=HeaderFacts(
            row.issuer,
            row.patient,
            row.study_uid,
            row.series_uid,
            row.sop_instance_uid,
            row.sop_class_uid,
            row.modality,
        ),
        corrections=row.corrections,
        ended_at_us=row.ended_at,
        ended_by=row.ended_by,
        ending=row.ending,
    )
