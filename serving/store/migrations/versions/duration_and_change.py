"""Makes the columns of how long a lesion or complaint is known, and what has changed of it."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Bring the tables from the revision before to this one."""
    op.add_column("studies", sa.Column("duration", sa.String(length=16), nullable=True))
    op.add_column("studies", sa.Column("changes", sa.Text(), nullable=True))
    op.add_column("studies", sa.Column("change_note", sa.Text(), nullable=True))
