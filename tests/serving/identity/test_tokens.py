"""API tokens over HTTP: made once, good for their site and scopes, ended, expired, guessed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from httpx2 import Response

from serving.audit.trail import AuditTrail
from serving.identity.bearer import BearerTokens
from serving.identity.caller import EVERY_SITE, TokenScope
from serving.identity.gate import Gate
from serving.identity.guesses import Guesses
from serving.identity.permissions import PERMISSIONS, Address
from serving.identity.refusals import Refusals
from serving.identity.token_secret import PATTERN, new_secret
from serving.identity.tokens import MadeToken, Tokens
from serving.store.audit import read_rows
from serving.store.audit_chain import ActorKind, AuditRow, Who
from serving.store.sites import add_site
from tests.serving.identity.addresses import filled
from tests.serving.service_in_process import Service, in_process, photograph

OPERATOR = Who(ActorKind.OPERATOR, "root")
EVERY_SCOPE = frozenset(TokenScope)


class Clock:
    """The time of the tokens; each test moves it as it likes."""

    ahead_us = 0
    monotonic_s = 0.0


CLOCK = Clock()


def _gate(trail: AuditTrail) -> Gate:
    guesses = Guesses(most=5, window_s=60.0, clock=lambda: CLOCK.monotonic_s)
    bearer = BearerTokens(trail.database, guesses, clock=lambda: trail.clock() + CLOCK.ahead_us)
    return Gate([bearer], Refusals(trail, clock_s=lambda: CLOCK.monotonic_s))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with in_process(tmp_path_factory.mktemp("service"), make_gate=_gate, with_sign_in=True) as running:
        with running.database.writing() as connection:
            add_site(connection, "north", "Northern hospital")
            add_site(connection, "south", "Southern hospital")
        yield running


@pytest.fixture(autouse=True)
def _fresh_window() -> None:
    CLOCK.monotonic_s += 1000.0
    CLOCK.ahead_us = 0


def make(service: Service, site: str = "north", scopes: frozenset[TokenScope] = EVERY_SCOPE) -> MadeToken:
    return Tokens(service.database, service.trail).make(
        name="gateway", site=site, scopes=scopes, days=30, who=OPERATOR, scope=EVERY_SITE
    )


def ask(service: Service, secret: str, path: str = "/api/v1/worklist") -> Response:
    answer: Response = service.client.get(path, headers={"Authorization": f"Bearer {secret}"})
    return answer


def send(service: Service, secret: str, red: int) -> Response:
    answer: Response = service.client.post(
        "/api/v1/studies",
        files={"files": (f"{red}.jpg", photograph(red))},
        headers={"Authorization": f"Bearer {secret}"},
    )
    return answer


def rows(service: Service) -> list[AuditRow]:
    with service.database.reading() as connection:
        return list(read_rows(connection))


def test_a_token_sends_for_its_site_and_sees_what_it_sent(service: Service) -> None:
    made = make(service)
    sent = send(service, made.secret, 100)
    assert sent.status_code == 201
    (study,) = sent.json()["studies"]
    assert ask(service, made.secret, study["url"]).status_code == 200
    received = next(row for row in rows(service) if row.action == "received")
    assert (received.site, received.actor_kind) == ("north", "token")
    assert received.actor == f"gateway ({made.token.key})"


def test_the_secret_stands_in_no_table_and_no_row_of_the_trail(service: Service) -> None:
    made = make(service)
    ask(service, made.secret)
    file = service.database.engine.url.database
    assert file is not None
    kept = b"".join(path.read_bytes() for path in Path(file).parent.glob("test.sqlite*"))
    assert PATTERN.search(made.secret)
    assert made.secret.encode() not in kept
    assert made.token.key.encode() in kept


@pytest.mark.parametrize(
    ("scope", "opened"),
    [
        (
            TokenScope.UPLOAD,
            {
                ("POST", "/api/v1/studies"),
                ("PUT", "/api/v1/studies/{study}/consent"),
                ("POST", "/api/v1/studies/{study}/complete"),
                ("POST", "/api/v1/uploads"),
                ("GET", "/api/v1/uploads/{upload}"),
                ("PATCH", "/api/v1/uploads/{upload}"),
                ("DELETE", "/api/v1/uploads/{upload}"),
                ("GET", "/api/v1/uploads/batches/{batch}"),
                ("POST", "/api/v1/uploads/batches/{batch}/complete"),
                ("POST", "/fhir/ServiceRequest"),
                ("PUT", "/fhir/ServiceRequest/{order}"),
                ("POST", "/dicom-web/studies"),
                ("POST", "/dicom-web/studies/{study}"),
            },
        ),
        (TokenScope.METRICS, {("GET", "/metrics")}),
    ],
)
def test_a_token_is_good_for_what_it_names_alone(
    service: Service, scope: TokenScope, opened: set[Address]
) -> None:
    secret = make(service, scopes=frozenset({scope})).secret
    for method, path in PERMISSIONS:
        rule = PERMISSIONS[method, path]
        if rule.is_public:
            continue
        answer = service.client.request(
            method,
            filled((method, path)),
            headers={"Authorization": f"Bearer {secret}"},
        )
        assert (answer.status_code != 403) == ((method, path) in opened), (method, path, answer.text)


def test_every_row_that_programs_may_use_names_the_scope_that_opens_it() -> None:
    from serving.identity.caller import Role

    for address, rule in PERMISSIONS.items():
        assert (Role.SERVICE in rule.roles) == (rule.token_scope is not None), address


def test_a_revoked_token_is_refused_at_once_and_the_trail_names_it(service: Service) -> None:
    made = make(service)
    assert ask(service, made.secret).status_code == 200
    Tokens(service.database, service.trail).revoke(made.token.key, who=OPERATOR, scope=EVERY_SITE)
    answer = ask(service, made.secret)
    assert (answer.status_code, answer.json()["code"]) == (401, "credential-refused")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="firstread"'
    details = json.loads(rows(service)[-1].details)
    assert (details["reason"], details["token"]) == ("revoked", made.token.key)


def test_an_expired_token_is_refused(service: Service) -> None:
    made = make(service)
    CLOCK.ahead_us = 30 * 24 * 3600 * 1_000_000
    assert ask(service, made.secret).status_code == 401
    assert json.loads(rows(service)[-1].details)["reason"] == "expired"
    CLOCK.ahead_us -= 60_000_000
    assert ask(service, made.secret).status_code == 200


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        (new_secret(), "unknown"),
        ("firstread_" + "a" * 46, "malformed"),
        ("", "malformed"),
        ("' OR 1=1 --", "malformed"),
    ],
)
def test_what_is_no_token_is_refused_and_kept_in_the_trail(
    service: Service, secret: str, reason: str
) -> None:
    assert ask(service, secret).status_code == 401
    row = rows(service)[-1]
    assert (row.action, row.result, json.loads(row.details)["reason"]) == (
        "access-refused",
        "refused",
        reason,
    )
    assert secret == "" or secret not in row.details


def test_who_guesses_is_made_to_wait_and_who_knows_is_not(service: Service) -> None:
    made = make(service)
    answers = [ask(service, new_secret()).status_code for _ in range(8)]
    assert answers == [401] * 5 + [429] * 3
    waiting = ask(service, new_secret())
    assert waiting.json()["code"] == "too-many-tries"
    assert 1 <= int(waiting.headers["Retry-After"]) <= 60
    n_rows = len(rows(service))
    for _ in range(20):
        ask(service, new_secret())
    assert len(rows(service)) == n_rows  # a flood of guesses does not fill the trail
    assert ask(service, made.secret).status_code == 200
    CLOCK.monotonic_s += 61.0
    assert ask(service, new_secret()).status_code == 401


def test_the_last_use_is_noted_to_the_minute(service: Service) -> None:
    made = make(service)
    tokens = Tokens(service.database, service.trail)

    def last_use() -> int | None:
        return next(one for one in tokens.all(scope=EVERY_SITE) if one.key == made.token.key).last_used_at_us

    assert last_use() is None
    ask(service, made.secret)
    first = last_use()
    assert first is not None
    ask(service, made.secret)
    assert last_use() == first
    CLOCK.ahead_us = 61_000_000
    ask(service, made.secret)
    assert last_use() == pytest.approx(first + 61_000_000, abs=30_000_000)


def test_basic_authentication_is_no_proof_of_ours(service: Service) -> None:
    answer = service.client.get("/api/v1/worklist", headers={"Authorization": "Basic cm9vdDpyb290"})
    assert (answer.status_code, answer.json()["code"]) == (401, "sign-in-needed")
