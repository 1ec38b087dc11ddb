"""The table of what could not be taken: each refusal with its reason, and where its bytes are."""

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from serving.store.tables import Key, metadata, site_column

# One row for some bytes that a site refused for one reason; the same again counts `n_times` up. `object` is
# where the bytes are, NULL if none are kept; `corrected` is the file that was made of them and taken in.
# Below are what the header says, as far as it can be read; `corrections` are those that the next try makes.
quarantine = Table(
    "quarantine",
    metadata,
    Column("id", Key, primary_key=True),
    site_column(),
    Column("key", String(32), nullable=False, unique=True),
    Column("state", String(16), nullable=False),
    Column("reason", String(64), nullable=False),
    Column("problem", Text, nullable=False),
    Column("remedy", Text, nullable=False),
    Column("door", String(16), nullable=False),
    Column("sender", Text, nullable=False),
    Column("address", Text, nullable=True),
    Column("received_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("n_times", Integer, nullable=False),
    Column("file_name", Text, nullable=False),
    Column("n_files", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("n_bytes", BigInteger, nullable=False),
    Column("object", String(64), ForeignKey("objects.sha256"), nullable=True),
    Column("corrected", String(64), ForeignKey("objects.sha256"), nullable=True),
    Column("issuer", Text, nullable=False),
    Column("patient", Text, nullable=False),
    Column("study_uid", Text, nullable=False),
    Column("series_uid", Text, nullable=False),
    Column("sop_instance_uid", Text, nullable=False),
    Column("sop_class_uid", Text, nullable=False),
    Column("modality", Text, nullable=False),
    Column("corrections", JSON, nullable=False),
    Column("ended_at", BigInteger, nullable=True),
    Column("ended_by", Text, nullable=True),
    Column("ending", Text, nullable=True),
    UniqueConstraint("site_id", "sha256", "reason"),
    CheckConstraint("state IN ('held', 'taken', 'discarded')", name="state"),
    Index("ix_quarantine_site_id_state_id", "site_id", "state", "id"),
    Index("ix_quarantine_object", "object"),
    Index("ix_quarantine_corrected", "corrected"),
)
