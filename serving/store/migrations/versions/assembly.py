"""Adds what is still arriving, what is expected, what happened to studies, and the index of priors."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _site(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f(f"fk_{table}_site_id"))


def _study(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f(f"fk_{table}_study_id"))


def upgrade() -> None:
    """Bring the tables from the revision before to this one."""
    op.create_table(
        "arrivals",
        sa.Column("study_id", _KEY, autoincrement=False, nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        _site("arrivals"),
        _study("arrivals"),
        sa.PrimaryKeyConstraint("study_id", name=op.f("pk_arrivals")),
    )
    op.create_index("ix_arrivals_until", "arrivals", ["until"], unique=False)
    op.create_table(
        "expected_images",
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("study_uid", sa.Text(), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=True),
        sa.Column("said_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "source IN ('study', 'series', 'acquisition', 'series-count', 'step')",
            name=op.f("ck_expected_images_source"),
        ),
        _site("expected_images"),
        sa.PrimaryKeyConstraint("site_id", "study_uid", "source", "part", name=op.f("pk_expected_images")),
    )
    op.create_table(
        "study_events",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("study_id", _KEY, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        _site("study_events"),
        _study("study_events"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_study_events")),
    )
    op.create_index("ix_study_events_study_id_id", "study_events", ["study_id", "id"], unique=False)
    op.create_index("ix_study_events_site_id_id", "study_events", ["site_id", "id"], unique=False)
    op.create_table(
        "quiet_times",
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("modality", sa.String(length=16), nullable=False),
        sa.Column("seconds", sa.Integer(), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("set_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("seconds >= 0", name=op.f("ck_quiet_times_seconds")),
        sa.PrimaryKeyConstraint("site_id", "modality", name=op.f("pk_quiet_times")),
    )
    op.create_index(
        "ix_study_listings_patient_newest",
        "study_listings",
        ["patient", "issuer", "date", "time", "study_id"],
        unique=False,
    )
