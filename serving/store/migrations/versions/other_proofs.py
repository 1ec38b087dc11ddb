"""Adds other proofs than a password: sign-ins by a provider that were begun, and clients' certificates."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Bring the tables from the revision before to this one."""
    op.create_table(
        "pending_sign_ins",
        sa.Column("state_sha256", sa.String(length=64), nullable=False),
        sa.Column("browser_sha256", sa.String(length=64), nullable=False),
        sa.Column("nonce", sa.String(length=128), nullable=False),
        sa.Column("verifier", sa.String(length=128), nullable=False),
        sa.Column("return_path", sa.Text(), nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("state_sha256", name=op.f("pk_pending_sign_ins")),
    )
    op.create_index("ix_pending_sign_ins_begun_at", "pending_sign_ins", ["begun_at"], unique=False)
    op.create_table(
        "client_certificates",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("user_id", _KEY, nullable=True),
        sa.Column("token_id", _KEY, nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "(user_id IS NULL) <> (token_id IS NULL)", name=op.f("ck_client_certificates_one_owner")
        ),
        sa.CheckConstraint("kind IN ('subject', 'fingerprint')", name=op.f("ck_client_certificates_kind")),
        sa.ForeignKeyConstraint(
            ["token_id"], ["api_tokens.id"], name=op.f("fk_client_certificates_token_id")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_client_certificates_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client_certificates")),
        sa.UniqueConstraint("key", name=op.f("uq_client_certificates_key")),
        sa.UniqueConstraint("kind", "value", name=op.f("uq_client_certificates_kind_value")),
    )
