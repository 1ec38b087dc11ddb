from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.testclient import TestClient

from serving.app import addresses, refuse_addresses_without_rule
from serving.audit.trail import AuditTrail
from serving.identity.authentication import CredentialRefusedError
from serving.identity.caller import NOBODY, ActingCaller, ActingScope, ActingSite, Caller, Role
from serving.identity.gate import Gate
from serving.identity.permissions import PERMISSIONS, PUBLIC, Rule
from serving.identity.refusals import ROWS_A_MINUTE, Refusals
from serving.problems import answer_with_problems
from serving.store.audit import read_rows
from serving.store.audit_chain import ActorKind, AuditRow, Who
from serving.store.tenancy import Scope
from tests.serving.service_in_process import Service, in_process

TABLE = {
    ("GET", "/open"): PUBLIC,
    ("GET", "/list"): Rule(frozenset({Role.READER, Role.SUPERVISOR})),
    ("POST", "/decide"): Rule(frozenset({Role.READER}), needs_licence=True),
}


class ByHeader:
    """Believes a header, as no real way to sign in does: ``reader:site-a``."""

    challenge = "Believe"

    def __call__(self, request: Request) -> Caller | None:
        given = request.headers.get("x-as")
        if given is None:
            return None
        if given == "forged":
            raise CredentialRefusedError("session", "unknown", clearing="c=; Max-Age=0")
        role, _, site = given.partition(":")
        return Caller(
            Who(ActorKind.PERSON, "wang", address="192.0.2.1"),
            frozenset({Role(role)}),
            Scope(frozenset({site})),
            site or None,
            may_read=request.headers.get("x-licence") == "valid",
            csrf=request.headers.get("x-session-csrf"),
        )


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with in_process(
        tmp_path_factory.mktemp("service"),
        make_gate=lambda trail: Gate([ByHeader()], Refusals(trail)),
    ) as running:
        yield running


def _small_app(trail: AuditTrail) -> TestClient:
    gate = Gate([ByHeader()], Refusals(trail), table=TABLE)
    app = FastAPI(dependencies=[Depends(gate.admit), Depends(gate.check_page_token)], openapi_url=None)
    app.router.routes.clear()
    router = APIRouter()

    @router.get("/open")
    def read_open(caller: ActingCaller) -> dict[str, object]:
        return {"roles": sorted(caller.roles), "scope": caller.scope == NOBODY}

    @router.get("/list")
    def read_list(scope: ActingScope, site: ActingSite) -> dict[str, object]:
        return {"sites": sorted(scope.sites or ()), "site": site}

    @router.post("/decide")
    def decide() -> dict[str, object]:
        return {"decided": True}

    answer_with_problems(app)
    app.include_router(router)
    refuse_addresses_without_rule(app, gate)
    return TestClient(app)


def _last_row(service: Service) -> AuditRow:
    with service.database.reading() as connection:
        return list(read_rows(connection))[-1]


def test_a_stranger_is_asked_who_they_are(service: Service) -> None:
    answer = _small_app(service.trail).get("/list")
    assert (answer.status_code, answer.json()["code"]) == (401, "sign-in-needed")
    assert answer.headers["WWW-Authenticate"] == "Believe"


def test_a_public_address_asks_nobody_and_knows_nobody(service: Service) -> None:
    answer = _small_app(service.trail).get("/open", headers={"x-as": "reader:a"})
    assert answer.json() == {"roles": [], "scope": True}


def test_a_caller_acts_within_their_sites(service: Service) -> None:
    answer = _small_app(service.trail).get("/list", headers={"x-as": "reader:a"})
    assert answer.json() == {"sites": ["a"], "site": "a"}


def test_a_caller_without_a_site_is_told_so(service: Service) -> None:
    answer = _small_app(service.trail).get("/list", headers={"x-as": "reader"})
    assert (answer.status_code, answer.json()["code"]) == (403, "no-site")


def test_another_role_is_refused_and_the_trail_names_who_was(service: Service) -> None:
    answer = _small_app(service.trail).get("/list", headers={"x-as": "auditor:a"})
    assert (answer.status_code, answer.json()["code"]) == (403, "not-allowed")
    row = _last_row(service)
    assert (row.action, row.result, row.actor, row.site) == ("access-refused", "refused", "wang", "a")
    assert '"address":"/list"' in row.details


def test_a_forged_proof_is_refused_forgotten_by_the_browser_and_kept_in_the_trail(service: Service) -> None:
    answer = _small_app(service.trail).get("/list", headers={"x-as": "forged"})
    assert (answer.status_code, answer.json()["code"]) == (401, "credential-refused")
    assert answer.headers["Set-Cookie"] == "c=; Max-Age=0"
    row = _last_row(service)
    assert (row.action, row.actor) == ("access-refused", "anonymous")
    assert '"reason":"unknown"' in row.details


def test_without_a_valid_licence_a_reader_looks_but_does_not_decide(service: Service) -> None:
    client = _small_app(service.trail)
    expired, valid = {"x-as": "reader:a"}, {"x-as": "reader:a", "x-licence": "valid"}
    assert client.get("/list", headers=expired).status_code == 200
    refused = client.post("/decide", headers=expired)
    assert (refused.status_code, refused.json()["code"]) == (403, "licence-needed")
    assert client.post("/decide", headers=valid).json() == {"decided": True}


@pytest.mark.parametrize(
    ("headers", "data", "status"),
    [
        ({}, None, 403),
        ({"x-csrf-token": "other"}, None, 403),
        ({"x-csrf-token": "right"}, None, 200),
        ({}, {"csrf": "right"}, 200),
        ({}, {"csrf": "other"}, 403),
        ({"x-csrf-token": "other"}, {"csrf": "right"}, 403),
        ({}, {"csrf": "r\u00efght"}, 403),
    ],
)
def test_a_change_needs_the_token_of_the_page_that_asks(
    service: Service, headers: dict[str, str], data: dict[str, str] | None, status: int
) -> None:
    proof = {"x-as": "reader:a", "x-licence": "valid", "x-session-csrf": "right"}
    assert _small_app(service.trail).post("/decide", headers=proof | headers, data=data).status_code == status


def test_an_address_without_a_row_is_closed_and_keeps_the_application_from_being_built(
    service: Service,
) -> None:
    gate = Gate([ByHeader()], Refusals(service.trail), table=TABLE)
    app = FastAPI(dependencies=[Depends(gate.admit)], openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/forgotten")
    def read_forgotten() -> str:
        return "secret"

    answer_with_problems(app)
    assert TestClient(app).get("/forgotten", headers={"x-as": "supervisor:a"}).status_code == 403
    with pytest.raises(ValueError, match=r"/forgotten.* has no row"):
        refuse_addresses_without_rule(app, gate)


def test_an_address_that_does_not_pass_the_gate_cannot_have_a_role(service: Service) -> None:
    gate = Gate([ByHeader()], Refusals(service.trail), table={("GET", "/d.json"): TABLE["GET", "/list"]})
    app = FastAPI(openapi_url="/d.json", docs_url=None, redoc_url=None)
    with pytest.raises(ValueError, match="does not pass the gate"):
        refuse_addresses_without_rule(app, gate)


def test_the_table_has_no_row_for_an_address_that_is_not_there(tmp_path: Path) -> None:
    with in_process(tmp_path, with_sign_in=True) as service:
        assert isinstance(service.client.app, FastAPI)
        assert set(PERMISSIONS) == {address for address, _ in addresses(service.client.app)}


def test_a_flood_of_refusals_is_counted_and_does_not_fill_the_trail(service: Service) -> None:
    now_s = [0.0]
    refusals = Refusals(service.trail, clock_s=lambda: now_s[0])
    caller = Caller(Who(ActorKind.ANONYMOUS, "anonymous", address="192.0.2.9"), frozenset(), NOBODY, None)
    request = Request({"type": "http", "method": "GET", "headers": []})
    with service.database.reading() as connection:
        n_before = len(list(read_rows(connection)))
    for _ in range(ROWS_A_MINUTE + 500):
        refusals.note(request, caller, {"reason": "x"})
    now_s[0] = 61.0
    refusals.note(request, caller, {"reason": "x"})
    with service.database.reading() as connection:
        rows = list(read_rows(connection))[n_before:]
    assert len(rows) == ROWS_A_MINUTE + 1
    assert '"left_out_before":500' in rows[-1].details


def test_the_pages_are_closed_to_strangers_and_open_to_the_roles_of_their_rows(
    service: Service,
) -> None:
    assert service.client.get("/api/v1/worklist").status_code == 401
    assert service.client.get("/api/v1/worklist", headers={"x-as": "operator:local"}).status_code == 403
    assert service.client.get("/api/v1/worklist", headers={"x-as": "reader:local"}).status_code == 200
    assert service.client.get("/healthz").status_code == 200
