"""Adds the jobs of studies, the workers and the switch that pauses scoring."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Bring the tables from the revision before to this one."""
    op.add_column("studies", sa.Column("job", sa.Integer(), server_default="0", nullable=False))
    op.add_column("studies", sa.Column("worker", sa.String(length=64), nullable=True))
    op.add_column("studies", sa.Column("state_since", sa.BigInteger(), server_default="0", nullable=False))
    # Nothing better is known of studies that came before; those that wait get their job at the next start.
    op.execute("UPDATE studies SET state_since = received_at")
    op.drop_index("ix_studies_state", "studies")
    op.create_index("ix_studies_state_state_since", "studies", ["state", "state_since"], unique=False)
    op.create_table(
        "workers",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("process_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.Column("beat_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("models", sa.JSON(), nullable=False),
        sa.Column("n_processes", sa.Integer(), nullable=False),
        sa.CheckConstraint("state IN ('live', 'dead', 'stopped')", name=op.f("ck_workers_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.create_table(
        "scoring_switch",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("is_paused", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("set_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_scoring_switch_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scoring_switch")),
    )
