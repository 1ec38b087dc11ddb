from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import select

from data.study import StudyListing
from serving.store.database import Database
from serving.store.priors import priors_of
from serving.store.receipt import ArrivedPatient
from serving.store.sites import add_site
from serving.store.tables import studies
from serving.store.tenancy import Scope
from tests.serving.store.databases import Place
from tests.serving.store.stored import LOCAL, opened, receive, study

BOTH = Scope.of("local", "north")


@pytest.fixture
def database(place: Place) -> Iterator[Database]:
    with opened(place) as database:
        with database.writing() as connection:
            add_site(connection, "north", "North")
        yield database


def sent(
    database: Database,
    uid: str,
    identifier: str | None,
    *,
    issuer: str = "",
    date: str = "20260101",
    time: str = "",
    site: str = "local",
) -> int:
    patient = None if identifier is None else ArrivedPatient(issuer, identifier, "Wang^Fang")
    arrived = replace(study(uid), patient=patient, listing=StudyListing(date, time))
    with database.writing() as connection:
        receipt = receive(connection, arrived, site=site)
        query = select(studies.c.id).where(studies.c.key == receipt.study_key)
        return int(connection.execute(query).scalar_one())


def priors(database: Database, study_id: int, scope: Scope = LOCAL, limit: int = 9) -> list[str]:
    with database.reading() as connection:
        return [one.uid for one in priors_of(connection, scope=scope, study_id=study_id, limit=limit)]


def test_the_patients_other_studies_come_last_date_first_without_the_study_itself(database: Database) -> None:
    sent(database, "old", "P1", date="20200101")
    sent(database, "undated", "P1", date="")
    sent(database, "noon", "P1", date="20260101", time="120000")
    sent(database, "morning", "P1", date="20260101", time="080000")
    sent(database, "other", "P2")
    now = sent(database, "now", "P1", date="20260301")
    assert priors(database, now) == ["noon", "morning", "old", "undated"]
    assert priors(database, now, limit=2) == ["noon", "morning"]


@pytest.mark.parametrize("identifier", [None, "", "  "])
def test_nobody_without_an_identifier_is_the_same_as_anybody(
    database: Database, identifier: str | None
) -> None:
    sent(database, "one", identifier, issuer="H1")
    assert priors(database, sent(database, "two", identifier, issuer="H1")) == []


def test_the_same_identifier_of_another_issuer_is_somebody_else(database: Database) -> None:
    sent(database, "one", "P1", issuer="H1")
    sent(database, "none", "P1")
    assert priors(database, sent(database, "two", "P1", issuer="H2")) == []
    assert priors(database, sent(database, "three", "P1")) == ["none"]


def test_across_sites_an_issuer_is_needed_and_the_scope_counts(database: Database) -> None:
    here = sent(database, "here", "P1", issuer="H1")
    sent(database, "there", "P1", issuer="H1", site="north")
    assert priors(database, here, BOTH) == ["there"]
    assert priors(database, here, Scope(None)) == ["there"]
    assert priors(database, here, LOCAL) == []
    assert priors(database, here, Scope.of("north")) == []
    bare = sent(database, "bare", "P1")
    sent(database, "bare there", "P1", site="north")
    assert priors(database, bare, BOTH) == []
    assert priors(database, bare, Scope(None)) == []
