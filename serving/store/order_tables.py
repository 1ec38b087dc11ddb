"""The tables of orders: what was asked for, who may ask by HL7, and which messages were answered already."""

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from serving.store.tables import Exact, Key, metadata, site_column

# An order is known by its accession number and its placer's number: several procedures may stand under one
# accession; `accession_system` and `placer_system` say whose numbers these are, where the sender did (FHIR).
# `patient_ids` is every identifier that it gave, as pairs of issuer and identifier; the first of them is
# `issuer` and `patient`. Which studies it is of is not written down: that is the accession number's and the
# patient's to say (:mod:`serving.store.orders`). `version` counts its changes.
orders = Table(
    "orders",
    metadata,
    Column("id", Key, primary_key=True),
    site_column(),
    Column("key", String(32), nullable=False, unique=True),
    Column("accession", Exact, nullable=False),
    Column("placer", Exact, nullable=False),
    Column("accession_system", Text, nullable=False),
    Column("placer_system", Text, nullable=False),
    Column("priority", String(16), nullable=False),
    Column("question", Text, nullable=False),
    Column("procedure", Text, nullable=False),
    Column("issuer", Text, nullable=False),
    Column("patient", Text, nullable=False),
    Column("patient_ids", JSON, nullable=False),
    Column("patient_name", Text, nullable=False),
    Column("birth_date", String(8), nullable=False),
    Column("sex", String(1), nullable=False),
    Column("state", String(16), nullable=False),
    Column("source", String(8), nullable=False),
    Column("sender", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    UniqueConstraint("site_id", "accession", "placer"),
    CheckConstraint("priority IN ('stat', 'urgent', 'routine')", name="priority"),
    CheckConstraint(
        "state IN ('draft', 'active', 'on-hold', 'revoked', 'completed', 'entered-in-error', 'unknown')",
        name="state",
    ),
    CheckConstraint("source IN ('hl7', 'fhir')", name="source"),
    Index("ix_orders_site_id_placer", "site_id", "placer"),
)

# Whose messages are taken, and for which site: by the network they come from and what MSH-3 and MSH-4 say;
# an empty name stands for any. `charset` is what its text is written in whatever MSH-18 says, `accession`
# where its accession number stands; empty: as usual.
hl7_senders = Table(
    "hl7_senders",
    metadata,
    Column("id", Key, primary_key=True),
    site_column(),
    Column("key", String(32), nullable=False, unique=True),
    Column("network", String(64), nullable=False),
    Column("application", Text, nullable=False),
    Column("facility", Text, nullable=False),
    Column("charset", Text, nullable=False),
    Column("accession", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    UniqueConstraint("network", "application", "facility"),
)

# Messages that were carried out, so that one that comes again is answered and changes nothing.
hl7_messages = Table(
    "hl7_messages",
    metadata,
    Column("id", Key, primary_key=True),
    site_column(),
    Column("sender", Text, nullable=False),
    Column("control_id", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("received_at", BigInteger, nullable=False),
    UniqueConstraint("site_id", "sender", "control_id"),
    Index("ix_hl7_messages_received_at", "received_at"),
)
