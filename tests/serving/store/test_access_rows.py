"""Tokens, sign-ins that were begun, certificates and operators as they are stored, in both databases."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.administration.people.service import Administrator, Change, People
from serving.audit.opening import open_trail
from serving.audit.trail import AuditTrail
from serving.errors import ServiceError
from serving.identity.caller import EVERY_SITE, Role, TokenScope
from serving.identity.opening import open_links
from serving.identity.tokens import Tokens
from serving.store.api_tokens import find_token, list_tokens, note_use
from serving.store.audit_chain import ActorKind, Who
from serving.store.client_certificates import add_certificate, find_certificate
from serving.store.database import Database, open_database
from serving.store.external_identities import find_linked, link_identity
from serving.store.pending_sign_ins import PendingSignIn, put_pending, take_pending
from serving.store.people import Grants, find_person
from serving.store.sites import add_site, ensure_local_site
from serving.store.tenancy import Scope
from tests.serving.store.databases import Place

ROOT = Administrator(Who(ActorKind.OPERATOR, "root"))


@pytest.fixture
def database(place: Place) -> Iterator[Database]:
    opened = open_database(place)
    with opened.writing() as connection:
        ensure_local_site(connection)
        add_site(connection, "north", "North")
    yield opened
    opened.close()


@pytest.fixture
def trail(database: Database, tmp_path: Path) -> AuditTrail:
    return open_trail(database, tmp_path)


def _operator(trail: AuditTrail, name: str) -> str:
    grants = Grants(frozenset({str(Role.OPERATOR)}), frozenset(), Scope(None))
    people = People(trail.database, trail, open_links(trail))
    person, _ = people.enter(name, name_zh="", name_en=name, home_site=None, grants=grants, by=ROOT)
    return person.key


def test_tokens_are_found_within_the_scope_alone_and_their_last_use_only_grows(
    database: Database, trail: AuditTrail
) -> None:
    made = Tokens(database, trail).make(
        name="a", site="north", scopes=frozenset({TokenScope.READ}), days=1, who=ROOT.who, scope=EVERY_SITE
    )
    key = made.token.key
    with database.writing() as connection:
        assert find_token(connection, key, scope=Scope.of("local")) is None
        assert list_tokens(connection, scope=Scope.of("local")) == []
        assert list_tokens(connection, scope=Scope.of()) == []
        for at_us in (20, 10):
            note_use(connection, key, at_us=at_us)
        found = find_token(connection, key, scope=Scope.of("north"))
    assert found is not None
    assert (found.last_used_at_us, sorted(found.scopes)) == (20, ["read"])


def test_of_many_that_take_a_sign_in_at_once_one_gets_it(database: Database) -> None:
    with database.writing() as connection:
        put_pending(connection, PendingSignIn("s" * 64, "b" * 64, "n", "v", "/", 100), forget_before_us=0)
    got: list[PendingSignIn] = []
    gate = threading.Barrier(6)

    def take() -> None:
        gate.wait()
        with database.writing() as connection:
            found = take_pending(connection, "s" * 64)
        if found is not None:
            got.append(found)

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [PendingSignIn("s" * 64, "b" * 64, "n", "v", "/", 100)]


def test_sign_ins_that_nobody_came_back_for_are_forgotten(database: Database) -> None:
    with database.writing() as connection:
        put_pending(connection, PendingSignIn("1" * 64, "b" * 64, "n", "v", "/", 100), forget_before_us=0)
        put_pending(connection, PendingSignIn("2" * 64, "b" * 64, "n", "v", "/", 300), forget_before_us=200)
        assert take_pending(connection, "1" * 64) is None
        assert take_pending(connection, "2" * 64) is not None


def test_two_operators_who_remove_one_another_at_once_do_not_both_succeed(
    database: Database, trail: AuditTrail
) -> None:
    keys = [_operator(trail, name) for name in ("chen", "li.na")]
    people = People(database, trail, open_links(trail))
    gate = threading.Barrier(2)
    refused: list[ServiceError] = []

    def remove(key: str) -> None:
        gate.wait()
        try:
            people.change(key, Change(is_active=False), by=ROOT)
        except ServiceError as error:
            refused.append(error)

    threads = [threading.Thread(target=remove, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    with database.reading() as connection:
        people_now = [find_person(connection, key=key) for key in keys]
    assert sorted(person.is_active for person in people_now if person is not None) == [False, True]


def test_a_subject_is_linked_within_its_issuer_alone(database: Database, trail: AuditTrail) -> None:
    key = _operator(trail, "chen")
    with database.writing() as connection:
        person = find_person(connection, key=key)
        assert person is not None
        link_identity(connection, issuer="https://a", subject="7", user_id=person.id, now_us=1)
        assert find_linked(connection, issuer="https://a", subject="7") == person.id
        assert find_linked(connection, issuer="https://b", subject="7") is None
        assert find_linked(connection, issuer="https://a", subject="' OR 1=1 --") is None


def test_a_certificate_is_found_by_its_fingerprint_before_its_subject(
    database: Database, trail: AuditTrail
) -> None:
    for name in ("chen", "li.na"):
        _operator(trail, name)
    with database.writing() as connection:
        for kind, value, name in (("subject", "CN=a", "chen"), ("fingerprint", "f" * 64, "li.na")):
            add_certificate(
                connection,
                kind=kind,
                value=value,
                login_name=name,
                token_key=None,
                created_by="root",
                now_us=1,
            )
        both = find_certificate(connection, [("subject", "CN=a"), ("fingerprint", "f" * 64)])
        one = find_certificate(connection, [("subject", "CN=a")])
        assert find_certificate(connection, [("fingerprint", "CN=a")]) is None
    assert both is not None
    assert one is not None
    assert (both.login_name, one.login_name) == ("li.na", "chen")
