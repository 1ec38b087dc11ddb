"""What a patient has allowed a study to be used for beyond their own care: said, by whom, when.

Statements are appended and never altered; the last one counts. A study about which nothing was said may be
used for care alone, just as one whose patient said so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, func, select

from serving.store.tables import consents, studies
from serving.store.tenancy import Scope, within
from serving.store.uses import Consent

_NARROWNESS = {consent: rank for rank, consent in enumerate(Consent)}


@dataclass(frozen=True, slots=True)
class Statement:
    """What was said, by whom, when."""

    consent: Consent
    said_by: str
    said_at_us: int


def consent_of(connection: Connection, *, scope: Scope, study_id: int) -> Statement | None:
    """Give what was said last of a study in the scope, None if nothing was."""
    query = select(consents).where(within(scope, consents.c.site_id), consents.c.study_id == study_id)
    row = connection.execute(query.order_by(consents.c.id.desc()).limit(1)).first()
    return None if row is None else _statement(row)


def consents_of(connection: Connection, *, scope: Scope, study_ids: Sequence[int]) -> dict[int, Statement]:
    """Give what was said last of each of some studies, where anything was."""
    last = (
        select(func.max(consents.c.id))
        .where(within(scope, consents.c.site_id), consents.c.study_id.in_(study_ids))
        .group_by(consents.c.study_id)
    )
    rows = connection.execute(select(consents).where(consents.c.id.in_(last)))
    return {row.study_id: _statement(row) for row in rows}


def hold_study(
    connection: Connection, *, scope: Scope, key: str, is_read_only: bool = False
) -> tuple[int, str, str] | None:
    """Give a study by id, UID and site, None if there is none in the scope.

    Nobody else changes or exports it until the transaction ends, unless it only reads.
    """
    query = select(studies.c.id, studies.c.uid, studies.c.site_id).where(
        within(scope, studies.c.site_id), studies.c.key == key
    )
    row = connection.execute(query if is_read_only else query.with_for_update()).first()
    return None if row is None else (row.id, row.uid, row.site_id)


def say(connection: Connection, statement: Statement, *, site: str, study_id: int) -> None:
    """Append a statement about a study that is held."""
    connection.execute(
        consents.insert().values(
            site_id=site,
            study_id=study_id,
            consent=str(statement.consent),
            said_by=statement.said_by,
            said_at=statement.said_at_us,
        )
    )


def say_on_arrival(
    connection: Connection, statement: Statement | None, *, site: str, key: str
) -> Consent | None:
    """Append what an upload says of a study, and give what counts then.

    A sender's form can state what was not known and narrow what was, but not widen it: it may have been
    filled in before the patient withdrew.
    """
    own = Scope.of(site)
    held = hold_study(connection, scope=own, key=key)
    if held is None:
        return None
    known = consent_of(connection, scope=own, study_id=held[0])
    if statement is None or (known is not None and not is_narrower(statement.consent, known.consent)):
        return None if known is None else known.consent
    say(connection, statement, site=site, study_id=held[0])
    return statement.consent


def is_narrower(one: Consent, other: Consent) -> bool:
    """Whether `one` allows less than `other`.

    Examples
    --------
    >>> is_narrower(Consent.WITHDRAWN, Consent.TRAINING), is_narrower(Consent.TRAINING, Consent.TRAINING)
    (True, False)
    """
    return _NARROWNESS[one] > _NARROWNESS[other]


def _statement(row: Row[*tuple[object, ...]]) -> Statement:
    return Statement(Consent(row.consent), row.said_by, row.said_at)
