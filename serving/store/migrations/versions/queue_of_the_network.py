"""Adds the indexes for the queue of the whole network, and for the newest score of a study."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Bring the tables from the revision before to this one."""
    op.create_index(
        "ix_queue_entries_waiting_network",
        "queue_entries",
        ["due_at", "study_id"],
        unique=False,
        sqlite_where=sa.text("is_waiting = 1"),
        postgresql_where=sa.text("is_waiting = true"),
    )
    op.create_index("ix_scores_study_id_id", "scores", ["study_id", "id"], unique=False)
