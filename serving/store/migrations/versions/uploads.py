"""Makes the tables of uploads on their way in."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Bring the tables from the revision before to this one."""
    op.create_table(
        "upload_batches",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("is_single", sa.Boolean(), nullable=False),
        sa.Column("take_key", sa.String(length=32), nullable=False),
        sa.Column("fields", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("said_by", sa.JSON(), nullable=True),
        sa.Column("answer", sa.JSON(), nullable=True),
        sa.Column("problem", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "state IN ('open', 'closing', 'taken', 'refused', 'expired')",
            name=op.f("ck_upload_batches_state"),
        ),
        sa.CheckConstraint("(state = 'taken') = (answer IS NOT NULL)", name=op.f("ck_upload_batches_answer")),
        sa.CheckConstraint(
            "(state = 'refused') = (problem IS NOT NULL)", name=op.f("ck_upload_batches_problem")
        ),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_upload_batches_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upload_batches")),
        sa.UniqueConstraint("site_id", "owner", "key", name=op.f("uq_upload_batches_site_id_owner_key")),
    )
    op.create_index("ix_upload_batches_state_expires_at", "upload_batches", ["state", "expires_at"])
    op.create_table(
        "uploads",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("batch_id", _KEY, nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("n_bytes", sa.BigInteger(), nullable=False),
        sa.Column("n_received", sa.BigInteger(), nullable=False),
        sa.Column("said_sha256", sa.String(length=64), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("state IN ('open', 'whole', 'ended')", name=op.f("ck_uploads_state")),
        sa.CheckConstraint("n_received >= 0 AND n_received <= n_bytes", name=op.f("ck_uploads_received")),
        sa.CheckConstraint(
            "state = 'open' OR state = 'ended' OR n_received = n_bytes", name=op.f("ck_uploads_whole")
        ),
        sa.ForeignKeyConstraint(["batch_id"], ["upload_batches.id"], name=op.f("fk_uploads_batch_id")),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_uploads_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
        sa.UniqueConstraint("key", name=op.f("uq_uploads_key")),
    )
    op.create_index("ix_uploads_batch_id_id", "uploads", ["batch_id", "id"])
