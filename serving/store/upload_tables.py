"""The tables of uploads on their way in: what has come of each file, and which files belong together.

Their bytes lie in files of this machine until they are taken (:mod:`serving.uploads.kept`); `n_received` is
how many of them are on the disk for certain, whatever the file's length says.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from serving.store.tables import Key, metadata, site_column

# Files that their sender calls one thing. `key` is the sender's own word and its `owner`'s alone; a file
# without one is a batch by itself (`is_single`). `take_key` is the Idempotency-Key under which the batch is
# taken, so that it is taken once however often that is tried; `said_by` is who said that it is whole.
upload_batches = Table(
    "upload_batches",
    metadata,
    Column("id", Key, primary_key=True),
    site_column(),
    Column("owner", Text, nullable=False),
    Column("key", String(128), nullable=False),
    Column("is_single", Boolean, nullable=False),
    Column("take_key", String(32), nullable=False),
    Column("fields", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("said_by", JSON(none_as_null=True), nullable=True),
    Column("answer", JSON(none_as_null=True), nullable=True),
    Column("problem", JSON(none_as_null=True), nullable=True),
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    UniqueConstraint("site_id", "owner", "key"),
    CheckConstraint("state IN ('open', 'closing', 'taken', 'refused', 'expired')", name="state"),
    CheckConstraint("(state = 'taken') = (answer IS NOT NULL)", name="answer"),
    CheckConstraint("(state = 'refused') = (problem IS NOT NULL)", name="problem"),
    Index("ix_upload_batches_state_expires_at", "state", "expires_at"),
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", Key, primary_key=True),
    site_column(),
    Column("batch_id", Key, ForeignKey("upload_batches.id"), nullable=False),
    Column("key", String(32), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("n_bytes", BigInteger, nullable=False),
    Column("n_received", BigInteger, nullable=False),
    Column("said_sha256", String(64), nullable=True),
    Column("sha256", String(64), nullable=True),
    Column("state", String(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    CheckConstraint("state IN ('open', 'whole', 'ended')", name="state"),
    CheckConstraint("n_received >= 0 AND n_received <= n_bytes", name="received"),
    CheckConstraint("state = 'open' OR state = 'ended' OR n_received = n_bytes", name="whole"),
    Index("ix_uploads_batch_id_id", "batch_id", "id"),
)
