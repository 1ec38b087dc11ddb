"""Quiet times as they are administered: by HTTP and by the program."""

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
from serving.store.quiet_times import quiet_times_at
from tests.serving.administration.as_role import OPERATOR, SUPERVISOR, AsRole
from tests.serving.service_in_process import Service, in_process
from tests.serving.store.databases import Place
from tests.serving.store.stored import opened

ADDRESS = "/api/v1/quiet-times"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with in_process(folder, make_gate=lambda trail: Gate([AsRole()], Refusals(trail))) as running:
        running.client.post("/api/v1/sites", json={"id": "north", "name": "N"}, headers=OPERATOR)
        yield running


def put(
    service: Service, site: str, modality: str, seconds: int | None, who: dict[str, str]
) -> tuple[int, Any]:
    body = {"site": site, "modality": modality, "seconds": seconds}
    answer = service.client.put(ADDRESS, json=body, headers=who)
    return answer.status_code, answer.json()


def test_a_quiet_time_is_set_for_one_site_or_all_and_taken_back_and_kept_in_the_trail(
    service: Service,
) -> None:
    assert put(service, "*", "CT", 90, OPERATOR)[0] == 200
    assert put(service, "north", "CT", 20, SUPERVISOR)[0] == 200
    status, told = put(service, "north", "CT", 25, SUPERVISOR)
    assert status == 200
    first, second, *defaults = told["quiet_times"]
    assert (first["site"], first["seconds"], second["site"], second["seconds"]) == ("*", 90, "north", 25)
    assert {one["modality"]: one["seconds"] for one in defaults}["XC"] == 0
    with service.database.reading() as connection:
        assert quiet_times_at(connection, site="north") == {("*", "CT"): 90, ("north", "CT"): 25}
        assert quiet_times_at(connection, site="local") == {("*", "CT"): 90}
    assert put(service, "north", "CT", None, SUPERVISOR)[0] == 200
    with service.database.reading() as connection:
        assert quiet_times_at(connection, site="north") == {("*", "CT"): 90}
        rows = [row for row in read_rows(connection) if row.action == "quiet-time-changed"]
    assert json.loads(rows[-1].details) == {"modality": "CT", "before_s": 25, "after_s": None}


@pytest.mark.parametrize(
    ("site", "modality", "seconds", "status"),
    [("*", "CT", 5, 404), ("local", "CT", 5, 404), ("north", "ct", 5, 422), ("north", "CT", 1801, 422)],
)
def test_a_supervisor_sets_those_of_their_sites_alone_and_nobody_sets_nonsense(
    service: Service, site: str, modality: str, seconds: int, status: int
) -> None:
    assert put(service, site, modality, seconds, SUPERVISOR)[0] == status


def test_a_site_that_is_not_there_has_none(service: Service) -> None:
    assert put(service, "nowhere", "CT", 5, OPERATOR)[0] == 404


def test_the_program_sets_and_lists_them(tmp_path: Path) -> None:
    runner, home = CliRunner(), ["--home", str(tmp_path)]
    with opened(tmp_path / "firstread.sqlite"):
        pass
    for arguments in (["set", "*", "DX", "45"], ["set", "local", "*", "7"], ["unset", "local", "*"]):
        done = runner.invoke(app, ["admin", "quiet-times", *arguments, *home])
        assert done.exit_code == 0, done.output
    listed = runner.invoke(app, ["admin", "quiet-times", "list", *home]).output.splitlines()
    assert listed[0].startswith("*  DX  45 s")
    assert "*  XC  0 s  default" in listed


def test_what_is_set_twice_counts_once(place: Place) -> None:
    from serving.store.quiet_times import QuietTime, set_quiet_time, unset_quiet_time

    with opened(place) as database, database.writing() as connection:
        assert set_quiet_time(connection, QuietTime("*", "CT", 1, "a", 1)) is None
        assert set_quiet_time(connection, QuietTime("*", "CT", 2, "b", 2)) == 1
        assert quiet_times_at(connection, site="local") == {("*", "CT"): 2}
        assert unset_quiet_time(connection, site="*", modality="CT") == 2
        assert unset_quiet_time(connection, site="*", modality="CT") is None
