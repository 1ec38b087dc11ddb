"""The tables of reading: who holds a study, what was read, what was asked of others, what was sent out.

The rules that must hold whatever a program does stand here as constraints: nobody holds a study that another
holds, a signed read is never altered (triggers), nothing is sent out twice, and nothing is called sent that
its receiver has not confirmed.
"""

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

from serving.store.tables import Key, metadata, site_column, study_column

# A lease: who reads a study until when. `slot` 1 is the read, 2 the second, blinded one, 3 their
# adjudication. One that has expired is ended (`ending`) in the transaction that gives the study
# to somebody else.
claims = Table(
    "claims",
    metadata,
    Column("id", Key, primary_key=True),
    site_column(),
    study_column(),
    Column("slot", Integer, nullable=False),
    Column("reader", Text, nullable=False),
    Column("transaction_uid", Text, nullable=True),
    Column("claimed_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger, nullable=True),
    Column("ending", String(16), nullable=True),
    CheckConstraint("slot IN (1, 2, 3)", name="slot"),
    CheckConstraint("ending IN ('released', 'expired', 'taken-over', 'signed')", name="ending"),
    CheckConstraint("(ended_at IS NULL) = (ending IS NULL)", name="ended"),
    CheckConstraint("expires_at > claimed_at", name="lease"),
    Index("ix_claims_study_id", "study_id"),
)
Index(
    "uq_claims_held",
    claims.c.study_id,
    claims.c.slot,
    unique=True,
    sqlite_where=claims.c.ended_at.is_(None),
    postgresql_where=claims.c.ended_at.is_(None),
)
Index(
    "ix_claims_reader",
    claims.c.reader,
    claims.c.expires_at,
    sqlite_where=claims.c.ended_at.is_(None),
    postgresql_where=claims.c.ended_at.is_(None),
)

# What a reader decided. A draft is saved over and over (`version`; a save that comes twice has the same
# `save_key`); once `signed_at` is set, the row stays as it is, and another one `amends` it, with its reason.
# `score_id` is the score that the reader was shown, `revision` that of the study's images.
reads = Table(
    "reads",
    metadata,
    Column("id", Key, primary_key=True),
    site_column(),
    study_column(),
    Column("claim_id", Key, ForeignKey("claims.id"), nullable=True),
    Column("score_id", Key, ForeignKey("scores.id"), nullable=True),
    Column("revision", Integer, nullable=True),
    Column("slot", Integer, nullable=False),
    Column("reader", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("save_key", String(64), nullable=True),
    Column("begun_at", BigInteger, nullable=False),
    Column("saved_at", BigInteger, nullable=False),
    Column("signed_at", BigInteger, nullable=True),
    Column("amends", Key, ForeignKey("reads.id"), nullable=True, unique=True),
    Column("amendment_reason", Text, nullable=True),
    Column("diagnosis_scheme", String(32), nullable=True),
    Column("diagnosis_code", String(64), nullable=True),
    Column("diagnosis_text", Text, nullable=True),
    Column("action", String(32), nullable=True),
    Column("interval_days", Integer, nullable=True),
    Column("priority", String(16), nullable=True),
    Column("findings", JSON, nullable=False),
    Column("key_images", JSON, nullable=False),
    Column("note", Text, nullable=False),
    CheckConstraint("slot IN (1, 2, 3)", name="slot"),
    CheckConstraint("version > 0", name="version"),
    CheckConstraint("(amends IS NULL) = (amendment_reason IS NULL)", name="amendment"),
    CheckConstraint("signed_at IS NULL OR action IS NOT NULL", name="signed"),
    CheckConstraint(
        "action IN ('reassure', 'monitor', 'biopsy', 'refer-urgently', 'repeat-image')", name="action"
    ),
    CheckConstraint("priority IN ('stat', 'urgent', 'routine')", name="priority"),
    CheckConstraint("(diagnosis_code IS NULL) = (diagnosis_scheme IS NULL)", name="diagnosis"),
    Index("ix_reads_study_id", "study_id"),
)
Index(
    "uq_reads_draft",
    reads.c.study_id,
    reads.c.slot,
    reads.c.reader,
    unique=True,
    sqlite_where=reads.c.signed_at.is_(None),
    postgresql_where=reads.c.signed_at.is_(None),
)
Index(
    "uq_reads_first_signed",
    reads.c.study_id,
    reads.c.slot,
    unique=True,
    sqlite_where=reads.c.signed_at.is_not(None) & reads.c.amends.is_(None),
    postgresql_where=reads.c.signed_at.is_not(None) & reads.c.amends.is_(None),
)

# Where the model and the read that counts of a study differ; written anew when the read is amended. A missed
# finding for which the model has no class has the empty `class_key`.
discrepancies = Table(
    "discrepancies",
    metadata,
    Column("id", Key, primary_key=True),
    site_column(),
    study_column(),
    Column("read_id", Key, ForeignKey("reads.id"), nullable=False),
    Column("score_id", Key, ForeignKey("scores.id"), nullable=False),
    Column("model_name", Text, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("class_key", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("found_at", BigInteger, nullable=False),
    UniqueConstraint("study_id", "class_key", "kind"),
    CheckConstraint("kind IN ('false-alarm', 'missed', 'modified')", name="kind"),
    Index("ix_discrepancies_site_id_id", "site_id", "id"),
    Index("ix_discrepancies_model_name_model_version_id", "model_name", "model_version", "id"),
)

# A question to others and its way back; `site_id` asks, and `to_site_id`, where it is known, is asked.
referrals = Table(
    "referrals",
    metadata,
    Column("id", Key, primary_key=True),
    site_column(),
    study_column(),
    Column("key", String(32), nullable=False, unique=True),
    Column("to_site_id", String(64), ForeignKey("sites.id"), nullable=True),
    Column("kind", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("question", Text, nullable=False),
    Column("answer", Text, nullable=True),
    Column("asked_by", Text, nullable=False),
    Column("asked_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("escalated_at", BigInteger, nullable=True),
    Column("acknowledged_at", BigInteger, nullable=True),
    CheckConstraint("kind IN ('up', 'down', 'consultation')", name="kind"),
    CheckConstraint(
        "state IN ('asked', 'accepted', 'answered', 'arranged', 'seen', 'returned', 'withdrawn')",
        name="state",
    ),
    CheckConstraint("acknowledged_at IS NULL OR escalated_at IS NOT NULL", name="escalation"),
    Index("ix_referrals_study_id", "study_id"),
    Index("ix_referrals_site_id_state_due_at", "site_id", "state", "due_at"),
    Index("ix_referrals_to_site_id_state_due_at", "to_site_id", "state", "due_at"),
)

# One object to one receiver. `place` keeps the order of a study's objects at a receiver; `confirmation` is
# what the receiver said.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Key, primary_key=True),
    site_column(),
    study_column(),
    Column("kind", String(16), nullable=False),
    Column("receiver", String(128), nullable=False),
    Column("content_uid", String(128), nullable=False),
    Column("sha256", String(64), nullable=True),
    Column("place", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("n_attempts", Integer, nullable=False),
    Column("next_attempt_at", BigInteger, nullable=True),
    Column("created_at", BigInteger, nullable=False),
    Column("sent_at", BigInteger, nullable=True),
    Column("confirmation", Text, nullable=True),
    Column("problem", Text, nullable=True),
    UniqueConstraint("receiver", "content_uid"),
    UniqueConstraint("study_id", "receiver", "place"),
    CheckConstraint("kind IN ('sr', 'kos', 'sc', 'fhir', 'webhook')", name="kind"),
    CheckConstraint("state IN ('waiting', 'sending', 'sent', 'refused', 'dead')", name="state"),
    CheckConstraint(
        "(state = 'sent') = (sent_at IS NOT NULL) AND (sent_at IS NULL) = (confirmation IS NULL)",
        name="confirmed",
    ),
    CheckConstraint("(state = 'waiting') = (next_attempt_at IS NOT NULL)", name="waiting"),
)
Index(
    "ix_deliveries_waiting",
    deliveries.c.next_attempt_at,
    sqlite_where=deliveries.c.next_attempt_at.is_not(None),
    postgresql_where=deliveries.c.next_attempt_at.is_not(None),
)
