"""The tables of who may sign in and as what: people, their grants, sessions, links, tokens, failed tries.

What proves an identity is never kept as it is sent: sessions, links, tokens, recovery codes and known
devices are kept as SHA-256 of at least 80 random bits, passwords as argon2id, the secret of a second factor
encrypted under a key that lies outside the database.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    String,
    Table,
    Text,
)

from serving.store.tables import Key, metadata, site_column

# `login_name` is kept in the one form in which names are compared (serving.identity.login_names).
# `licence_*` is what somebody checked who may; `sees_every_site` stands for the whole network.
users = Table(
    "users",
    metadata,
    Column("id", Key, primary_key=True),
    Column("key", String(32), nullable=False, unique=True),
    Column("login_name", String(64), nullable=False, unique=True),
    Column("name_zh", Text, nullable=False),
    Column("name_en", Text, nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("home_site_id", String(64), ForeignKey("sites.id"), nullable=True),
    Column("sees_every_site", Boolean, nullable=False),
    Column("licence_number", Text, nullable=True),
    Column("licence_issuer", Text, nullable=True),
    Column("licence_expires_at", BigInteger, nullable=True),
    Column("licence_verified_at", BigInteger, nullable=True),
    Column("licence_verified_by", Text, nullable=True),
    Column("password_hash", Text, nullable=True),
    Column("password_changed_at", BigInteger, nullable=True),
    Column("created_at", BigInteger, nullable=False),
)

user_roles = Table(
    "user_roles",
    metadata,
    Column("user_id", Key, ForeignKey("users.id"), primary_key=True, autoincrement=False),
    Column("role", String(16), primary_key=True),
)

user_specialties = Table(
    "user_specialties",
    metadata,
    Column("user_id", Key, ForeignKey("users.id"), primary_key=True, autoincrement=False),
    Column("specialty", String(32), primary_key=True),
)

user_sites = Table(
    "user_sites",
    metadata,
    Column("user_id", Key, ForeignKey("users.id"), primary_key=True, autoincrement=False),
    Column("site_id", String(64), ForeignKey("sites.id"), primary_key=True),
)

# `stage` says how far somebody has come: the password alone opens nothing if a second factor is due.
# `proved_at` is when they last proved it again, before they signed something for example.
sessions = Table(
    "sessions",
    metadata,
    Column("id", Key, primary_key=True),
    Column("key", String(32), nullable=False, unique=True),
    Column("token_sha256", String(64), nullable=False, unique=True),
    Column("user_id", Key, ForeignKey("users.id"), nullable=False),
    Column("stage", String(16), nullable=False),
    Column("signed_in_by", String(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("last_seen_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger, nullable=True),
    Column("address", Text, nullable=True),
    Column("browser", Text, nullable=True),
    Column("proved_at", BigInteger, nullable=True),
    CheckConstraint("stage IN ('second-factor', 'enrolment', 'open')", name="stage"),
    Index("ix_sessions_user_id", "user_id"),
)

# `purpose`: the first user's set-up has no user yet; an invitation and a reset belong to one.
one_time_links = Table(
    "one_time_links",
    metadata,
    Column("id", Key, primary_key=True),
    Column("token_sha256", String(64), nullable=False, unique=True),
    Column("purpose", String(16), nullable=False),
    Column("user_id", Key, ForeignKey("users.id"), nullable=True),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger, nullable=True),
    CheckConstraint("purpose IN ('set-up', 'password')", name="purpose"),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", Key, primary_key=True),
    Column("key", String(32), nullable=False, unique=True),
    Column("token_sha256", String(64), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    site_column(),
    Column("scopes", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("last_used_at", BigInteger, nullable=True),
    Column("revoked_at", BigInteger, nullable=True),
    Index("ix_api_tokens_site_id", "site_id"),
)

external_identities = Table(
    "external_identities",
    metadata,
    Column("issuer", String(512), primary_key=True),
    Column("subject", String(255), primary_key=True),
    Column("user_id", Key, ForeignKey("users.id"), nullable=False),
    Column("linked_at", BigInteger, nullable=False),
    Column("last_seen_at", BigInteger, nullable=True),
    Index("ix_external_identities_user_id", "user_id"),
)

# Failed tries by what they were tried on: an account, an address, both together, a known device.
sign_in_failures = Table(
    "sign_in_failures",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("subject", String(64), primary_key=True),
    Column("n_failures", BigInteger, nullable=False),
    Column("last_failed_at", BigInteger, nullable=False),
    Column("blocked_until", BigInteger, nullable=False),
    Index("ix_sign_in_failures_last_failed_at", "last_failed_at"),
)

# A browser that somebody has signed in with: a flood of wrong passwords from elsewhere does not keep it out.
known_devices = Table(
    "known_devices",
    metadata,
    Column("token_sha256", String(64), primary_key=True),
    Column("user_id", Key, ForeignKey("users.id"), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("last_used_at", BigInteger, nullable=False),
    Index("ix_known_devices_user_id", "user_id"),
)

# `last_step` is the time step of the last code that was taken (RFC 6238, 5.2): none is taken twice.
second_factors = Table(
    "second_factors",
    metadata,
    Column("user_id", Key, ForeignKey("users.id"), primary_key=True, autoincrement=False),
    Column("sealed_secret", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("confirmed_at", BigInteger, nullable=True),
    Column("last_step", BigInteger, nullable=False),
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("code_sha256", String(64), primary_key=True),
    Column("user_id", Key, ForeignKey("users.id"), nullable=False),
    Column("used_at", BigInteger, nullable=True),
    Index("ix_recovery_codes_user_id", "user_id"),
)
