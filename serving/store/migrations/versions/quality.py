"""Makes the table of what was found amiss with the pictures of a study."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Bring the tables from the revision before to this one."""
    op.create_table(
        "quality_answers",
        sa.Column("study_id", _KEY, autoincrement=False, nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("findings", sa.JSON(), nullable=False),
        sa.Column("looked_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_quality_answers_site_id")),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_quality_answers_study_id")),
        sa.PrimaryKeyConstraint("study_id", name=op.f("pk_quality_answers")),
    )
