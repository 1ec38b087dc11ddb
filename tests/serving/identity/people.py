"""People for tests: entered into the database, and let in without a password where that is not the point."""

import secrets
from collections.abc import Collection

from sqlalchemy import insert, select
from starlette.testclient import TestClient

from serving.identity.caller import Role, SignedInBy, Stage
from serving.identity.presence import page_token
from serving.identity.signing_in import SigningIn, Visitor
from serving.store.audit import read_rows
from serving.store.audit_chain import ActorKind, AuditRow, Who
from serving.store.people import Grants, Licence, Person, add_person, find_person, set_licence
from serving.store.tables import sites
from serving.store.tenancy import Scope
from serving.store.times import now_us
from tests.serving.service_in_process import Service

PASSWORD = "a lantern over the harbour"
VISITOR = Visitor(Who(ActorKind.ANONYMOUS, "anonymous", address="192.0.2.7"))
YEAR_US = 365 * 86400 * 1_000_000


def signing_in(service: Service) -> SigningIn:
    assert service.identity.accounts is not None
    return service.identity.accounts.signing_in


def add_site(service: Service, site: str) -> None:
    with service.database.writing() as connection:
        if connection.execute(select(sites.c.id).where(sites.c.id == site)).first() is None:
            connection.execute(insert(sites).values(id=site, name=site))


def enter(
    service: Service,
    *roles: Role,
    name: str = "",
    site: str = "local",
    password: str | None = None,
    licence_ends_us: int | None = None,
    everywhere: bool = False,
    specialties: Collection[str] = (),
) -> Person:
    """Enter somebody of a site; `licence_ends_us` is the end of a licence that was verified."""
    add_site(service, site)
    hashed = None if password is None else signing_in(service).hashing.hash(password)
    name = name or f"{roles[0] if roles else 'nobody'}-{secrets.token_hex(3)}"
    with service.database.writing() as connection:
        person = add_person(
            connection,
            login_name=name,
            name_zh="王芳",
            name_en="Wang Fang",
            home_site=site,
            grants=Grants(
                frozenset(roles),
                frozenset(specialties),
                Scope(None if everywhere else frozenset({site})),
            ),
            now_us=now_us(),
            password_hash=hashed,
        )
        if licence_ends_us is not None:
            licence = Licence("110101199001", "Beijing Health Commission", licence_ends_us, now_us(), "op")
            set_licence(connection, person.id, licence)
        again = find_person(connection, key=person.key)
    assert again is not None
    return again


def let_in(service: Service, person: Person, stage: Stage = Stage.OPEN) -> str:
    """Open a session and give what the browser holds."""
    with service.database.writing() as connection:
        parts = signing_in(service)
        return parts.open(connection, VISITOR, person, SignedInBy.PASSWORD, stage).token


def browser(service: Service, token: str | None = None, **headers: str) -> TestClient:
    """Give a client with its own cookies, which sends the page's token along with a session."""
    given = {} if token is None else {"X-CSRF-Token": page_token(token)}
    client = TestClient(service.client.app, raise_server_exceptions=False, headers=given | headers)
    if token is not None:
        client.cookies.set("firstread", token)
    return client


def rows(service: Service) -> list[AuditRow]:
    with service.database.reading() as connection:
        return list(read_rows(connection))
