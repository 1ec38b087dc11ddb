"""Adds where the model and the reader of a study differ: what the next model is to learn."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Bring the tables from the revision before to this one."""
    op.create_table(
        "discrepancies",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("study_id", _KEY, nullable=False),
        sa.Column("read_id", _KEY, nullable=False),
        sa.Column("score_id", _KEY, nullable=False),
        sa.Column("model_name", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("class_key", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("found_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('false-alarm', 'missed', 'modified')", name=op.f("ck_discrepancies_kind")
        ),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_discrepancies_site_id")),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_discrepancies_study_id")),
        sa.ForeignKeyConstraint(["read_id"], ["reads.id"], name=op.f("fk_discrepancies_read_id")),
        sa.ForeignKeyConstraint(["score_id"], ["scores.id"], name=op.f("fk_discrepancies_score_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_discrepancies")),
        sa.UniqueConstraint(
            "study_id", "class_key", "kind", name=op.f("uq_discrepancies_study_id_class_key_kind")
        ),
    )
    op.create_index("ix_discrepancies_site_id_id", "discrepancies", ["site_id", "id"], unique=False)
    op.create_index(
        "ix_discrepancies_model_name_model_version_id",
        "discrepancies",
        ["model_name", "model_version", "id"],
        unique=False,
    )
