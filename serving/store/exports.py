"""Which studies left the house, when, for what and by whom; and which may be asked to.

An export is written down before its first file is, so that a consent which is withdrawn while it runs finds
it. Studies are held from the look at their consent to the commit, so one of the two always sees the other.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Connection, Row, and_, or_, select, true, update

from serving.store.consent import Statement, consents_of
from serving.store.tables import exported_studies, exports, patients, studies
from serving.store.tenancy import Scope, within
from serving.store.uses import Consent, Purpose

# SQLite before 3.32 takes 999 values.
_KEYS_A_QUERY = 500


@dataclass(frozen=True, slots=True)
class Selection:
    """Which stored studies are meant: all that meet every condition that is given.

    `named` are keys or Study Instance UIDs; times are microseconds since 1970 UTC, of receipt, the later one
    not included.
    """

    named: tuple[str, ...] = ()
    since_us: int | None = None
    until_us: int | None = None
    consent: Consent | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A stored study that is meant, what was said of its consent, and its patient: issuer and identifier."""

    id: int
    key: str
    uid: str
    site: str
    consent: Statement | None
    patient: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Export:
    """One export that held a study; `ended_at_us` and `report_sha256` are None if it was cut off."""

    key: str
    purpose: Purpose
    exported_by: str
    started_at_us: int
    ended_at_us: int | None = None
    key_fingerprint: str = ""
    report_sha256: str | None = None
    n_files: int | None = field(default=None)


def candidates(connection: Connection, *, scope: Scope, selection: Selection) -> list[Candidate]:
    """Give and hold the studies of the scope that are meant, in the order of their arrival."""
    rows: list[Row[int, str, str, str, str, str]] = []
    for condition in _conditions(selection):
        rows += connection.execute(
            select(
                studies.c.id,
                studies.c.key,
                studies.c.uid,
                studies.c.site_id,
                patients.c.issuer,
                patients.c.identifier,
            )
            .outerjoin(patients, patients.c.id == studies.c.patient_id)
            .where(within(scope, studies.c.site_id), condition)
            .order_by(studies.c.id)
            .with_for_update(of=studies)
        ).all()
    said: dict[int, Statement] = {}
    for start in range(0, len(rows), _KEYS_A_QUERY):
        said |= consents_of(
            connection, scope=scope, study_ids=[row.id for row in rows[start : start + _KEYS_A_QUERY]]
        )
    found = {row.id: _candidate(row, said.get(row.id)) for row in rows}
    wanted = selection.consent
    return [
        found[study_id]
        for study_id in sorted(found)
        if wanted is None or (said.get(study_id) is not None and said[study_id].consent is wanted)
    ]


def begin(
    connection: Connection,
    held: Iterable[Candidate],
    *,
    purpose: Purpose,
    by: str,
    key_fingerprint: str,
    now_us: int,
) -> str:
    """Write down that an export of some studies begins, and give its key."""
    key = secrets.token_hex(16)
    export_id = connection.execute(
        exports.insert()
        .values(
            key=key,
            purpose=str(purpose),
            exported_by=by,
            started_at=now_us,
            key_fingerprint=key_fingerprint,
        )
        .returning(exports.c.id)
    ).scalar_one()
    rows = [{"export_id": export_id, "study_id": one.id, "site_id": one.site} for one in held]
    if rows:
        connection.execute(exported_studies.insert(), rows)
    return key


def end(
    connection: Connection, key: str, *, n_files: Mapping[int, int], report_sha256: str, now_us: int
) -> None:
    """Write down how many files of each study an export holds, and the hash of its report."""
    export_id = connection.execute(select(exports.c.id).where(exports.c.key == key)).scalar_one()
    connection.execute(
        update(exports).where(exports.c.id == export_id).values(ended_at=now_us, report_sha256=report_sha256)
    )
    for study_id, n in n_files.items():
        connection.execute(
            update(exported_studies)
            .where(exported_studies.c.export_id == export_id, exported_studies.c.study_id == study_id)
            .values(n_files=n)
        )


def exports_of(connection: Connection, *, scope: Scope, study_id: int) -> list[Export]:
    """Give the exports that held a study, the first one first, not those that took none of its files."""
    query = (
        select(exports, exported_studies.c.n_files)
        .join(exported_studies, exported_studies.c.export_id == exports.c.id)
        .where(
            within(scope, exported_studies.c.site_id),
            exported_studies.c.study_id == study_id,
            or_(exported_studies.c.n_files.is_(None), exported_studies.c.n_files > 0),
        )
        .order_by(exports.c.id)
    )
    return [
        Export(
            row.key,
            Purpose(row.purpose),
            row.exported_by,
            row.started_at,
            row.ended_at,
            row.key_fingerprint,
            row.report_sha256,
            row.n_files,
        )
        for row in connection.execute(query)
    ]


def _candidate(row: Row[int, str, str, str, str, str], said: Statement | None) -> Candidate:
    patient = (row.issuer, row.identifier) if row.identifier else None
    return Candidate(row.id, row.key, row.uid, row.site_id, said, patient)


def _conditions(selection: Selection) -> Sequence[ColumnElement[bool]]:
    """Give one condition, or one for every few hundred names."""
    fixed: list[ColumnElement[bool]] = []
    if selection.since_us is not None:
        fixed.append(studies.c.received_at >= selection.since_us)
    if selection.until_us is not None:
        fixed.append(studies.c.received_at < selection.until_us)
    names = selection.named
    if not names:
        return [and_(true(), *fixed)]
    parts = [names[start : start + _KEYS_A_QUERY // 2] for start in range(0, len(names), _KEYS_A_QUERY // 2)]
    return [and_(or_(studies.c.key.in_(part), studies.c.uid.in_(part)), *fixed) for part in parts]
