"""The tables: what the service keeps beside the bytes of the images.

Times are integers, microseconds since 1970 in UTC. Every row that belongs to a site carries the site's
key, and every query names it. The migrations make the same tables; a test compares the two.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    true,
)
from sqlalchemy.dialects import postgresql

# SQLite gives an automatic key to INTEGER only; elsewhere it is 64 bits wide.
Key = BigInteger().with_variant(Integer, "sqlite")

# Text that is compared byte by byte on every database, so that an index serves the beginning of a value.
Exact = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def site_column() -> Column[str]:
    """Give the column of the site that a row belongs to."""
    return Column("site_id", String(64), ForeignKey("sites.id"), nullable=False)


def study_column() -> Column[int]:
    """Give the column of the study that a row is about, one of several."""
    return Column("study_id", Key, ForeignKey("studies.id"), nullable=False)


sites = Table(
    "sites",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", Text, nullable=False),
)

# An identifier counts only together with its issuer (PS3.3 C.7.1.1).
patients = Table(
    "patients",
    metadata,
    Column("id", Key, primary_key=True),
    site_column(),
    Column("issuer", Text, nullable=False),
    Column("identifier", Text, nullable=False),
    Column("name", Text, nullable=False),
    UniqueConstraint("site_id", "issuer", "identifier"),
)

# `key` stands in addresses and cannot be guessed; `id` is the order of arrival. `revision` counts the
# times it was opened, by an image or a higher priority: a score belongs to one revision. `n_attempts`
# counts scorings begun, so that a study that kills its worker is not tried for ever. `job` numbers its jobs,
# of which the last alone counts (0: none yet), `worker` is who is at it (:mod:`serving.store.jobs`).
studies = Table(
    "studies",
    metadata,
    Column("id", Key, primary_key=True),
    site_column(),
    Column("key", String(32), nullable=False, unique=True),
    Column("uid", Text, nullable=False),
    Column("patient_id", Key, ForeignKey("patients.id"), nullable=True),
    Column("accession", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("modality", String(16), nullable=False),
    Column("performed_at", BigInteger, nullable=True),
    Column("received_at", BigInteger, nullable=False),
    Column("priority", String(16), nullable=False),
    Column("age_years", Float, nullable=True),
    Column("sex", String(1), nullable=True),
    Column("body_site", Text, nullable=True),
    Column("skin_type", Integer, nullable=True),
    Column("clinical_question", Text, nullable=True),
    Column("duration", String(16), nullable=True),
    Column("changes", Text, nullable=True),
    Column("change_note", Text, nullable=True),
    Column("state", String(16), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("n_attempts", Integer, nullable=False),
    Column("n_images", Integer, nullable=False),
    Column("reason", String(64), nullable=True),
    Column("problem", Text, nullable=True),
    Column("job", Integer, nullable=False, server_default="0"),
    Column("worker", String(64), nullable=True),
    Column("state_since", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("site_id", "uid"),
    CheckConstraint("state IN ('received', 'scoring', 'scored', 'abstained', 'failed')", name="state"),
    CheckConstraint("priority IN ('stat', 'urgent', 'routine')", name="priority"),
)
Index("ix_studies_state_state_since", studies.c.state, studies.c.state_since)

objects = Table(
    "objects",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("n_bytes", BigInteger, nullable=False),
    Column("stored_at", BigInteger, nullable=False),
)

instances = Table(
    "instances",
    metadata,
    Column("id", Key, primary_key=True),
    site_column(),
    study_column(),
    Column("sop_instance_uid", Text, nullable=False),
    Column("sop_class_uid", Text, nullable=True),
    Column("series_uid", Text, nullable=False),
    Column("modality", String(16), nullable=False),
    Column("n_frames", Integer, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("columns", Integer, nullable=False),
    Column("sha256", String(64), ForeignKey("objects.sha256"), nullable=False),
    Column("file_name", Text, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("number", Integer, nullable=True),
    UniqueConstraint("study_id", "sop_instance_uid"),
    Index("ix_instances_study_id_id", "study_id", "id"),
    Index("ix_instances_sop_instance_uid_site_id", "sop_instance_uid", "site_id"),
)

# What the images of a study belong to; one row a series of which there is an image.
series = Table(
    "series",
    metadata,
    Column("id", Key, primary_key=True),
    site_column(),
    study_column(),
    Column("uid", Text, nullable=False),
    Column("modality", String(16), nullable=False),
    Column("number", Integer, nullable=True),
    Column("description", Text, nullable=False, server_default=""),
    Column("body_part", Text, nullable=False, server_default=""),
    UniqueConstraint("study_id", "uid"),
)

# What a study is searched for by (PS3.18 10.6): a row each, in DICOM's own forms, so that one index serves a
# search and its order. Names are kept as they are compared, too: folded, each of a name's three forms.
study_listings = Table(
    "study_listings",
    metadata,
    Column("study_id", Key, ForeignKey("studies.id"), primary_key=True, autoincrement=False),
    site_column(),
    Column("uid", Exact, nullable=False),
    Column("patient", Exact, nullable=False),
    Column("issuer", Exact, nullable=False),
    Column("patient_name", Text, nullable=False),
    Column("name_alphabetic", Exact, nullable=False),
    Column("name_ideographic", Exact, nullable=False),
    Column("name_phonetic", Exact, nullable=False),
    Column("birth_date", Exact, nullable=False),
    Column("sex", Exact, nullable=False),
    Column("date", Exact, nullable=False),
    Column("time", Exact, nullable=False),
    Column("timezone", Text, nullable=False),
    Column("accession", Exact, nullable=False),
    Column("number", Exact, nullable=False),
    Column("referring_physician", Text, nullable=False),
    Column("description", Exact, nullable=False),
    Index("ix_study_listings_newest", "site_id", "date", "time", "study_id"),
    Index("ix_study_listings_newest_of_all", "date", "time", "study_id"),
    Index("ix_study_listings_uid", "uid", "site_id"),
    Index("ix_study_listings_patient", "patient", "site_id"),
    Index("ix_study_listings_patient_newest", "patient", "issuer", "date", "time", "study_id"),
    Index("ix_study_listings_accession", "accession", "site_id"),
    Index("ix_study_listings_name_alphabetic", "name_alphabetic", "site_id"),
    Index("ix_study_listings_name_ideographic", "name_ideographic", "site_id"),
    Index("ix_study_listings_name_phonetic", "name_phonetic", "site_id"),
)

# One score a study's revision and model version: nothing is scored twice.
scores = Table(
    "scores",
    metadata,
    Column("id", Key, primary_key=True),
    site_column(),
    study_column(),
    Column("revision", Integer, nullable=False),
    Column("scored_at", BigInteger, nullable=False),
    Column("model_name", Text, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("onnx_sha256", String(64), nullable=False),
    Column("preprocessing_sha256", String(64), nullable=False),
    Column("provider", Text, nullable=False),
    Column("operating_point", JSON, nullable=False),
    Column("probabilities", JSON, nullable=False),
    Column("novelty", Float, nullable=True),
    Column("quality", Float, nullable=True),
    Column("is_abstained", Boolean, nullable=False),
    Column("unread", JSON, nullable=False),
    UniqueConstraint("study_id", "revision", "model_name", "model_version"),
    Index("ix_scores_study_id_id", "study_id", "id"),
)

# `contour` is a list of polygons, each a list of [x, y] from 0 to 1 of the frame's width and height.
key_images = Table(
    "key_images",
    metadata,
    Column("score_id", Key, ForeignKey("scores.id"), primary_key=True),
    Column("rank", Integer, primary_key=True, autoincrement=False),
    Column("sop_instance_uid", Text, nullable=False),
    Column("frame_number", Integer, nullable=False),
    Column("evidence", Float, nullable=True),
    Column("contour", JSON, nullable=False),
)

# What one page of the worklist needs, beside the order itself: `due_at` never needs rewriting as time
# passes, and the index holds the waiting studies alone, so a page costs the same at any length. A study that
# was read waits again from `reopened_at` on, when another image of it came.
queue_entries = Table(
    "queue_entries",
    metadata,
    Column("study_id", Key, ForeignKey("studies.id"), primary_key=True, autoincrement=False),
    site_column(),
    Column("is_waiting", Boolean, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("tier", String(16), nullable=False),
    Column("reason_en", Text, nullable=False),
    Column("reason_zh", Text, nullable=False),
    Column("policy_version", Text, nullable=False),
    Column("reopened_at", BigInteger, nullable=True),
)
Index(
    "ix_queue_entries_waiting",
    queue_entries.c.site_id,
    queue_entries.c.due_at,
    queue_entries.c.study_id,
    sqlite_where=queue_entries.c.is_waiting == true(),
    postgresql_where=queue_entries.c.is_waiting == true(),
)

# The same over all sites, for readers of the network.
Index(
    "ix_queue_entries_waiting_network",
    queue_entries.c.due_at,
    queue_entries.c.study_id,
    sqlite_where=queue_entries.c.is_waiting == true(),
    postgresql_where=queue_entries.c.is_waiting == true(),
)

# What was said of the use of a study beyond its patient's care. The last one counts; none is altered.
consents = Table(
    "consents",
    metadata,
    Column("id", Key, primary_key=True),
    site_column(),
    study_column(),
    Column("consent", String(16), nullable=False),
    Column("said_by", Text, nullable=False),
    Column("said_at", BigInteger, nullable=False),
    CheckConstraint("consent IN ('training', 'care-only', 'withdrawn')", name="consent"),
    Index("ix_consents_study_id_id", "study_id", "id"),
)

# What was found amiss with the images of a study when they came in: a list of findings.
quality_answers = Table(
    "quality_answers",
    metadata,
    Column("study_id", Key, ForeignKey("studies.id"), primary_key=True, autoincrement=False),
    site_column(),
    Column("findings", JSON, nullable=False),
    Column("looked_at", BigInteger, nullable=False),
)

# What left the house. An export may hold studies of several sites.
exports = Table(
    "exports",
    metadata,
    Column("id", Key, primary_key=True),
    Column("key", String(32), nullable=False, unique=True),
    Column("purpose", String(16), nullable=False),
    Column("exported_by", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger, nullable=True),
    Column("key_fingerprint", String(16), nullable=False),
    Column("report_sha256", String(64), nullable=True),
)
exported_studies = Table(
    "exported_studies",
    metadata,
    Column("export_id", Key, ForeignKey("exports.id"), primary_key=True, autoincrement=False),
    Column("study_id", Key, ForeignKey("studies.id"), primary_key=True, autoincrement=False),
    site_column(),
    Column("n_files", Integer, nullable=True),
    Index("ix_exported_studies_study_id", "study_id"),
)

# The answer to a request that carried an Idempotency-Key, given again when the request comes again.
idempotency = Table(
    "idempotency",
    metadata,
    Column("site_id", String(64), ForeignKey("sites.id"), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("request_sha256", String(64), nullable=False),
    Column("answer", JSON, nullable=False),
    Column("answered_at", BigInteger, nullable=False),
)

# The trail of who saw and did what; rows are appended, never altered (triggers), and chained by their hashes
# (:mod:`serving.store.audit_chain`). It refers to no other table: it outlives what it speaks of. The order
# of the columns is that of the row's fields.
audit = Table(
    "audit",
    metadata,
    Column("seq", Key, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("is_clock_back", Integer, nullable=False),
    Column("site_id", String(64), nullable=False),
    Column("actor_kind", String(16), nullable=False),
    Column("actor", Text, nullable=False),
    Column("verified_identity", Text, nullable=True),
    Column("address", Text, nullable=True),
    Column("request_id", String(64), nullable=True),
    Column("action", String(32), nullable=False),
    Column("result", String(16), nullable=False),
    Column("study_uid", Text, nullable=True),
    Column("model", Text, nullable=True),
    Column("model_sha256", String(64), nullable=True),
    Column("policy_version", Text, nullable=True),
    Column("details", Text, nullable=False),
    Column("before", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index("ix_audit_study_uid", "study_uid"),
)


def _signed_link(name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("seq", Key, primary_key=True, autoincrement=False),
        Column("hash", String(64), nullable=False),
        Column("at", BigInteger, nullable=False),
        Column("signature", String(128), nullable=False),
        Column("key", String(64), nullable=False),
    )


# Signed from time to time: row `seq` had this hash. `key` is the SHA-256 of the public key.
audit_checkpoints = _signed_link("audit_checkpoints")

# Signed before rows up to `seq` are removed: the rows that are kept follow this hash.
audit_purges = _signed_link("audit_purges")
