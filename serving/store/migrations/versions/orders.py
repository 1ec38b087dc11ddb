"""Makes the tables of orders, of who may send them by HL7, and of the messages that were carried out."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0018"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_EXACT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    """Bring the tables from the revision before to this one."""
    op.create_table(
        "orders",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("accession", _EXACT, nullable=False),
        sa.Column("placer", _EXACT, nullable=False),
        sa.Column("accession_system", sa.Text(), nullable=False),
        sa.Column("placer_system", sa.Text(), nullable=False),
        sa.Column("priority", sa.String(length=16), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("procedure", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("patient", sa.Text(), nullable=False),
        sa.Column("patient_ids", sa.JSON(), nullable=False),
        sa.Column("patient_name", sa.Text(), nullable=False),
        sa.Column("birth_date", sa.String(length=8), nullable=False),
        sa.Column("sex", sa.String(length=1), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("source", sa.String(length=8), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("priority IN ('stat', 'urgent', 'routine')", name=op.f("ck_orders_priority")),
        sa.CheckConstraint("source IN ('hl7', 'fhir')", name=op.f("ck_orders_source")),
        sa.CheckConstraint(
            "state IN ('draft', 'active', 'on-hold', 'revoked', 'completed', 'entered-in-error', 'unknown')",
            name=op.f("ck_orders_state"),
        ),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_orders_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
        sa.UniqueConstraint("key", name=op.f("uq_orders_key")),
        sa.UniqueConstraint(
            "site_id", "accession", "placer", name=op.f("uq_orders_site_id_accession_placer")
        ),
    )
    op.create_index("ix_orders_site_id_placer", "orders", ["site_id", "placer"], unique=False)
    op.create_table(
        "hl7_senders",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("network", sa.String(length=64), nullable=False),
        sa.Column("application", sa.Text(), nullable=False),
        sa.Column("facility", sa.Text(), nullable=False),
        sa.Column("charset", sa.Text(), nullable=False),
        sa.Column("accession", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_hl7_senders_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hl7_senders")),
        sa.UniqueConstraint("key", name=op.f("uq_hl7_senders_key")),
        sa.UniqueConstraint(
            "network", "application", "facility", name=op.f("uq_hl7_senders_network_application_facility")
        ),
    )
    op.create_table(
        "hl7_messages",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("control_id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_hl7_messages_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hl7_messages")),
        sa.UniqueConstraint(
            "site_id", "sender", "control_id", name=op.f("uq_hl7_messages_site_id_sender_control_id")
        ),
    )
    op.create_index("ix_hl7_messages_received_at", "hl7_messages", ["received_at"], unique=False)
