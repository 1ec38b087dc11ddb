"""Where models and readers differ, as it is stored: a row for each class of a study that was read."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from serving.store.reading_tables import discrepancies, reads
from serving.store.tables import studies
from serving.store.tenancy import Scope, within


@dataclass(frozen=True, slots=True)
class Difference:
    """One class of which model and reader say different things; empty where the model has none for it."""

    class_key: str
    kind: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which discrepancies are meant: all that meet every condition that is given."""

    model: str | None = None
    version: str | None = None
    site: str | None = None
    class_key: str | None = None
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """A difference with its study, its model and the read that says so."""

    id: int
    study_key: str
    study_uid: str
    site: str
    model_name: str
    model_version: str
    class_key: str
    kind: str
    reader: str
    read_id: int
    found_at_us: int


@dataclass(frozen=True, slots=True)
class Total:
    """How many studies there are of a difference."""

    model_name: str
    model_version: str
    class_key: str
    kind: str
    n_studies: int


def set_differences(
    connection: Connection,
    differences: Collection[Difference],
    *,
    site: str,
    study_id: int,
    read_id: int,
    score_id: int,
    model: tuple[str, str],
    now_us: int,
) -> None:
    """Write down how model and reader differ about a study, in place of what was written before."""
    forget_differences(connection, site=site, study_id=study_id)
    rows = [
        {
            "site_id": site,
            "study_id": study_id,
            "read_id": read_id,
            "score_id": score_id,
            "model_name": model[0],
            "model_version": model[1],
            "class_key": one.class_key,
            "kind": one.kind,
            "found_at": now_us,
        }
        for one in differences
    ]
    if rows:
        connection.execute(insert(discrepancies), rows)


def forget_differences(connection: Connection, *, site: str, study_id: int) -> None:
    """Remove what was written down of a study, whose read counts no longer."""
    connection.execute(
        delete(discrepancies).where(discrepancies.c.site_id == site, discrepancies.c.study_id == study_id)
    )


def read_discrepancies(
    connection: Connection, *, scope: Scope, wanted: Wanted, limit: int, before: int | None
) -> list[Discrepancy]:
    """Give the discrepancies of the scope that are meant, the newest first, behind one of a number."""
    query = (
        select(discrepancies, studies.c.key, studies.c.uid, reads.c.reader)
        .join(studies, studies.c.id == discrepancies.c.study_id)
        .join(reads, reads.c.id == discrepancies.c.read_id)
        .where(*_meant(scope, wanted))
        .order_by(discrepancies.c.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(discrepancies.c.id < before)
    return [
        Discrepancy(
            id=row.id,
            study_key=row.key,
            study_uid=row.uid,
            site=row.site_id,
            model_name=row.model_name,
            model_version=row.model_version,
            class_key=row.class_key,
            kind=row.kind,
            reader=row.reader,
            read_id=row.read_id,
            found_at_us=row.found_at,
        )
        for row in connection.execute(query)
    ]


def count_discrepancies(connection: Connection, *, scope: Scope, wanted: Wanted) -> list[Total]:
    """Give how many there are of each model version, class and kind."""
    columns = [discrepancies.c[name] for name in ("model_name", "model_version", "class_key", "kind")]
    query = select(*columns, func.count()).where(*_meant(scope, wanted)).group_by(*columns)
    rows = connection.execute(query.order_by(*columns)).all()
    return [Total(str(row[0]), str(row[1]), str(row[2]), str(row[3]), int(row[4])) for row in rows]


def _meant(allowed: Scope, wanted: Wanted) -> list[ColumnElement[bool]]:
    asked = {
        discrepancies.c.model_name: wanted.model,
        discrepancies.c.model_version: wanted.version,
        discrepancies.c.site_id: wanted.site,
        discrepancies.c.class_key: wanted.class_key,
        discrepancies.c.kind: wanted.kind,
    }
    given = [column == value for column, value in asked.items() if value is not None]
    return [within(allowed, discrepancies.c.site_id), *given]
