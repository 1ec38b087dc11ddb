"""Every address with every caller: the table is what the service does, and the document says so."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from httpx2 import Response
from sqlalchemy import select, update

from serving.identity.caller import Role, Stage
from serving.identity.permissions import PERMISSIONS, Rule
from serving.identity.permissions_table import as_markdown, as_text
from serving.store.identity_tables import sessions, users
from serving.store.people import Person
from serving.store.times import now_us
from tests.serving.identity.addresses import filled
from tests.serving.identity.people import YEAR_US, browser, enter, let_in, rows
from tests.serving.service_in_process import Service, in_process

ROOT = Path(__file__).resolve().parents[3]

GATE_CODES = {
    "sign-in-needed": 401,
    "credential-refused": 401,
    "not-allowed": 403,
    "licence-needed": 403,
    "page-token-wrong": 403,
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with in_process(tmp_path_factory.mktemp("service"), with_sign_in=True) as running:
        yield running


@pytest.fixture(scope="module")
def people(service: Service) -> dict[Role | None, Person]:
    return {role: enter(service, *([] if role is None else [role])) for role in (None, *Role)}


def _code(answer: Response) -> str | None:
    """Give the code with which the gate refused, None if it let through; a refusal is a whole document."""
    if answer.headers.get("content-type") == "application/fhir+json":
        return _code_of_outcome(answer)
    if answer.headers.get("content-type") != "application/problem+json":
        assert answer.status_code != 401
        return None
    problem = answer.json()
    if problem["code"] not in GATE_CODES:
        return None
    assert answer.status_code == problem["status"] == GATE_CODES[problem["code"]]
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    if answer.status_code == 401:
        assert "Session " in answer.headers["WWW-Authenticate"]
    return str(problem["code"])


def _code_of_outcome(answer: Response) -> str | None:
    resource = answer.json()
    if resource["resourceType"] != "OperationOutcome":
        assert answer.status_code < 400
        return None
    code = str(resource["issue"][0]["details"]["coding"][0]["code"])
    if code not in GATE_CODES:
        return None
    assert answer.status_code == GATE_CODES[code]
    if answer.status_code == 401:
        assert "Session " in answer.headers["WWW-Authenticate"]
    return code


def _as_the_table_says(rule: Rule, role: Role | None) -> str | None:
    is_signed_in_enough = Stage.OPEN in rule.stages
    return None if rule.is_public or role in rule.roles or is_signed_in_enough else "not-allowed"


@pytest.mark.parametrize("role", [None, *Role], ids=str)
def test_each_role_may_use_what_its_column_says_and_nothing_else(
    service: Service, people: dict[Role | None, Person], role: Role | None
) -> None:
    for address, rule in PERMISSIONS.items():
        client = browser(service, let_in(service, people[role]))
        answer = client.request(address[0], filled(address), follow_redirects=False)
        expected = _as_the_table_says(rule, role)
        if expected is None and rule.needs_licence:
            expected = "licence-needed"  # nobody here has one
        assert _code(answer) == expected, (address, role, answer.text)
        assert answer.status_code < 500, (address, answer.text)


def test_a_stranger_may_use_what_is_for_everybody_and_is_asked_who_they_are_elsewhere(
    service: Service,
) -> None:
    for address, rule in PERMISSIONS.items():
        answer = browser(service).request(address[0], filled(address), follow_redirects=False)
        assert _code(answer) == (None if rule.is_public else "sign-in-needed"), (address, answer.text)


@pytest.mark.parametrize("flaw", ["forged", "altered", "expired", "idle", "ended", "shut out", "empty"])
def test_a_cookie_that_is_no_good_opens_nothing(service: Service, flaw: str) -> None:
    person = enter(service, *Role)
    token = let_in(service, person)
    told = {"empty": "sign-in-needed"}.get(flaw, "credential-refused")
    now = now_us()
    changes = {
        "expired": {"expires_at": now - 1},
        "idle": {"last_seen_at": now - 3600 * 1_000_000},
        "ended": {"ended_at": now},
    }
    with service.database.writing() as connection:
        if flaw in changes:
            mine = sessions.c.user_id == person.id
            connection.execute(update(sessions).where(mine).values(changes[flaw]))
        if flaw == "shut out":
            connection.execute(update(users).where(users.c.id == person.id).values(is_active=False))
        key = connection.execute(select(sessions.c.token_sha256)).scalars().first()
    held = {"forged": str(key), "altered": token[:-1] + ("A" if token[-1] != "A" else "B"), "empty": ""}
    client = browser(service, held.get(flaw, token))
    n_before = len(rows(service))
    for address, rule in PERMISSIONS.items():
        answer = client.request(
            address[0],
            filled(address),
            follow_redirects=False,
        )
        assert _code(answer) == (None if rule.is_public else told), (flaw, address, answer.text)
    refused = [row for row in rows(service)[n_before:] if row.action == "access-refused"]
    assert {row.actor for row in refused} <= {"anonymous"}
    assert flaw == "empty" or len(rows(service)) >= n_before  # beyond a flood they are counted alone


@pytest.mark.parametrize("stage", [Stage.SECOND_FACTOR, Stage.ENROLMENT])
def test_who_has_come_half_way_in_gets_no_further(
    service: Service, people: dict[Role | None, Person], stage: Stage
) -> None:
    for address, rule in PERMISSIONS.items():
        token = let_in(service, people[Role.SUPERVISOR], stage)
        answer = browser(service, token).request(address[0], filled(address), follow_redirects=False)
        expected = None if rule.is_public or stage in rule.stages else "sign-in-needed"
        assert _code(answer) == expected, (address, answer.text)


def test_no_change_is_made_by_a_cookie_without_the_token_of_its_page(service: Service) -> None:
    person = enter(service, *Role, licence_ends_us=now_us() + YEAR_US)
    token = let_in(service, person)
    for address, rule in PERMISSIONS.items():
        if rule.is_public or address[0] == "GET" or not rule.roles & set(Role):
            continue
        for headers in ({}, {"X-CSRF-Token": "0" * 64}):
            client = browser(service)
            client.cookies.set("firstread", token)
            files = {"files": ("a.jpg", b"x")} if rule.checks_csrf_itself else None
            answer = client.request(
                address[0], filled(address), headers=headers, files=files, follow_redirects=False
            )
            if rule.checks_csrf_itself:
                assert (answer.status_code, "came from elsewhere" in answer.text) == (403, True)
            else:
                assert _code(answer) == "page-token-wrong", (address, answer.text)
    assert browser(service, token).get("/api/v1/me").status_code == 200  # nor was the session ended


def test_the_document_says_what_the_table_says() -> None:
    written = (ROOT / "docs" / "permissions.md").read_text(encoding="utf-8")
    assert written == as_markdown(PERMISSIONS), "firstread admin permissions --markdown > docs/permissions.md"


def test_the_command_writes_each_row_on_a_line() -> None:
    lines = as_text(PERMISSIONS).splitlines()
    assert len(lines) == len(PERMISSIONS)
    assert any(line.split() == ["GET", "/healthz", "everybody"] for line in lines)
