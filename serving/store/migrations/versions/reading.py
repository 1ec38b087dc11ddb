"""Adds the series of studies, filled from their images, and the tables of reading.

Claims, reads, referrals and deliveries come with the rules that no program may break; a signed read is kept
as it is by triggers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_KEPT = "a signed read is never altered or removed"


def upgrade() -> None:
    """Bring the tables from the revision before to this one."""
    _add_series()
    _add_tables_of_reading()
    for statement in _guards(op.get_context().dialect.name):
        op.execute(statement)


def _add_series() -> None:
    op.create_table(
        "series",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("study_id", _KEY, nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("modality", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_series_site_id")),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_series_study_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_series")),
        sa.UniqueConstraint("study_id", "uid", name=op.f("uq_series_study_id_uid")),
    )
    op.execute(
        "INSERT INTO series (site_id, study_id, uid, modality) "
        "SELECT site_id, study_id, series_uid, min(modality) FROM instances "
        "GROUP BY site_id, study_id, series_uid ORDER BY min(id)"
    )


def _add_tables_of_reading() -> None:
    op.create_table(
        "claims",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("study_id", _KEY, nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("transaction_uid", sa.Text(), nullable=True),
        sa.Column("claimed_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("ending", sa.String(length=16), nullable=True),
        sa.CheckConstraint(
            "ending IN ('released', 'expired', 'taken-over', 'signed')", name=op.f("ck_claims_ending")
        ),
        sa.CheckConstraint("(ended_at IS NULL) = (ending IS NULL)", name=op.f("ck_claims_ended")),
        sa.CheckConstraint("expires_at > claimed_at", name=op.f("ck_claims_lease")),
        sa.CheckConstraint("slot IN (1, 2, 3)", name=op.f("ck_claims_slot")),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_claims_site_id")),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_claims_study_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_claims")),
    )
    op.create_index(
        "ix_claims_reader",
        "claims",
        ["reader", "expires_at"],
        unique=False,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index("ix_claims_study_id", "claims", ["study_id"], unique=False)
    op.create_index(
        "uq_claims_held",
        "claims",
        ["study_id", "slot"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("study_id", _KEY, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("receiver", sa.String(length=128), nullable=False),
        sa.Column("content_uid", sa.String(length=128), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("n_attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("confirmation", sa.Text(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(state = 'sent') = (sent_at IS NOT NULL) AND (sent_at IS NULL) = (confirmation IS NULL)",
            name=op.f("ck_deliveries_confirmed"),
        ),
        sa.CheckConstraint(
            "(state = 'waiting') = (next_attempt_at IS NOT NULL)", name=op.f("ck_deliveries_waiting")
        ),
        sa.CheckConstraint("kind IN ('sr', 'kos', 'sc', 'fhir', 'webhook')", name=op.f("ck_deliveries_kind")),
        sa.CheckConstraint(
            "state IN ('waiting', 'sending', 'sent', 'refused', 'dead')", name=op.f("ck_deliveries_state")
        ),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_deliveries_site_id")),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_deliveries_study_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("receiver", "content_uid", name=op.f("uq_deliveries_receiver_content_uid")),
        sa.UniqueConstraint(
            "study_id", "receiver", "place", name=op.f("uq_deliveries_study_id_receiver_place")
        ),
    )
    op.create_index(
        "ix_deliveries_waiting",
        "deliveries",
        ["next_attempt_at"],
        unique=False,
        sqlite_where=sa.text("next_attempt_at IS NOT NULL"),
        postgresql_where=sa.text("next_attempt_at IS NOT NULL"),
    )
    op.create_table(
        "referrals",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("study_id", _KEY, nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("to_site_id", sa.String(length=64), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("escalated_at", sa.BigInteger(), nullable=True),
        sa.Column("acknowledged_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("kind IN ('up', 'down', 'consultation')", name=op.f("ck_referrals_kind")),
        sa.CheckConstraint(
            "state IN ('asked', 'accepted', 'answered', 'arranged', 'seen', 'returned', 'withdrawn')",
            name=op.f("ck_referrals_state"),
        ),
        sa.CheckConstraint(
            "acknowledged_at IS NULL OR escalated_at IS NOT NULL", name=op.f("ck_referrals_escalation")
        ),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_referrals_site_id")),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_referrals_study_id")),
        sa.ForeignKeyConstraint(["to_site_id"], ["sites.id"], name=op.f("fk_referrals_to_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_referrals")),
        sa.UniqueConstraint("key", name=op.f("uq_referrals_key")),
    )
    op.create_index(
        "ix_referrals_site_id_state_due_at", "referrals", ["site_id", "state", "due_at"], unique=False
    )
    op.create_index("ix_referrals_study_id", "referrals", ["study_id"], unique=False)
    op.create_index(
        "ix_referrals_to_site_id_state_due_at", "referrals", ["to_site_id", "state", "due_at"], unique=False
    )
    op.create_table(
        "reads",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("study_id", _KEY, nullable=False),
        sa.Column("claim_id", _KEY, nullable=True),
        sa.Column("score_id", _KEY, nullable=True),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("save_key", sa.String(length=64), nullable=True),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.Column("saved_at", sa.BigInteger(), nullable=False),
        sa.Column("signed_at", sa.BigInteger(), nullable=True),
        sa.Column("amends", _KEY, nullable=True),
        sa.Column("amendment_reason", sa.Text(), nullable=True),
        sa.Column("diagnosis_scheme", sa.String(length=32), nullable=True),
        sa.Column("diagnosis_code", sa.String(length=64), nullable=True),
        sa.Column("diagnosis_text", sa.Text(), nullable=True),
        sa.Column("action", sa.String(length=32), nullable=True),
        sa.Column("interval_days", sa.Integer(), nullable=True),
        sa.Column("priority", sa.String(length=16), nullable=True),
        sa.Column("findings", sa.JSON(), nullable=False),
        sa.Column("key_images", sa.JSON(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "action IN ('reassure', 'monitor', 'biopsy', 'refer-urgently', 'repeat-image')",
            name=op.f("ck_reads_action"),
        ),
        sa.CheckConstraint("priority IN ('stat', 'urgent', 'routine')", name=op.f("ck_reads_priority")),
        sa.CheckConstraint("(amends IS NULL) = (amendment_reason IS NULL)", name=op.f("ck_reads_amendment")),
        sa.CheckConstraint(
            "(diagnosis_code IS NULL) = (diagnosis_scheme IS NULL)", name=op.f("ck_reads_diagnosis")
        ),
        sa.CheckConstraint("signed_at IS NULL OR action IS NOT NULL", name=op.f("ck_reads_signed")),
        sa.CheckConstraint("slot IN (1, 2, 3)", name=op.f("ck_reads_slot")),
        sa.CheckConstraint("version > 0", name=op.f("ck_reads_version")),
        sa.ForeignKeyConstraint(["amends"], ["reads.id"], name=op.f("fk_reads_amends")),
        sa.ForeignKeyConstraint(["claim_id"], ["claims.id"], name=op.f("fk_reads_claim_id")),
        sa.ForeignKeyConstraint(["score_id"], ["scores.id"], name=op.f("fk_reads_score_id")),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_reads_site_id")),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_reads_study_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reads")),
        sa.UniqueConstraint("amends", name=op.f("uq_reads_amends")),
    )
    op.create_index("ix_reads_study_id", "reads", ["study_id"], unique=False)
    op.create_index(
        "uq_reads_draft",
        "reads",
        ["study_id", "slot", "reader"],
        unique=True,
        sqlite_where=sa.text("signed_at IS NULL"),
        postgresql_where=sa.text("signed_at IS NULL"),
    )
    op.create_index(
        "uq_reads_first_signed",
        "reads",
        ["study_id", "slot"],
        unique=True,
        sqlite_where=sa.text("signed_at IS NOT NULL AND amends IS NULL"),
        postgresql_where=sa.text("signed_at IS NOT NULL AND amends IS NULL"),
    )


def _guards(dialect: str) -> list[str]:
    if dialect != "postgresql":
        return [
            f"CREATE TRIGGER reads_{verb.lower()} BEFORE {verb} ON reads WHEN OLD.signed_at IS NOT NULL "
            f"BEGIN SELECT RAISE(ABORT, '{_KEPT}'); END"
            for verb in ("UPDATE", "DELETE")
        ]
    function = (
        "CREATE FUNCTION reads_keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF OLD.signed_at IS NOT NULL THEN RAISE EXCEPTION '{_KEPT}'; END IF; "
        "IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $$"
    )
    trigger = (
        "CREATE TRIGGER reads_keep BEFORE UPDATE OR DELETE ON reads "
        "FOR EACH ROW EXECUTE FUNCTION reads_keep()"
    )
    return [function, trigger]
