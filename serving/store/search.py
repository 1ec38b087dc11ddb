"""Searches studies, series and images by DICOM's matching, the newest studies first.

Every condition becomes a comparison that an index can serve: a wildcard's beginning is a range. Where a key
that few studies share is asked for, its hits are found first and sorted then; otherwise the order's own
index is walked until the page is full.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    exists,
    func,
    literal_column,
    or_,
    select,
)

from serving.store.tables import instances, series, studies, study_listings
from serving.store.tenancy import Scope, within

_listing = study_listings.c

# Of a key that few share; who has more hits gets the newest of these alone.
_MOST_HITS = 100_000


class Key(StrEnum):
    """What can be searched by."""

    STUDY_UID = "study-uid"
    PATIENT = "patient"
    ISSUER = "issuer"
    PATIENT_NAME = "patient-name"
    BIRTH_DATE = "birth-date"
    SEX = "sex"
    STUDY_DATE = "study-date"
    STUDY_TIME = "study-time"
    ACCESSION = "accession"
    STUDY_ID = "study-id"
    STUDY_DESCRIPTION = "study-description"
    REFERRING_PHYSICIAN = "referring-physician"
    MODALITIES = "modalities"
    SERIES_UID = "series-uid"
    MODALITY = "modality"
    SERIES_NUMBER = "series-number"
    SERIES_DESCRIPTION = "series-description"
    BODY_PART = "body-part"
    SOP_CLASS = "sop-class"
    SOP_INSTANCE_UID = "sop-instance-uid"
    INSTANCE_NUMBER = "instance-number"


_COLUMN_OF: Final[Mapping[Key, Column[Any]]] = {
    Key.STUDY_UID: _listing.uid,
    Key.PATIENT: _listing.patient,
    Key.ISSUER: _listing.issuer,
    Key.BIRTH_DATE: _listing.birth_date,
    Key.SEX: _listing.sex,
    Key.STUDY_DATE: _listing.date,
    Key.STUDY_TIME: _listing.time,
    Key.ACCESSION: _listing.accession,
    Key.STUDY_ID: _listing.number,
    Key.STUDY_DESCRIPTION: _listing.description,
    Key.REFERRING_PHYSICIAN: _listing.referring_physician,
    Key.SERIES_UID: series.c.uid,
    Key.MODALITY: series.c.modality,
    Key.SERIES_NUMBER: series.c.number,
    Key.SERIES_DESCRIPTION: series.c.description,
    Key.BODY_PART: series.c.body_part,
    Key.SOP_CLASS: instances.c.sop_class_uid,
    Key.SOP_INSTANCE_UID: instances.c.sop_instance_uid,
    Key.INSTANCE_NUMBER: instances.c.number,
}
OF_SERIES: Final = frozenset(
    {Key.SERIES_UID, Key.MODALITY, Key.SERIES_NUMBER, Key.SERIES_DESCRIPTION, Key.BODY_PART}
)
OF_INSTANCE: Final = frozenset({Key.SOP_CLASS, Key.SOP_INSTANCE_UID, Key.INSTANCE_NUMBER})
_OF_FEW = frozenset({Key.STUDY_UID, Key.PATIENT, Key.ACCESSION, Key.PATIENT_NAME})


@dataclass(frozen=True, slots=True)
class Condition:
    """One key and what it must be: one of `values`, or within `low` and `high`, or like a `pattern`.

    A pattern has ``*`` for any text and ``?`` for one letter.
    """

    key: Key
    values: tuple[str | int, ...] = ()
    low: str | None = None
    high: str | None = None
    pattern: str | None = None

    @property
    def is_of_few(self) -> bool:
        """Whether an index leads to few studies."""
        begins = self.pattern is None or self.pattern[:1] not in {"*", "?"}
        return self.key in _OF_FEW and begins


@dataclass(frozen=True, slots=True)
class Page:
    """How many hits, behind how many; `limit` is at least 1."""

    limit: int
    offset: int = 0


def search_studies(
    connection: Connection, *, scope: Scope, conditions: Sequence[Condition], page: Page
) -> list[Row[*tuple[Any, ...]]]:
    """Give the studies that meet all conditions: their listings with `n_images`, newest first."""
    hits = _hits(connection, within(scope, _listing.site_id), conditions)
    # The page is found in the order's index alone; only its rows are looked up.
    ids = _paged(_newest_first(select(_listing.study_id).where(hits)), page).subquery()
    rows = connection.execute(
        _newest_first(
            select(study_listings, studies.c.n_images)
            .join(ids, ids.c.study_id == _listing.study_id)
            .join(studies, studies.c.id == _listing.study_id)
        )
    )
    return list(rows)


def search_series(
    connection: Connection, *, scope: Scope, conditions: Sequence[Condition], page: Page
) -> list[Row[*tuple[Any, ...]]]:
    """Give the series that meet all conditions, those of the newest studies first, as they came in."""
    query = (
        select(study_listings, *_labelled(series, "series"))
        .join(series, series.c.study_id == _listing.study_id)
        .where(
            _hits(connection, within(scope, _listing.site_id), conditions),
            *_of_series(connection, conditions),
        )
    )
    return list(connection.execute(_paged(_newest_first(query).order_by(series.c.id), page)))


def search_images(
    connection: Connection, *, scope: Scope, conditions: Sequence[Condition], page: Page
) -> list[Row[*tuple[Any, ...]]]:
    """Give the images that meet all conditions, those of the newest studies first, as they came in."""
    own = [one for one in conditions if one.key in OF_INSTANCE]
    query = (
        select(study_listings, *_labelled(series, "series"), *_labelled(instances, "image"))
        .join(instances, instances.c.study_id == _listing.study_id)
        .join(series, and_(series.c.study_id == instances.c.study_id, series.c.uid == instances.c.series_uid))
        .where(
            _hits(connection, within(scope, _listing.site_id), conditions),
            *_of_series(connection, conditions),
            *(_compared(connection, one) for one in own),
        )
    )
    return list(connection.execute(_paged(_newest_first(query).order_by(instances.c.id), page)))


def series_of_studies(
    connection: Connection, *, scope: Scope, study_ids: Sequence[int]
) -> dict[int, list[str]]:
    """Give the modality of each series, by study."""
    found: dict[int, list[str]] = {}
    query = select(series.c.study_id, series.c.modality).where(
        within(scope, series.c.site_id), series.c.study_id.in_(study_ids)
    )
    for row in connection.execute(query.order_by(series.c.id)):
        found.setdefault(row.study_id, []).append(row.modality)
    return found


def count_images_of_series(
    connection: Connection, *, scope: Scope, study_ids: Sequence[int]
) -> dict[tuple[int, str], int]:
    """Give how many images each series has, by study and UID."""
    query = (
        select(instances.c.study_id, instances.c.series_uid, func.count().label("n_images"))
        .where(within(scope, instances.c.site_id), instances.c.study_id.in_(study_ids))
        .group_by(instances.c.study_id, instances.c.series_uid)
    )
    return {(row.study_id, row.series_uid): row.n_images for row in connection.execute(query)}


def _paged(query: Select[*tuple[Any, ...]], page: Page) -> Select[*tuple[Any, ...]]:
    """Cut a page out. Its figures stand in the statement: a plan made for any limit would sort everything."""
    return query.limit(literal_column(str(int(page.limit)))).offset(literal_column(str(int(page.offset))))


def _newest_first(query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    return query.order_by(_listing.date.desc(), _listing.time.desc(), _listing.study_id.desc())


def _labelled(table: Any, prefix: str) -> Iterable[ColumnElement[Any]]:  # noqa: ANN401 - a table of any columns
    return [column.label(f"{prefix}_{column.name}") for column in table.c]


def _hits(
    connection: Connection, of_sites: ColumnElement[bool], conditions: Sequence[Condition]
) -> ColumnElement[bool]:
    """Make the condition on the studies themselves."""
    own = [one for one in conditions if one.key not in OF_SERIES | OF_INSTANCE]
    few = [one for one in own if one.is_of_few]
    compared = [_compared(connection, one) for one in own if one not in few]
    inside = [of_sites, *(_compared(connection, one) for one in few)]
    if not few:
        return and_(*inside, *compared)
    # A limit of its own keeps a planner from walking the order's index in the hope of meeting the few soon.
    found = select(_listing.study_id).where(*inside).limit(literal_column(str(_MOST_HITS))).subquery()
    return and_(_listing.study_id.in_(select(found.c.study_id)), *compared)


def _of_series(connection: Connection, conditions: Sequence[Condition]) -> list[ColumnElement[bool]]:
    return [_compared(connection, one) for one in conditions if one.key in OF_SERIES]


def _compared(connection: Connection, condition: Condition) -> ColumnElement[bool]:
    if condition.key is Key.MODALITIES:
        of_study = series.c.study_id == _listing.study_id
        return exists(select(series.c.id).where(of_study, _matches(connection, series.c.modality, condition)))
    if condition.key is Key.PATIENT_NAME:
        forms = (_listing.name_alphabetic, _listing.name_ideographic, _listing.name_phonetic)
        return or_(*(_matches(connection, form, condition) for form in forms))
    return _matches(connection, _COLUMN_OF[condition.key], condition)


def _matches(connection: Connection, column: Column[Any], condition: Condition) -> ColumnElement[bool]:
    if condition.pattern is not None:
        return _like(connection, column, condition.pattern)
    if condition.values:
        first, *more = condition.values
        return column.in_([first, *more]) if more else column == first
    low = [] if condition.low is None else [column >= condition.low]
    high = [] if condition.high is None else [column <= condition.high]
    return and_(*low, *high, column != "")


def _like(connection: Connection, column: Column[Any], pattern: str) -> ColumnElement[bool]:
    """Compare with a pattern, letters as they are on every database, its beginning by the index."""
    beginning = pattern.partition("*")[0].partition("?")[0]
    if connection.dialect.name == "postgresql":
        escaped = pattern.translate({ord(letter): f"\\{letter}" for letter in "\\%_"})
        like = column.like(escaped.replace("*", "%").replace("?", "_"), escape="\\")
    else:
        like = column.op("GLOB", is_comparison=True)(pattern.replace("[", "[[]"))
    if not beginning:
        return like
    behind = f"{beginning[:-1]}{chr(min(ord(beginning[-1]) + 1, 0x10FFFF))}"
    return and_(column >= beginning, column < behind, like)
