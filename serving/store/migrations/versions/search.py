"""Adds what studies, series and images are searched for by, filled from what is known of the stored ones."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_EXACT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
_INDEXES = {
    "newest": ["site_id", "date", "time", "study_id"],
    "newest_of_all": ["date", "time", "study_id"],
    "uid": ["uid", "site_id"],
    "patient": ["patient", "site_id"],
    "accession": ["accession", "site_id"],
    "name_alphabetic": ["name_alphabetic", "site_id"],
    "name_ideographic": ["name_ideographic", "site_id"],
}
_ROWS_A_BATCH = 1000


def upgrade() -> None:
    """Bring the tables from the revision before to this one."""
    op.add_column("series", sa.Column("number", sa.Integer(), nullable=True))
    op.add_column("series", sa.Column("description", sa.Text(), nullable=False, server_default=""))
    op.add_column("series", sa.Column("body_part", sa.Text(), nullable=False, server_default=""))
    op.add_column("instances", sa.Column("number", sa.Integer(), nullable=True))
    exact = ("uid", "patient", "issuer")
    names = ("name_alphabetic", "name_ideographic", "name_phonetic", "birth_date", "sex", "date", "time")
    listings = op.create_table(
        "study_listings",
        sa.Column("study_id", _KEY, autoincrement=False, nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        *(sa.Column(name, _EXACT, nullable=False) for name in exact),
        sa.Column("patient_name", sa.Text(), nullable=False),
        *(sa.Column(name, _EXACT, nullable=False) for name in names),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("accession", _EXACT, nullable=False),
        sa.Column("number", _EXACT, nullable=False),
        sa.Column("referring_physician", sa.Text(), nullable=False),
        sa.Column("description", _EXACT, nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_study_listings_site_id")),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_study_listings_study_id")),
        sa.PrimaryKeyConstraint("study_id", name=op.f("pk_study_listings")),
    )
    _fill(listings)
    for name, columns in _INDEXES.items():
        op.create_index(f"ix_study_listings_{name}", "study_listings", columns, unique=False)


def _fill(listings: sa.Table) -> None:
    """Write the rows of the stored studies; what only their files say stays empty."""
    connection = op.get_bind()
    after = 0
    while True:
        rows = connection.execute(
            sa.text(
                "SELECT studies.id, studies.site_id, studies.uid, studies.accession, studies.description, "
                "studies.sex, studies.performed_at, studies.received_at, patients.identifier, "
                "patients.issuer, patients.name "
                "FROM studies LEFT JOIN patients ON patients.id = studies.patient_id "
                "WHERE studies.id > :after ORDER BY studies.id LIMIT :limit"
            ),
            {"after": after, "limit": _ROWS_A_BATCH},
        ).all()
        if not rows:
            return
        connection.execute(listings.insert(), [_listing(row) for row in rows])
        after = rows[-1].id


def _listing(row: sa.Row[*tuple[object, ...]]) -> dict[str, object]:
    forms: Sequence[str] = [form.strip().rstrip("^").casefold() for form in (row.name or "").split("=")]
    alphabetic, ideographic, phonetic, *_ = [*forms, "", "", ""]
    microseconds = row.received_at if row.performed_at is None else row.performed_at
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    return {
        "study_id": row.id,
        "site_id": row.site_id,
        "uid": row.uid,
        "patient": row.identifier or "",
        "issuer": row.issuer or "",
        "patient_name": row.name or "",
        "name_alphabetic": alphabetic,
        "name_ideographic": ideographic,
        "name_phonetic": phonetic,
        "birth_date": "",
        "sex": row.sex or "",
        "date": moment.strftime("%Y%m%d"),
        "time": moment.strftime("%H%M%S"),
        "timezone": "",
        "accession": row.accession,
        "number": "",
        "referring_physician": "",
        "description": row.description,
    }
