"""Devices as they are administered: by HTTP and by the program."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from serving.cli import app
from serving.identity.gate import Gate
from serving.identity.refusals import Refusals
from serving.store.audit import read_rows
from tests.serving.administration.as_role import OPERATOR, SUPERVISOR, AsRole
from tests.serving.service_in_process import Service, in_process

CT = {"site": "north", "title": "CT 1", "host": "10.0.0.5", "port": 104, "services": ["store", "commit"]}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with in_process(folder, make_gate=lambda trail: Gate([AsRole()], Refusals(trail))) as running:
        for site in ("north", "south"):
            running.client.post("/api/v1/sites", json={"id": site, "name": site}, headers=OPERATOR)
        yield running


def _enter(service: Service, **changed: object) -> Any:  # noqa: ANN401 - an answer of any shape
    return service.client.post("/api/v1/devices", json=CT | changed, headers=OPERATOR)


def test_a_device_is_entered_listed_and_removed_with_rows_in_the_trail(service: Service) -> None:
    made = _enter(service, fingerprint="AB:" * 31 + "CD")
    assert made.status_code == 201
    device = made.json()
    assert (device["services"], device["fingerprint"]) == (["commit", "store"], "ab" * 31 + "cd")
    listed = service.client.get("/api/v1/devices", headers=OPERATOR).json()["devices"]
    assert listed == [device]
    assert service.client.get("/api/v1/devices", headers=SUPERVISOR).json()["devices"] == [device]
    gone = service.client.delete(f"/api/v1/devices/{device['id']}", headers=OPERATOR)
    assert gone.json() == device
    with service.database.reading() as connection:
        rows = [json.loads(row.details) for row in read_rows(connection) if "device" in row.details]
    assert [(row["before"] is None, row["after"] is None) for row in rows] == [(True, False), (False, True)]


def test_a_title_is_one_device_s_over_all_sites(service: Service) -> None:
    assert _enter(service, title="MR").status_code == 201
    assert _enter(service, title="MR", site="south").status_code == 409
    assert service.client.delete("/api/v1/devices/MR", headers=OPERATOR).status_code == 200


def test_a_supervisor_sees_those_of_their_sites_and_changes_none(service: Service) -> None:
    assert _enter(service, title="SOUTH_CT", site="south").status_code == 201
    seen = service.client.get("/api/v1/devices", headers=SUPERVISOR).json()["devices"]
    assert [one["title"] for one in seen] == []
    assert service.client.post("/api/v1/devices", json=CT, headers=SUPERVISOR).status_code == 403
    assert service.client.delete("/api/v1/devices/SOUTH_CT", headers=SUPERVISOR).status_code == 403


@pytest.mark.parametrize(
    "changed",
    [
        {"title": ""},
        {"title": "a\\b"},
        {"title": "seventeen letters"},
        {"title": "上海"},
        {"called_title": "a\tb"},
        {"host": "10.0.0.5", "port": None},
        {"host": ""},
        {"host": "a b"},
        {"port": 70_000},
        {"services": []},
        {"services": ["print"]},
        {"fingerprint": "abc"},
        {"unknown": 1},
    ],
)
def test_what_is_no_device_is_refused(service: Service, changed: dict[str, object]) -> None:
    assert _enter(service, **changed).status_code == 422


def test_a_device_of_no_site_and_one_that_is_not_there_are_not_found(service: Service) -> None:
    assert _enter(service, site="nowhere").status_code == 404
    assert service.client.delete("/api/v1/devices/NOBODY", headers=OPERATOR).status_code == 404


def test_the_program_enters_lists_and_removes_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with in_process(tmp_path):
        pass
    (tmp_path / "test.sqlite").rename(tmp_path / "firstread.sqlite")
    monkeypatch.setenv("FIRSTREAD_HOME", str(tmp_path))

    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["admin", "devices", *words])
        return done.exit_code, done.output

    code, said = run("add", "CT 1", "--address", "10.0.0.5:104", "--services", "store, commit")
    assert (code, "CT 1  site local  commit,store  at 10.0.0.5:104" in said) == (0, True)
    assert run("add", "CT 1")[0] == 1
    assert run("add", "CT 2", "--address", "nowhere")[0] == 2
    assert "CT 1" in run("list")[1]
    assert run("remove", "CT 1")[0] == 0
    assert run("list") == (0, "")
