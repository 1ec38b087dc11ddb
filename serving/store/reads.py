"""What readers decide, as it is stored: drafts that are saved over and over, and reads that were signed.

A signed read is never altered; triggers hold that. What takes its place is another row that amends it.
"""

from collections.abc import Collection
from dataclasses import dataclass, fields

from sqlalchemy import Connection, Row, false, insert, select, update

from serving.store.reading_tables import reads
from serving.store.tables import queue_entries, scores, studies
from serving.store.tenancy import Scope, within


@dataclass(frozen=True, slots=True)
class Decision:
    """What a reader says of a study; `findings` and `key_images` are plain JSON values."""

    diagnosis_scheme: str | None = None
    diagnosis_code: str | None = None
    diagnosis_text: str | None = None
    action: str | None = None
    interval_days: int | None = None
    priority: str | None = None
    findings: tuple[dict[str, object], ...] = ()
    key_images: tuple[dict[str, object], ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class StoredRead:
    """One read: a draft until `signed_at_us` is set.

    `score_id` is the score that its reader was shown, `revision` that of the study.
    """

    id: int
    study_id: int
    slot: int
    reader: str
    version: int
    save_key: str | None
    begun_at_us: int
    saved_at_us: int
    signed_at_us: int | None
    amends: int | None
    amendment_reason: str | None
    score_id: int | None
    revision: int | None
    decision: Decision


@dataclass(frozen=True, slots=True)
class Signature:
    """What is kept of a signature beside the draft that becomes a read."""

    signed_at_us: int
    claim_id: int | None
    score_id: int | None
    revision: int
    amends: int | None
    amendment_reason: str | None


def drafts_of(connection: Connection, *, scope: Scope, study_id: int, reader: str) -> list[StoredRead]:
    """Give somebody's drafts of a study, the one that was saved last first."""
    query = (
        select(reads)
        .where(
            within(scope, reads.c.site_id),
            reads.c.study_id == study_id,
            reads.c.reader == reader,
            reads.c.signed_at.is_(None),
        )
        .order_by(reads.c.saved_at.desc(), reads.c.id.desc())
    )
    return [_read(row) for row in connection.execute(query)]


def reads_of(connection: Connection, *, scope: Scope, study_id: int) -> list[StoredRead]:
    """Give every read of a study, drafts among them, in the order in which they were begun."""
    query = (
        select(reads).where(within(scope, reads.c.site_id), reads.c.study_id == study_id).order_by(reads.c.id)
    )
    return [_read(row) for row in connection.execute(query)]


@dataclass(frozen=True, slots=True)
class CountedRead:
    """The read that counts of a study that was read; `model_name` is whose score its reader was shown."""

    study_key: str
    model_name: str | None
    decision: Decision


def reads_that_count(connection: Connection, *, scope: Scope) -> list[CountedRead]:
    """Give the read that counts of every study of the scope that left the queue, in the order of arrival.

    That is the adjudication where there is one, else the first read, each as it was amended last.
    """
    query = (
        select(reads, studies.c.key, scores.c.model_name)
        .join(studies, studies.c.id == reads.c.study_id)
        .join(queue_entries, queue_entries.c.study_id == reads.c.study_id)
        .outerjoin(scores, scores.c.id == reads.c.score_id)
        .where(
            within(scope, reads.c.site_id),
            reads.c.signed_at.is_not(None),
            reads.c.slot != 2,
            queue_entries.c.is_waiting == false(),
        )
        .order_by(reads.c.study_id, reads.c.slot, reads.c.id)
    )
    last = {row.study_id: row for row in connection.execute(query)}
    return [CountedRead(row.key, row.model_name, _decision(row)) for row in last.values()]


def begin_draft(
    connection: Connection,
    decision: Decision,
    *,
    site: str,
    study_id: int,
    slot: int,
    reader: str,
    save_key: str | None,
    score_id: int | None,
    now_us: int,
) -> StoredRead:
    """Keep the first version of a draft."""
    row = connection.execute(
        insert(reads)
        .values(
            site_id=site,
            study_id=study_id,
            slot=slot,
            reader=reader,
            version=1,
            save_key=save_key,
            score_id=score_id,
            begun_at=now_us,
            saved_at=now_us,
            **_columns(decision),
        )
        .returning(reads)
    ).one()
    return _read(row)


def save_draft(
    connection: Connection,
    draft: StoredRead,
    decision: Decision,
    *,
    site: str,
    save_key: str | None,
    score_id: int | None,
    now_us: int,
) -> StoredRead:
    """Keep the next version of a draft."""
    row = connection.execute(
        update(reads)
        .where(reads.c.site_id == site, reads.c.id == draft.id, reads.c.version == draft.version)
        .values(
            version=draft.version + 1,
            save_key=save_key,
            score_id=score_id,
            saved_at=now_us,
            **_columns(decision),
        )
        .returning(reads)
    ).one()
    return _read(row)


def who_has_drafts(
    connection: Connection, *, scope: Scope, study_ids: Collection[int], readers: Collection[str]
) -> list[tuple[int, str]]:
    """Give which of some readers have a draft of which of some studies."""
    query = select(reads.c.study_id, reads.c.reader).where(
        within(scope, reads.c.site_id),
        reads.c.study_id.in_(study_ids),
        reads.c.reader.in_(readers),
        reads.c.signed_at.is_(None),
    )
    return [(row.study_id, row.reader) for row in connection.execute(query)]


def move_draft(connection: Connection, *, site: str, study_id: int, reader: str, to_slot: int) -> None:
    """Let somebody go on with their draft in the slot that they are given now."""
    mine = [
        reads.c.site_id == site,
        reads.c.study_id == study_id,
        reads.c.reader == reader,
        reads.c.signed_at.is_(None),
    ]
    slots = connection.execute(select(reads.c.slot).where(*mine)).scalars().all()
    if slots and to_slot not in slots:
        connection.execute(update(reads).where(*mine, reads.c.slot == slots[-1]).values(slot=to_slot))


def sign_draft(connection: Connection, draft: StoredRead, signature: Signature, *, site: str) -> StoredRead:
    """Make a read of a draft, which stays as it is from now on."""
    row = connection.execute(
        update(reads)
        .where(reads.c.site_id == site, reads.c.id == draft.id, reads.c.version == draft.version)
        .values(
            signed_at=signature.signed_at_us,
            claim_id=signature.claim_id,
            score_id=signature.score_id,
            revision=signature.revision,
            amends=signature.amends,
            amendment_reason=signature.amendment_reason,
        )
        .returning(reads)
    ).one()
    return _read(row)


def _columns(decision: Decision) -> dict[str, object]:
    values = {one.name: getattr(decision, one.name) for one in fields(decision)}
    return values | {"findings": list(decision.findings), "key_images": list(decision.key_images)}


def _decision(row: Row[*tuple[object, ...]]) -> Decision:
    return Decision(
        diagnosis_scheme=row.diagnosis_scheme,
        diagnosis_code=row.diagnosis_code,
        diagnosis_text=row.diagnosis_text,
        action=row.action,
        interval_days=row.interval_days,
        priority=row.priority,
        findings=tuple(row.findings),
        key_images=tuple(row.key_images),
        note=row.note,
    )


def _read(row: Row[*tuple[object, ...]]) -> StoredRead:
    return StoredRead(
        id=row.id,
        study_id=row.study_id,
        slot=row.slot,
        reader=row.reader,
        version=row.version,
        save_key=row.save_key,
        begun_at_us=row.begun_at,
        saved_at_us=row.saved_at,
        signed_at_us=row.signed_at,
        amends=row.amends,
        amendment_reason=row.amendment_reason,
        score_id=row.score_id,
        revision=row.revision,
        decision=_decision(row),
    )
