"""Adds what reading needs: the revision that a read is of, studies that wait again, proofs given anew."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Bring the tables from the revision before to this one."""
    op.add_column("reads", sa.Column("revision", sa.Integer(), nullable=True))
    op.add_column("queue_entries", sa.Column("reopened_at", sa.BigInteger(), nullable=True))
    op.add_column("sessions", sa.Column("proved_at", sa.BigInteger(), nullable=True))
