"""Adds the audit trail, its checkpoints and purges, and the triggers that refuse to alter them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# The next number: one behind the last row or, if every row was purged, behind the last purge. An
# INSERT OR REPLACE would else remove a row without any trigger for removals.
_NEXT = "COALESCE((SELECT max(seq) FROM audit), (SELECT max(seq) FROM audit_purges), 0) + 1"
_PURGED = "COALESCE((SELECT max(seq) FROM audit_purges), 0)"


def upgrade() -> None:
    """Bring the tables from the revision before to this one."""
    op.create_table(
        "audit",
        sa.Column("seq", _KEY, autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("is_clock_back", sa.Integer(), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("actor_kind", sa.String(length=16), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("verified_identity", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("result", sa.String(length=16), nullable=False),
        sa.Column("study_uid", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("model_sha256", sa.String(length=64), nullable=True),
        sa.Column("policy_version", sa.Text(), nullable=True),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("before", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit")),
    )
    op.create_index("ix_audit_study_uid", "audit", ["study_uid"], unique=False)
    for name in ("audit_checkpoints", "audit_purges"):
        op.create_table(
            name,
            sa.Column("seq", _KEY, autoincrement=False, nullable=False),
            sa.Column("hash", sa.String(length=64), nullable=False),
            sa.Column("at", sa.BigInteger(), nullable=False),
            sa.Column("signature", sa.String(length=128), nullable=False),
            sa.Column("key", sa.String(length=64), nullable=False),
            sa.PrimaryKeyConstraint("seq", name=op.f(f"pk_{name}")),
        )
    statements = _for_postgresql() if op.get_context().dialect.name == "postgresql" else _for_sqlite()
    for statement in statements:
        op.execute(statement)


def _for_sqlite() -> list[str]:
    def trigger(table: str, verb: str, when: str, problem: str) -> str:
        return (
            f"CREATE TRIGGER {table}_{verb.lower()} BEFORE {verb} ON {table} {when} "
            f"BEGIN SELECT RAISE(ABORT, '{problem}'); END"
        )

    fixed = [
        trigger(table, verb, when, f"rows of {table} are never altered or removed")
        for table, verb, when in (
            ("audit", "UPDATE", ""),
            ("audit", "DELETE", f"WHEN OLD.seq > {_PURGED}"),
            ("audit_checkpoints", "UPDATE", ""),
            ("audit_checkpoints", "DELETE", ""),
            ("audit_purges", "UPDATE", ""),
            ("audit_purges", "DELETE", ""),
        )
    ]
    appended = trigger("audit", "INSERT", f"WHEN NEW.seq <> {_NEXT}", "rows of audit are appended alone")
    replaced = [
        trigger(
            table,
            "INSERT",
            f"WHEN EXISTS (SELECT 1 FROM {table} WHERE seq >= NEW.seq)",  # noqa: S608 - our own names
            f"rows of {table} are appended alone",
        )
        for table in ("audit_checkpoints", "audit_purges")
    ]
    return [*fixed, appended, *replaced]


def _for_postgresql() -> list[str]:
    def function(name: str, condition: str, problem: str, gives: str) -> str:
        return (
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF {condition} THEN RAISE EXCEPTION '{problem}'; END IF; RETURN {gives}; END $$"
        )

    def trigger(table: str, verb: str, does: str) -> str:
        each = "STATEMENT" if verb == "TRUNCATE" else "ROW"
        return (
            f"CREATE TRIGGER {table}_{verb.lower()} BEFORE {verb} ON {table} "
            f"FOR EACH {each} EXECUTE FUNCTION {does}()"
        )

    fixed = ("audit", "audit_checkpoints", "audit_purges")
    return [
        function("audit_refuse", "TRUE", "rows of the audit trail are never altered or removed", "NULL"),
        function("audit_keep", f"OLD.seq > {_PURGED}", "rows of audit are removed by a purge alone", "OLD"),
        function("audit_append", f"NEW.seq <> {_NEXT}", "rows of audit are appended alone", "NEW"),
        *(trigger(table, verb, "audit_refuse") for table in fixed for verb in ("UPDATE", "TRUNCATE")),
        *(trigger(table, "DELETE", "audit_refuse") for table in fixed[1:]),
        trigger("audit", "DELETE", "audit_keep"),
        trigger("audit", "INSERT", "audit_append"),
    ]
