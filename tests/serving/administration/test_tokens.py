"""Tokens as they are administered: by HTTP and by the program."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from serving.cli import app
from serving.identity.gate import Gate
from serving.identity.refusals import Refusals
from serving.identity.token_secret import is_well_formed
from serving.store.audit import read_rows
from serving.store.sites import add_site
from tests.serving.administration.as_role import OPERATOR, SUPERVISOR, AsRole
from tests.serving.identity.authority import Authority
from tests.serving.service_in_process import Service, in_process


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with in_process(folder, make_gate=lambda trail: Gate([AsRole()], Refusals(trail))) as running:
        with running.database.writing() as connection:
            add_site(connection, "north", "Northern hospital")
            add_site(connection, "south", "Southern hospital")
        yield running


ASKED = {"name": "gateway", "site": "north", "scopes": ["upload", "read"], "days": 90}


def test_a_token_is_made_listed_without_its_secret_and_ended(service: Service) -> None:
    made = service.client.post("/api/v1/tokens", json=ASKED, headers=OPERATOR)
    assert made.status_code == 201
    assert made.headers["Cache-Control"] == "no-store"
    assert is_well_formed(made.json()["secret"])
    listed = service.client.get("/api/v1/tokens", headers=OPERATOR).json()["tokens"][0]
    assert listed == {name: value for name, value in made.json().items() if name != "secret"}
    ended = service.client.delete(f"/api/v1/tokens/{listed['id']}", headers=OPERATOR)
    assert ended.json()["revoked_at"] is not None
    again = service.client.delete(f"/api/v1/tokens/{listed['id']}", headers=OPERATOR)
    assert again.json() == ended.json()
    with service.database.reading() as connection:
        changes = [row for row in read_rows(connection) if row.action == "permission-changed"]
    first, second = (json.loads(row.details) for row in changes)
    assert first["before"] is None
    assert first["after"]["scopes"] == ["read", "upload"]
    assert (second["before"], second["after"]) == (first["after"], None)
    assert all(row.site == "north" for row in changes)


def test_a_supervisor_administers_the_tokens_of_their_sites_alone(service: Service) -> None:
    ours = service.client.post("/api/v1/tokens", json=ASKED, headers=SUPERVISOR).json()
    theirs = service.client.post("/api/v1/tokens", json=ASKED | {"site": "south"}, headers=OPERATOR).json()
    refused = service.client.post("/api/v1/tokens", json=ASKED | {"site": "south"}, headers=SUPERVISOR)
    assert (refused.status_code, refused.json()["code"]) == (404, "not-found")
    seen = [one["id"] for one in service.client.get("/api/v1/tokens", headers=SUPERVISOR).json()["tokens"]]
    assert ours["id"] in seen
    assert theirs["id"] not in seen
    assert service.client.delete(f"/api/v1/tokens/{theirs['id']}", headers=SUPERVISOR).status_code == 404
    assert service.client.delete(f"/api/v1/tokens/{ours['id']}", headers=SUPERVISOR).status_code == 200


def test_a_supervisor_gives_no_token_what_is_the_operators(service: Service) -> None:
    asked = ASKED | {"scopes": ["metrics"]}
    refused = service.client.post("/api/v1/tokens", json=asked, headers=SUPERVISOR)
    assert (refused.status_code, refused.json()["code"]) == (403, "not-allowed")
    assert service.client.post("/api/v1/tokens", json=asked, headers=OPERATOR).status_code == 201


@pytest.mark.parametrize("role", ["reader", "uploader", "auditor", "service"])
def test_others_neither_make_nor_see_nor_end_tokens(service: Service, role: str) -> None:
    headers = {"x-role": role, "x-sites": "north"}
    assert service.client.post("/api/v1/tokens", json=ASKED, headers=headers).status_code == 403
    assert service.client.get("/api/v1/tokens", headers=headers).status_code == 403
    assert service.client.delete("/api/v1/tokens/x", headers=headers).status_code == 403


@pytest.mark.parametrize(
    "change",
    [{"scopes": []}, {"scopes": ["everything"]}, {"days": 0}, {"days": 9999}, {"name": ""}, {"x": 1}],
)
def test_a_token_for_nothing_or_for_ever_is_not_made(service: Service, change: dict[str, object]) -> None:
    answer = service.client.post("/api/v1/tokens", json=ASKED | change, headers=OPERATOR)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")


def test_a_token_of_a_site_that_is_not_there_is_not_made(service: Service) -> None:
    answer = service.client.post("/api/v1/tokens", json=ASKED | {"site": "nowhere"}, headers=OPERATOR)
    assert answer.status_code == 404


def test_the_program_makes_lists_and_ends_tokens(tmp_path: Path) -> None:
    with in_process(tmp_path) as running:
        home = str(Path(str(running.database.engine.url.database)).parent)
    (tmp_path / "test.sqlite").rename(tmp_path / "firstread.sqlite")
    run = CliRunner()
    arguments = [
        "admin",
        "tokens",
        "create",
        "gateway",
        "--site",
        "local",
        "--scope",
        "upload",
        "--home",
        home,
    ]
    made = run.invoke(app, arguments)
    assert made.exit_code == 0, made.output
    assert is_well_formed(made.stdout.strip())
    assert "shown this once" in made.stderr
    listed = run.invoke(app, ["admin", "tokens", "list", "--home", home]).stdout
    assert "gateway" in listed
    assert made.stdout.strip() not in listed
    key = listed.split()[0]
    assert "revoked" in run.invoke(app, ["admin", "tokens", "revoke", key, "--home", home]).stdout
    missing = run.invoke(app, ["admin", "tokens", "revoke", "x", "--home", home])
    assert (missing.exit_code, "There is no token 'x'" in missing.stderr) == (1, True)
    elsewhere = run.invoke(app, [*arguments[:-1], str(tmp_path / "nowhere")])
    assert (elsewhere.exit_code, "no database" in elsewhere.stderr) == (1, True)


def test_the_program_says_whose_a_certificate_is(tmp_path: Path) -> None:
    with in_process(tmp_path):
        pass
    (tmp_path / "test.sqlite").rename(tmp_path / "firstread.sqlite")
    run = CliRunner(env={"FIRSTREAD_HOME": str(tmp_path)})
    made = ["admin", "tokens", "create", "gateway", "--site", "local", "--scope", "upload"]
    assert run.invoke(app, made).exit_code == 0
    token = run.invoke(app, ["admin", "tokens", "list"]).stdout.split()[0]

    def certificates(*arguments: str) -> str:
        done = run.invoke(app, ["admin", "certificates", *arguments])
        return done.output if done.exit_code == 0 else f"failed: {done.stderr}"

    certificate, _ = Authority().issue("gateway").write(tmp_path, "gateway")
    assert "subject CN=gateway,O=Hospital" in certificates(
        "add", "--subject", "CN=gateway, O=Hospital", "--token", token
    )
    assert "somebody's already" in certificates("add", "--subject", "CN=gateway,O=Hospital", "--token", token)
    assert "fingerprint " in certificates("add", "--file", str(certificate), "--token", token)
    assert "failed" in certificates("add", "--subject", "/C=CN/CN=gateway", "--token", token)
    assert "failed" in certificates("add", "--subject", "CN=x", "--user", "ghost")
    assert "failed" in certificates("add", "--subject", "CN=x")
    listed = certificates("list").splitlines()
    assert len(listed) == 2
    assert "subject" in certificates("remove", listed[0].split()[0])
    assert len(certificates("list").splitlines()) == 1
    assert "failed" in certificates("remove", "x")
