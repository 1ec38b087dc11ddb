"""Makes the table of what could not be taken."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Bring the tables from the revision before to this one."""
    op.create_table(
        "quarantine",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("remedy", sa.Text(), nullable=False),
        sa.Column("door", sa.String(length=16), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("n_times", sa.Integer(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("n_files", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("n_bytes", sa.BigInteger(), nullable=False),
        sa.Column("object", sa.String(length=64), nullable=True),
        sa.Column("corrected", sa.String(length=64), nullable=True),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("patient", sa.Text(), nullable=False),
        sa.Column("study_uid", sa.Text(), nullable=False),
        sa.Column("series_uid", sa.Text(), nullable=False),
        sa.Column("sop_instance_uid", sa.Text(), nullable=False),
        sa.Column("sop_class_uid", sa.Text(), nullable=False),
        sa.Column("modality", sa.Text(), nullable=False),
        sa.Column("corrections", sa.JSON(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.Column("ending", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('held', 'taken', 'discarded')", name=op.f("ck_quarantine_state")),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_quarantine_site_id")),
        sa.ForeignKeyConstraint(["object"], ["objects.sha256"], name=op.f("fk_quarantine_object")),
        sa.ForeignKeyConstraint(["corrected"], ["objects.sha256"], name=op.f("fk_quarantine_corrected")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
        sa.UniqueConstraint("key", name=op.f("uq_quarantine_key")),
        sa.UniqueConstraint("site_id", "sha256", "reason", name=op.f("uq_quarantine_site_id_sha256_reason")),
    )
    op.create_index("ix_quarantine_site_id_state_id", "quarantine", ["site_id", "state", "id"])
    op.create_index("ix_quarantine_object", "quarantine", ["object"])
    op.create_index("ix_quarantine_corrected", "quarantine", ["corrected"])
