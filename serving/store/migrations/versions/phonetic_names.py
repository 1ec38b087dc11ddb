"""Adds an index of the third form of a name: without it, a search by any form reads every study."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Bring the tables from the revision before to this one."""
    op.create_index(
        "ix_study_listings_name_phonetic", "study_listings", ["name_phonetic", "site_id"], unique=False
    )
