"""Files on their way in and the batches they belong to, as rows: whose they are, and how much has come.

Whoever asks for one names its owner and a scope; to anybody else it is not there. A batch is `open` while
files come, `closing` once its sender said that it is whole, and then `taken` or `refused` with the answer
that was given; one that nobody ends is `expired`.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, Row, and_, delete, func, insert, or_, select, update

from serving.store.tenancy import Scope, within
from serving.store.turns import take_turns_at
from serving.store.upload_tables import upload_batches, uploads


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """A batch; `said_by` is who said that it is whole, `answer` and `problem` what they were told."""

    id: int
    site: str
    owner: str
    key: str
    is_single: bool
    take_key: str
    fields: Mapping[str, object]
    state: str
    said_by: Mapping[str, object] | None
    answer: Mapping[str, object] | None
    problem: Mapping[str, object] | None
    expires_at_us: int


@dataclass(frozen=True, slots=True)
class StoredUpload:
    """A file on its way; `n_received` of its `n_bytes` are on the disk for certain."""

    id: int
    key: str
    name: str
    metadata: str
    n_bytes: int
    n_received: int
    said_sha256: str | None
    sha256: str | None
    state: str
    batch: StoredBatch


@dataclass(frozen=True, slots=True)
class Unfinished:
    """How much of a site, or of a batch, is on its way: what was announced counts, come or not."""

    n_files: int
    n_bytes: int


def hold_site(connection: Connection, *, site: str) -> None:
    """Take the turn at a site's uploads: its limits are looked at and used up by one at a time."""
    take_turns_at(connection, [f"uploads\0{site}"])


def unfinished_of(connection: Connection, *, site: str, batch_id: int | None = None) -> Unfinished:
    """Give how much is on its way to a site, or in one of its batches."""
    query = (
        select(func.count(), func.coalesce(func.sum(uploads.c.n_bytes), 0))
        .join(upload_batches, upload_batches.c.id == uploads.c.batch_id)
        .where(
            uploads.c.site_id == site,
            uploads.c.state != "ended",
            upload_batches.c.state.in_(("open", "closing")),
        )
    )
    if batch_id is not None:
        query = query.where(uploads.c.batch_id == batch_id)
    n_files, n_bytes = connection.execute(query).one()
    return Unfinished(n_files, int(n_bytes))


def begin_batch(
    connection: Connection,
    *,
    site: str,
    owner: str,
    key: str | None,
    fields: Mapping[str, object],
    now_us: int,
    expires_at_us: int,
) -> StoredBatch:
    """Make a batch; without a `key` of the sender it is that of a single file."""
    values = {
        "site_id": site,
        "owner": owner,
        "key": key or secrets.token_hex(16),
        "is_single": key is None,
        "take_key": secrets.token_hex(16),
        "fields": dict(fields),
        "state": "open",
        "created_at": now_us,
        "changed_at": now_us,
        "expires_at": expires_at_us,
    }
    row = connection.execute(insert(upload_batches).values(values).returning(upload_batches)).one()
    return _batch(row)


def begin_upload(
    connection: Connection,
    batch: StoredBatch,
    *,
    name: str,
    metadata: str,
    n_bytes: int,
    said_sha256: str | None,
    now_us: int,
) -> StoredUpload:
    """Make the row of a file of which nothing has come yet."""
    values = {
        "site_id": batch.site,
        "batch_id": batch.id,
        "key": secrets.token_hex(16),
        "name": name,
        "metadata": metadata,
        "n_bytes": n_bytes,
        "n_received": 0,
        "said_sha256": said_sha256,
        "state": "open",
        "created_at": now_us,
    }
    row = connection.execute(insert(uploads).values(values).returning(uploads)).one()
    return _upload(row, batch)


def find_batch(connection: Connection, *, scope: Scope, owner: str, key: str) -> StoredBatch | None:
    """Give a batch by its sender's own word for it, None if its owner has none in the scope."""
    row = connection.execute(
        select(upload_batches).where(
            within(scope, upload_batches.c.site_id),
            upload_batches.c.owner == owner,
            upload_batches.c.key == key,
        )
    ).first()
    return None if row is None else _batch(row)


def find_upload(connection: Connection, *, scope: Scope, owner: str, key: str) -> StoredUpload | None:
    """Give a file by the key that stands in its address, None if its owner has none in the scope."""
    row = connection.execute(
        select(uploads)
        .join(upload_batches, upload_batches.c.id == uploads.c.batch_id)
        .where(within(scope, uploads.c.site_id), upload_batches.c.owner == owner, uploads.c.key == key)
    ).first()
    if row is None:
        return None
    batch = connection.execute(select(upload_batches).where(upload_batches.c.id == row.batch_id)).one()
    return _upload(row, _batch(batch))


def files_of(connection: Connection, batch: StoredBatch) -> list[StoredUpload]:
    """Give the files of a batch that was found within a scope, but for those that were ended."""
    query = (
        select(uploads)
        .where(uploads.c.site_id == batch.site, uploads.c.batch_id == batch.id, uploads.c.state != "ended")
        .order_by(uploads.c.id)
    )
    return [_upload(row, batch) for row in connection.execute(query)]


def say_received(
    connection: Connection,
    upload: StoredUpload,
    n_received: int,
    *,
    sha256: str | None,
    said_by: Mapping[str, object],
    now_us: int,
    expires_at_us: int,
) -> bool:
    """Write down how much of a file is on the disk; says whether it still is on its way.

    One with its `sha256` is whole; a batch of that file alone is then `closing`.
    """
    state = "open" if sha256 is None else "whole"
    changed = connection.execute(
        update(uploads)
        .where(uploads.c.id == upload.id, uploads.c.state == "open")
        .values(n_received=n_received, sha256=sha256, state=state)
    ).rowcount
    if not changed:
        return False
    values: dict[str, object] = {"changed_at": now_us, "expires_at": expires_at_us}
    if sha256 is not None and upload.batch.is_single:
        values |= {"state": "closing", "said_by": dict(said_by)}
    return bool(
        connection.execute(
            update(upload_batches)
            .where(upload_batches.c.id == upload.batch.id, upload_batches.c.state == "open")
            .values(values)
        ).rowcount
    )


def end_upload(connection: Connection, upload: StoredUpload, *, now_us: int) -> bool:
    """End a file that its sender no longer wants; says whether its batch still was open."""
    is_open = connection.execute(
        update(upload_batches)
        .where(upload_batches.c.id == upload.batch.id, upload_batches.c.state == "open")
        .values(changed_at=now_us)
    ).rowcount
    if is_open:
        connection.execute(update(uploads).where(uploads.c.id == upload.id).values(state="ended"))
    return bool(is_open)


def add_fields(connection: Connection, batch: StoredBatch, fields: Mapping[str, object]) -> None:
    """Keep what a sender said of a batch with one of its files."""
    connection.execute(
        update(upload_batches).where(upload_batches.c.id == batch.id).values(fields=dict(fields))
    )


def close_batch(
    connection: Connection,
    batch: StoredBatch,
    *,
    fields: Mapping[str, object],
    said_by: Mapping[str, object],
    now_us: int,
) -> bool:
    """Write down that a batch is whole, as its sender says; from now on it is taken whatever happens."""
    return bool(
        connection.execute(
            update(upload_batches)
            .where(upload_batches.c.id == batch.id, upload_batches.c.state.in_(("open", "closing")))
            .values(state="closing", fields=dict(fields), said_by=dict(said_by), changed_at=now_us)
        ).rowcount
    )


def answer_batch(
    connection: Connection,
    batch: StoredBatch,
    *,
    answer: Mapping[str, object] | None = None,
    problem: Mapping[str, object] | None = None,
    now_us: int,
) -> None:
    """Keep what the sender of a batch is told: an `answer`, or a `problem`."""
    connection.execute(
        update(upload_batches)
        .where(upload_batches.c.id == batch.id, upload_batches.c.state == "closing")
        .values(
            state="refused" if answer is None else "taken",
            answer=None if answer is None else dict(answer),
            problem=None if problem is None else dict(problem),
            changed_at=now_us,
        )
    )


def closing_batches(connection: Connection, *, scope: Scope, at_most: int) -> list[StoredBatch]:
    """Give the batches that were said to be whole and have not been taken, the oldest first."""
    query = (
        select(upload_batches)
        .where(within(scope, upload_batches.c.site_id), upload_batches.c.state == "closing")
        .order_by(upload_batches.c.changed_at)
        .limit(at_most)
    )
    return [_batch(row) for row in connection.execute(query)]


def expire(connection: Connection, *, now_us: int) -> int:
    """Give up the batches that nobody went on with in time; gives their number."""
    return connection.execute(
        update(upload_batches)
        .where(upload_batches.c.state == "open", upload_batches.c.expires_at <= now_us)
        .values(state="expired", changed_at=now_us)
    ).rowcount


def needed(connection: Connection, keys: list[str]) -> frozenset[str]:
    """Give which of some keys are those of files whose bytes are needed still."""
    query = (
        select(uploads.c.key)
        .join(upload_batches, upload_batches.c.id == uploads.c.batch_id)
        .where(
            uploads.c.key.in_(keys),
            uploads.c.state != "ended",
            upload_batches.c.state.in_(("open", "closing")),
        )
    )
    return frozenset(connection.execute(query).scalars())


def forget(connection: Connection, *, before_us: int) -> int:
    """Remove the rows of batches that ended before a time; gives their number."""
    old = and_(
        or_(*(upload_batches.c.state == state for state in ("taken", "refused", "expired"))),
        upload_batches.c.changed_at < before_us,
    )
    connection.execute(delete(uploads).where(uploads.c.batch_id.in_(select(upload_batches.c.id).where(old))))
    return connection.execute(delete(upload_batches).where(old)).rowcount


def _batch(row: Row[*tuple[object, ...]]) -> StoredBatch:
    return StoredBatch(
        id=row.id,
        site=row.site_id,
        owner=row.owner,
        key=row.key,
        is_single=row.is_single,
        take_key=row.take_key,
        fields=row.fields,
        state=row.state,
        said_by=row.said_by,
        answer=row.answer,
        problem=row.problem,
        expires_at_us=row.expires_at,
    )


def _upload(row: Row[*tuple[object, ...]], batch: StoredBatch) -> StoredUpload:
    return StoredUpload(
        id=row.id,
        key=row.key,
        name=row.name,
        metadata=row.metadata,
        n_bytes=row.n_bytes,
        n_received=row.n_received,
        said_sha256=row.said_sha256,
        sha256=row.sha256,
        state=row.state,
        batch=batch,
    )
