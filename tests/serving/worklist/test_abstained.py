"""A study that the model abstains from keeps the place of one that nobody knows anything of, and says why."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.worklist.policy import read_policy
from tests.serving.service_in_process import Service, in_process, photograph


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with in_process(tmp_path, with_novelty=True) as running:
        yield running


def send(service: Service, name: str, content: bytes) -> None:
    answer = service.client.post("/api/v1/studies", files={"files": (name, content)})
    assert answer.status_code == 201


def read_list(service: Service) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = service.client.get("/api/v1/worklist").json()["entries"]
    return entries


def name_of(service: Service, entry: dict[str, Any]) -> str:
    name: str = service.client.get(entry["url"]).json()["images"][0]["file"]
    return name


def test_a_foreign_picture_stands_before_the_harmless_and_behind_the_grave(service: Service) -> None:
    for name, content in (
        ("harmless.jpg", photograph(10)),
        ("foreign.jpg", photograph(10, blue=250)),
        ("grave.jpg", photograph(250)),
    ):
        send(service, name, content)
    service.score_all()

    entries = read_list(service)

    assert [name_of(service, entry) for entry in entries] == ["grave.jpg", "foreign.jpg", "harmless.jpg"]
    assert [entry["state"] for entry in entries] == ["scored", "abstained", "scored"]


def test_its_due_time_is_the_one_it_had_before_it_was_looked_at(service: Service) -> None:
    send(service, "foreign.jpg", photograph(10, blue=250))
    (waiting,) = read_list(service)
    service.score_all()
    (abstained,) = read_list(service)

    assert abstained["due_at"] == waiting["due_at"]
    minutes = read_policy().unscored_minutes
    assert abstained["reason_line"] == f"image unlike those the model knows: read within {minutes / 60:.0f} h"


def test_it_says_what_is_unlike_and_how_much_and_flags_nothing(service: Service) -> None:
    send(service, "foreign.jpg", photograph(10, blue=250))
    service.score_all()
    (entry,) = read_list(service)

    study = service.client.get(entry["url"]).json()

    assert study["problem"].startswith("novel: what the network sees on it is unlike (features); it is ")
    assert entry["novelty"] > 1
    assert study["score"]["is_abstained"]
    assert study["score"]["operating_point"]["flagged"] == []
