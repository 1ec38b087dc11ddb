"""The audit trail as it is stored: rows are appended and read, and removed by a purge alone.

One writer at a time: the number and the hash of the row before are read under the lock that the append
holds until its transaction ends, so there is no gap and no fork, whatever number of processes append.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select

from serving.store.audit_chain import START, AuditEvent, AuditRow, Link, sealed
from serving.store.tables import audit, audit_checkpoints, audit_purges, patients, studies
from serving.store.turns import Turn, take_turn

_ROWS_A_READ = 500

_COLUMN_OF_FIELD = {
    "at_us": "at",
    "site": "site_id",
}

# Built once: to build a statement costs as much as to run it.
_LAST = select(audit.c.seq, audit.c.hash, audit.c.at).order_by(audit.c.seq.desc()).limit(1)
_APPEND = insert(audit)


@dataclass(frozen=True, slots=True)
class Signed:
    """A link of the chain with a signature: a checkpoint, or the place up to which rows were purged."""

    link: Link
    signature: str
    key: str


def append(connection: Connection, events: Sequence[AuditEvent]) -> list[AuditRow]:
    """Append events to the trail, in the caller's transaction."""
    hold_end(connection)
    link = last_link(connection)
    rows: list[AuditRow] = []
    for event in events:
        row = sealed(event, after=link)
        rows.append(row)
        link = Link(row.seq, row.hash, row.at_us)
    if rows:
        connection.execute(_APPEND, [_values(row) for row in rows])
    return rows


def hold_end(connection: Connection) -> None:
    """Keep every other process from appending until this transaction ends."""
    take_turn(connection, Turn.AUDIT)


def last_link(connection: Connection) -> Link:
    """Give the end of the chain."""
    row = connection.execute(_LAST).first()
    return floor(connection) if row is None else Link(row.seq, row.hash, row.at)


def floor(connection: Connection) -> Link:
    """Give the link that the first kept row follows: the last purge, or the beginning."""
    purged = purges(connection)
    return purged[-1].link if purged else START


def read_rows(
    connection: Connection,
    *,
    after: int = 0,
    up_to: int | None = None,
    since_us: int | None = None,
    until_us: int | None = None,
    study_uid: str | None = None,
) -> Iterator[AuditRow]:
    """Yield the kept rows in their order, a few hundred in memory at a time; `until_us` is not included."""
    query = select(audit).order_by(audit.c.seq).limit(_ROWS_A_READ)
    if up_to is not None:
        query = query.where(audit.c.seq <= up_to)
    if since_us is not None:
        query = query.where(audit.c.at >= since_us)
    if until_us is not None:
        query = query.where(audit.c.at < until_us)
    if study_uid is not None:
        query = query.where(audit.c.study_uid == study_uid)
    while True:
        found = connection.execute(query.where(audit.c.seq > after)).all()
        for row in found:
            yield AuditRow(*row)
        if len(found) < _ROWS_A_READ:
            return
        after = found[-1].seq


def first_seq_since(connection: Connection, at_us: int) -> int | None:
    """Give the number of the first row that is not older than a time, None if all are."""
    found: int | None = connection.execute(
        select(func.min(audit.c.seq)).where(audit.c.at >= at_us)
    ).scalar_one()
    return found


def add_checkpoint(connection: Connection, checkpoint: Signed) -> None:
    """Keep a checkpoint."""
    connection.execute(insert(audit_checkpoints).values(_signed_values(checkpoint)))


def checkpoints(connection: Connection) -> list[Signed]:
    """Give every checkpoint, the oldest first; they outlive the rows that were purged."""
    query = select(audit_checkpoints).order_by(audit_checkpoints.c.seq)
    return [_signed(*row) for row in connection.execute(query)]


def newest_checkpoint(connection: Connection) -> int:
    """Give the number of the last row that a checkpoint covers, 0 if there is none."""
    found = connection.execute(select(func.max(audit_checkpoints.c.seq))).scalar_one()
    return found or 0


def purges(connection: Connection) -> list[Signed]:
    """Give the places up to which rows were purged, the oldest first."""
    query = select(audit_purges).order_by(audit_purges.c.seq)
    return [_signed(*row) for row in connection.execute(query)]


def purge(connection: Connection, up_to: Signed) -> int:
    """Remove the rows up to a place that is signed for, and give their number."""
    connection.execute(insert(audit_purges).values(_signed_values(up_to)))
    return connection.execute(delete(audit).where(audit.c.seq <= up_to.link.seq)).rowcount


def patient_identifiers(connection: Connection, study_uids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Give issuer and identifier of the patients of some studies, where they are known."""
    query = (
        select(studies.c.uid, patients.c.issuer, patients.c.identifier)
        .join(patients, patients.c.id == studies.c.patient_id)
        .where(studies.c.uid.in_(study_uids))
    )
    return {row.uid: (row.issuer, row.identifier) for row in connection.execute(query)}


def _values(row: AuditRow) -> dict[str, object]:
    return {_COLUMN_OF_FIELD.get(name, name): getattr(row, name) for name in AuditRow.__dataclass_fields__}


def _signed_values(item: Signed) -> dict[str, object]:
    link = item.link
    return {
        "seq": link.seq,
        "hash": link.hash,
        "at": link.at_us,
        "signature": item.signature,
        "key": item.key,
    }


def _signed(seq: int, digest: str, at_us: int, signature: str, key: str) -> Signed:
    return Signed(Link(seq, digest, at_us), signature, key)
