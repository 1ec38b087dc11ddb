"""Keeps what an upload brought and could not be taken, in the transaction that answers its sender.

The bytes are put into the object store before, as those of images are; the rows refer to them, so the
collection leaves them alone. A site's quota bounds both: over it a refusal is listed without its bytes, and
the oldest of such listings make room for new ones, so that no sender can fill a disk with what is refused.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import ImageError
from serving.quarantine.header import header_facts
from serving.store.objects import StoredObject, hash_file
from serving.store.quarantine import (
    Arrived,
    Entry,
    HeaderFacts,
    RefusedFile,
    Usage,
    add_refusal,
    drop_oldest_listed,
    known_refusals,
    note_again,
    turn_of,
    usage_of,
)
from serving.store.receipt import write_objects
from serving.store.turns import take_turns_at

if TYPE_CHECKING:  # the database has one home, the store
    from sqlalchemy import Connection

GIBIBYTE = 1 << 30


@dataclass(frozen=True, slots=True)
class Quota:
    """How much of a site's refused files is kept; so many again, times ten, are listed without bytes."""

    max_bytes: int = 10 * GIBIBYTE
    max_files: int = 10_000

    @property
    def max_listed(self) -> int:
        """How many refusals are listed whose bytes are not kept."""
        return 10 * self.max_files

    def has_room(self, usage: Usage, n_bytes: int) -> bool:
        """Whether another file of so many bytes may be kept."""
        return usage.n_kept < self.max_files and usage.n_bytes + n_bytes <= self.max_bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """A file on this machine that was refused; `n_files` of it are concerned, more than one of an archive."""

    path: Path
    file_name: str
    error: ImageError
    hashed: StoredObject
    header: HeaderFacts
    n_files: int = 1

    @classmethod
    def of(cls, path: Path, file_name: str, error: ImageError, *, n_files: int = 1) -> "Refusal":
        """Read what can be read of a file that lies where it came to lie; what is no file has no bytes."""
        hashed = hash_file(path) if path.is_file() else StoredObject(hashlib.sha256().hexdigest(), 0)
        return cls(path, file_name, error, hashed, header_facts(path), n_files)

    def as_written(self) -> RefusedFile:
        """Give what is written down of it."""
        return RefusedFile(
            self.file_name,
            self.hashed.sha256,
            self.hashed.n_bytes,
            self.error.reason,
            self.error.problem,
            self.error.remedy,
            self.n_files,
            self.header,
        )


@dataclass(frozen=True, slots=True)
class Held:
    """Under which key a refusal is listed, and whether its bytes are kept."""

    key: str
    is_kept: bool


def with_room(
    connection: "Connection", refusals: Sequence[Refusal], quota: Quota, *, site: str
) -> list[Refusal]:
    """Give those of some refusals whose bytes the quota has room for; nothing of an empty file is kept."""
    usage = usage_of(connection, site=site)
    chosen: list[Refusal] = []
    for refusal in refusals:
        n_bytes = refusal.hashed.n_bytes
        if n_bytes and quota.has_room(usage, n_bytes):
            usage = Usage(usage.n_bytes + n_bytes, usage.n_kept + 1, usage.n_listed)
            chosen.append(refusal)
    return chosen


def keep(
    connection: "Connection",
    refusals: Sequence[Refusal],
    stored: Mapping[Path, StoredObject],
    quota: Quota,
    arrived: Arrived,
    *,
    site: str,
) -> dict[Path, Held]:
    """Write refusals down; the same bytes refused for the same reason again are counted, not repeated.

    Parameters
    ----------
    connection : Connection
        That of the transaction that answers the sender. It holds the site's studies by now, and takes
        nothing but the end of the trail after this.
    refusals : sequence of Refusal
        In the order in which they were met.
    stored : mapping of Path to StoredObject
        Those whose bytes are durable in the store.
    quota : Quota
        The site's.
    arrived : Arrived
        Door, sender and time.
    site : str
        Whose they are.
    """
    if not refusals:
        return {}
    objects = [stored[one.path] for one in refusals if one.path in stored]
    write_objects(connection, {one.sha256: one.n_bytes for one in objects}, now_us=arrived.at_us)
    take_turns_at(connection, {turn_of(site)})
    usage = usage_of(connection, site=site)
    known = known_refusals(connection, sorted({one.hashed.sha256 for one in refusals}), site=site)
    held: dict[Path, Held] = {}
    written: dict[tuple[str, str], Held] = {}
    again: list[tuple[Entry, str | None]] = []
    n_listed = usage.n_listed
    for refusal in refusals:
        file = refusal.as_written()
        identity = file.sha256, file.reason
        if identity in written:  # twice in one upload
            held[refusal.path] = written[identity]
            continue
        before = known.get(identity)
        was_kept = before is not None and before.object_sha256 is not None
        may_be_kept = refusal.path in stored and (was_kept or quota.has_room(usage, file.n_bytes))
        object_sha256 = file.sha256 if may_be_kept else None
        if may_be_kept and not was_kept:
            usage = Usage(usage.n_bytes + file.n_bytes, usage.n_kept + 1, usage.n_listed)
        if before is None:
            key = add_refusal(connection, file, arrived, site=site, object_sha256=object_sha256)
            n_listed += not may_be_kept
        else:
            again.append((before, object_sha256))
            key = before.key
        held[refusal.path] = written[identity] = Held(key, was_kept or may_be_kept)
    for before, object_sha256 in sorted(again, key=lambda one: one[0].id):  # as all who hold several rows
        note_again(connection, before, site=site, at_us=arrived.at_us, object_sha256=object_sha256)
    if n_listed > quota.max_listed:
        drop_oldest_listed(connection, site=site, n_rows=n_listed - quota.max_listed)
    return held
