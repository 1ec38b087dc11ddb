"""The tables of other proofs than a password: sign-ins by a provider that were begun, and certificates."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from serving.store.identity_tables import api_tokens, users
from serving.store.tables import Key, metadata

# Lives for ten minutes; `state_sha256` and `browser_sha256` are hashes, so that whoever reads the database
# cannot finish what another began.
pending_sign_ins = Table(
    "pending_sign_ins",
    metadata,
    Column("state_sha256", String(64), primary_key=True),
    Column("browser_sha256", String(64), nullable=False),
    Column("nonce", String(128), nullable=False),
    Column("verifier", String(128), nullable=False),
    Column("return_path", Text, nullable=False),
    Column("begun_at", BigInteger, nullable=False),
    Index("ix_pending_sign_ins_begun_at", "begun_at"),
)

# Whose a certificate is: a person's, or a program's that has the rights of a token. By `subject`, the
# distinguished name, a renewed certificate stays the same one; by `fingerprint` it is that one alone.
client_certificates = Table(
    "client_certificates",
    metadata,
    Column("id", Key, primary_key=True),
    Column("key", String(32), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("value", Text, nullable=False),
    Column("user_id", Key, ForeignKey(users.c.id), nullable=True),
    Column("token_id", Key, ForeignKey(api_tokens.c.id), nullable=True),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    UniqueConstraint("kind", "value"),
    CheckConstraint("kind IN ('subject', 'fingerprint')", name="kind"),
    CheckConstraint("(user_id IS NULL) <> (token_id IS NULL)", name="one_owner"),
)
