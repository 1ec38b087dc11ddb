from collections.abc import Iterator

import pytest
from sqlalchemy import insert

from serving.store.database import Database
from serving.store.people import (
    Grants,
    Licence,
    Person,
    add_person,
    count_people,
    find_person,
    read_people,
    renew_hash,
    set_grants,
    set_licence,
    set_password,
)
from serving.store.second_factors import (
    confirm_factor,
    count_recovery_codes,
    find_factor,
    set_factor,
    set_recovery_codes,
    use_recovery_code,
    use_step,
)
from serving.store.sessions import (
    add_link,
    add_session,
    end_sessions_of,
    find_link,
    find_session,
    forget_sessions,
    sessions_of,
    use_link,
)
from serving.store.tables import sites
from serving.store.tenancy import Scope
from tests.serving.store.databases import Place
from tests.serving.store.stored import opened


@pytest.fixture
def database(place: Place) -> Iterator[Database]:
    with opened(place) as found:
        with found.writing() as connection:
            connection.execute(insert(sites), [{"id": site, "name": site} for site in ("north", "south")])
        yield found


def _enter(database: Database, name: str = "wang") -> Person:
    with database.writing() as connection:
        return add_person(
            connection,
            login_name=name,
            name_zh="王芳",
            name_en="",
            home_site="north",
            grants=Grants(frozenset({"reader"}), frozenset({"dermatology"}), Scope.of("north")),
            now_us=7,
        )


def _found(database: Database, name: str = "wang") -> Person:
    with database.reading() as connection:
        person = find_person(connection, login_name=name)
    assert person is not None
    return person


def test_somebody_is_found_by_name_key_and_number_with_what_they_may_do(database: Database) -> None:
    person = _enter(database)
    with database.reading() as connection:
        assert find_person(connection, key=person.key) == person
        assert find_person(connection, user_id=person.id) == person
        assert find_person(connection, login_name="li") is None
        assert count_people(connection) == 1
    assert person.grants.scope == Scope.of("north")
    assert (person.password_hash, person.licence, person.is_active) == (None, None, True)


def test_what_somebody_may_do_is_replaced_whole(database: Database) -> None:
    person = _enter(database)
    with database.writing() as connection:
        set_grants(connection, person.id, Grants(frozenset({"operator"}), frozenset(), Scope(None)))
    assert _found(database).grants == Grants(frozenset({"operator"}), frozenset(), Scope(None))
    with database.writing() as connection:
        set_grants(connection, person.id, Grants(frozenset(), frozenset(), Scope.of("north", "south")))
    assert _found(database).grants == Grants(frozenset(), frozenset(), Scope.of("north", "south"))
    with database.reading() as connection:
        assert [one.login_name for one in read_people(connection)] == ["wang"]


def test_a_licence_counts_until_it_expires(database: Database) -> None:
    person = _enter(database)
    with database.writing() as connection:
        set_licence(connection, person.id, Licence("1", "Beijing", 100, 5, "zhou"))
    found = _found(database)
    assert (found.valid_licence(99), found.valid_licence(100)) == (found.licence, None)
    with database.writing() as connection:
        set_licence(connection, person.id, None)
    assert _found(database).licence is None


def test_a_hash_is_renewed_only_if_the_password_is_still_the_same(database: Database) -> None:
    person = _enter(database)
    with database.writing() as connection:
        set_password(connection, person.id, "old", now_us=9)
        renew_hash(connection, person.id, before="older", after="wrong")
        renew_hash(connection, person.id, before="old", after="new")
    assert _found(database).password_hash == "new"


def test_a_session_is_found_by_its_token_alone_and_ends(database: Database) -> None:
    person = _enter(database)
    with database.writing() as connection:
        for token in ("one", "two"):
            add_session(
                connection,
                token,
                user_id=person.id,
                stage="open",
                signed_in_by="password",
                now_us=10,
                expires_at_us=100,
                address=None,
                browser=None,
            )
    with database.reading() as connection:
        found = find_session(connection, "one")
        assert found is not None
        assert found[1] == person
        assert find_session(connection, found[0].key) is None
        assert len(sessions_of(connection, person.id, now_us=50)) == 2
        assert sessions_of(connection, person.id, now_us=100) == []
    with database.writing() as connection:
        assert end_sessions_of(connection, person.id, now_us=60, but=found[0].key) == 1
        assert end_sessions_of(connection, person.id, now_us=60, key=found[0].key) == 1
        assert end_sessions_of(connection, person.id, now_us=60) == 0
        assert forget_sessions(connection, before_us=61) == 2


def test_a_link_is_used_once_and_a_newer_one_takes_its_place(database: Database) -> None:
    person = _enter(database)
    with database.writing() as connection:
        for token, user in (("first", None), ("second", None), ("mine", person.id)):
            add_link(
                connection,
                token,
                purpose="set-up" if user is None else "password",
                user_id=user,
                created_by="op",
                now_us=1,
                expires_at_us=100,
            )
        assert find_link(connection, "first", purpose="set-up", now_us=2) is None
        assert find_link(connection, "second", purpose="password", now_us=2) is None
        assert find_link(connection, "second", purpose="set-up", now_us=100) is None
        link = find_link(connection, "second", purpose="set-up", now_us=2)
        assert link is not None
        assert (use_link(connection, link, now_us=3), use_link(connection, link, now_us=3)) == (True, False)
        assert find_link(connection, "mine", purpose="password", now_us=4) is not None


def test_codes_of_a_second_factor_are_used_up(database: Database) -> None:
    person = _enter(database)
    with database.writing() as connection:
        set_factor(connection, person.id, "sealed", now_us=1)
        confirm_factor(connection, person.id, now_us=2)
        assert [use_step(connection, person.id, step) for step in (5, 5, 4, 6)] == [True, False, False, True]
        set_recovery_codes(connection, person.id, ["A", "B"])
        assert use_recovery_code(connection, person.id, "A", now_us=3)
        assert not use_recovery_code(connection, person.id, "A", now_us=3)
        assert count_recovery_codes(connection, person.id) == 1
        factor = find_factor(connection, person.id)
    assert factor is not None
    assert (factor.is_confirmed, factor.last_step) == (True, 6)
