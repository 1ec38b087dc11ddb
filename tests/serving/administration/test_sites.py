"""Sites as they are administered: by HTTP and by the program."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from serving.cli import app
from serving.identity.gate import Gate
from serving.identity.refusals import Refusals
from serving.store.audit import read_rows
from tests.serving.administration.as_role import OPERATOR, SUPERVISOR, AsRole
from tests.serving.service_in_process import Service, in_process


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with in_process(folder, make_gate=lambda trail: Gate([AsRole()], Refusals(trail))) as running:
        running.client.post("/api/v1/sites", json={"id": "north", "name": "北方医院"}, headers=OPERATOR)
        yield running


def test_a_site_is_made_and_renamed_with_what_was_before_in_the_trail(service: Service) -> None:
    made = service.client.post("/api/v1/sites", json={"id": "south", "name": "South"}, headers=OPERATOR)
    assert (made.status_code, made.json()) == (201, {"id": "south", "name": "South"})
    renamed = service.client.patch("/api/v1/sites/south", json={"name": " 南方医院 "}, headers=OPERATOR)
    assert renamed.json() == {"id": "south", "name": "南方医院"}
    listed = service.client.get("/api/v1/sites", headers=OPERATOR).json()["sites"]
    assert [site["id"] for site in listed] == ["local", "north", "south"]
    with service.database.reading() as connection:
        rows = [row for row in read_rows(connection) if row.site == "south"]
    assert [json.loads(row.details) for row in rows] == [
        {"site": "south", "before": None, "after": "South"},
        {"site": "south", "before": "South", "after": "南方医院"},
    ]


def test_a_supervisor_sees_their_sites_and_changes_none(service: Service) -> None:
    seen = service.client.get("/api/v1/sites", headers=SUPERVISOR).json()["sites"]
    assert seen == [{"id": "north", "name": "北方医院"}]
    made = service.client.post("/api/v1/sites", json={"id": "x", "name": "X"}, headers=SUPERVISOR)
    renamed = service.client.patch("/api/v1/sites/north", json={"name": "X"}, headers=SUPERVISOR)
    assert (made.status_code, renamed.status_code) == (403, 403)


@pytest.mark.parametrize("site", ["", "North", "-north", "no rth", "n/../x", "x" * 65, "'; DROP TABLE sites"])
def test_an_id_that_could_be_mistaken_is_refused(service: Service, site: str) -> None:
    answer = service.client.post("/api/v1/sites", json={"id": site, "name": "N"}, headers=OPERATOR)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")


def test_no_site_is_made_twice_and_none_renamed_that_is_not_there(service: Service) -> None:
    again = service.client.post("/api/v1/sites", json={"id": "north", "name": "N"}, headers=OPERATOR)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    missing = service.client.patch("/api/v1/sites/nowhere", json={"name": "N"}, headers=OPERATOR)
    assert missing.status_code == 404
    blank = service.client.patch("/api/v1/sites/north", json={"name": "  "}, headers=OPERATOR)
    assert blank.status_code == 422


def test_the_program_makes_lists_and_renames_sites(tmp_path: Path) -> None:
    with in_process(tmp_path):
        pass
    (tmp_path / "test.sqlite").rename(tmp_path / "firstread.sqlite")
    run = CliRunner(env={"FIRSTREAD_HOME": str(tmp_path)})
    assert run.invoke(app, ["admin", "sites", "create", "north", "北方医院"]).exit_code == 0
    assert run.invoke(app, ["admin", "sites", "rename", "north", "North"]).exit_code == 0
    assert run.invoke(app, ["admin", "sites", "list"]).stdout == "local  Local\nnorth  North\n"
    again = run.invoke(app, ["admin", "sites", "create", "north", "North"])
    assert (again.exit_code, "already" in again.stderr) == (1, True)
