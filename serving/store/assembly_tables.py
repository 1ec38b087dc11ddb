"""The tables of assembly: which studies still arrive, what they should have, what happened to each."""

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
)

from serving.store.tables import Key, metadata, site_column, study_column

# One row a study of which more images may come: it waits for its score until `until`, which every image
# moves. A study without a row is complete. So the table is as small as what is under way.
arrivals = Table(
    "arrivals",
    metadata,
    Column("study_id", Key, ForeignKey("studies.id"), primary_key=True, autoincrement=False),
    site_column(),
    Column("since", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    Index("ix_arrivals_until", "until"),
)

# How many images somebody says that a study, one of its series or acquisitions, or a performed procedure step
# has; by UID, for it may be said before the first image comes. None: a step that is not at its end.
expected_images = Table(
    "expected_images",
    metadata,
    Column("site_id", String(64), ForeignKey("sites.id"), primary_key=True),
    Column("study_uid", Text, primary_key=True),
    Column("source", String(16), primary_key=True),
    Column("part", Text, primary_key=True),
    Column("n", Integer, nullable=True),
    Column("said_at", BigInteger, nullable=False),
    CheckConstraint("source IN ('study', 'series', 'acquisition', 'series-count', 'step')", name="source"),
)

# What happened to a study that those who look at it, or at the list, should hear of; ids rise in the order in
# which they were committed (:mod:`serving.store.events`).
study_events = Table(
    "study_events",
    metadata,
    Column("id", Key, primary_key=True),
    site_column(),
    study_column(),
    Column("kind", String(16), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("details", JSON, nullable=False),
    Index("ix_study_events_study_id_id", "study_id", "id"),
    Index("ix_study_events_site_id_id", "site_id", "id"),
)

# For how long a study of a modality is waited for after its last image; `*`: every site, every modality.
quiet_times = Table(
    "quiet_times",
    metadata,
    Column("site_id", String(64), primary_key=True),
    Column("modality", String(16), primary_key=True),
    Column("seconds", Integer, nullable=False),
    Column("set_by", Text, nullable=False),
    Column("set_at", BigInteger, nullable=False),
    CheckConstraint("seconds >= 0", name="seconds"),
)
