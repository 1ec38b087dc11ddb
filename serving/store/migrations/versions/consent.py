"""Makes the tables of what a study may be used for, and of what left the house."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Bring the tables from the revision before to this one."""
    op.create_table(
        "consents",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("study_id", _KEY, nullable=False),
        sa.Column("consent", sa.String(length=16), nullable=False),
        sa.Column("said_by", sa.Text(), nullable=False),
        sa.Column("said_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "consent IN ('training', 'care-only', 'withdrawn')", name=op.f("ck_consents_consent")
        ),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_consents_site_id")),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_consents_study_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consents")),
    )
    op.create_index("ix_consents_study_id_id", "consents", ["study_id", "id"])
    op.create_table(
        "exports",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("exported_by", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("key_fingerprint", sa.String(length=16), nullable=False),
        sa.Column("report_sha256", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exports")),
        sa.UniqueConstraint("key", name=op.f("uq_exports_key")),
    )
    op.create_table(
        "exported_studies",
        sa.Column("export_id", _KEY, autoincrement=False, nullable=False),
        sa.Column("study_id", _KEY, autoincrement=False, nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("n_files", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["export_id"], ["exports.id"], name=op.f("fk_exported_studies_export_id")),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_exported_studies_site_id")),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_exported_studies_study_id")),
        sa.PrimaryKeyConstraint("export_id", "study_id", name=op.f("pk_exported_studies")),
    )
    op.create_index("ix_exported_studies_study_id", "exported_studies", ["study_id"])
