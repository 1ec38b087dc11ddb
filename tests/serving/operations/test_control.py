"""Scoring as an operator steers it, over HTTP."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.store.audit import read_rows
from serving.store.audit_chain import AuditRow
from serving.store.times import now_us
from serving.store.workers import Worker, sign_on
from tests.serving.service_in_process import Service, in_process, photograph

SCORING = "/api/v1/operations/scoring"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with in_process(tmp_path) as running:
        yield running


def newest_row(service: Service) -> AuditRow:
    with service.database.reading() as connection:
        return list(read_rows(connection))[-1]


def sent(service: Service, red: int) -> str:
    answer = service.client.post("/api/v1/studies", files={"files": ("a.jpg", photograph(red))}).json()
    key: str = answer["studies"][0]["id"]
    return key


def state(service: Service, key: str) -> str:
    found: str = service.client.get(f"/api/v1/studies/{key}").json()["state"]
    return found


def test_who_paused_scoring_and_why_is_told_everywhere_and_recorded(service: Service) -> None:
    answer = service.client.post(f"{SCORING}/pause", json={"reason": "a new model is being tried"})
    assert answer.status_code == 200
    told = service.client.get(SCORING).json()
    assert (told["paused"], told["reason"], told["set_by"]) == (True, "a new model is being tried", "local")
    health = service.client.get("/healthz").json()["scoring"]
    assert health["state"] == "paused"
    checks = {check["name"]: check for check in service.client.get("/readyz").json()["checks"]}
    assert checks["scoring"] == {
        "name": "scoring",
        "good": True,
        "detail": "paused by an operator",
    }
    assert "firstread_scoring_paused 1.0" in service.client.get("/metrics").text
    row = newest_row(service)
    assert (row.action, row.actor) == ("scoring-paused", "local")
    assert json.loads(row.details) == {"reason": "a new model is being tried", "was_paused": False}


def test_the_page_says_that_scoring_is_paused_in_both_languages(service: Service) -> None:
    assert "paused" not in service.client.get("/?lang=en").text
    service.client.post(f"{SCORING}/pause", json={"reason": "<b>new model</b>"})
    page = service.client.get("/?lang=en").text
    assert "Scoring is paused" in page
    assert "&lt;b&gt;new model&lt;/b&gt;" in page
    assert "评分已暂停" in service.client.get("/?lang=zh").text


def test_scoring_that_is_resumed_runs_and_that_is_recorded(service: Service) -> None:
    service.client.post(f"{SCORING}/pause", json={"reason": "x"})
    assert service.client.post(f"{SCORING}/resume").json()["paused"] is False
    assert newest_row(service).action == "scoring-resumed"
    key = sent(service, 10)
    service.score_all()
    assert state(service, key) == "scored"


@pytest.mark.parametrize("reason", ["", "   ", "x" * 501])
def test_to_pause_needs_a_reason_of_some_length(service: Service, reason: str) -> None:
    assert service.client.post(f"{SCORING}/pause", json={"reason": reason}).status_code == 422
    assert service.client.get(SCORING).json()["paused"] is False


def test_a_failed_study_is_tried_again_when_a_person_says_so(service: Service) -> None:
    key = sent(service, 10)
    (stored,) = service.objects.each()
    path = service.objects.path_of(stored.sha256)
    whole = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(b"broken")
    service.score_all()
    assert state(service, key) == "failed"

    path.write_bytes(whole)
    assert service.client.post(f"/api/v1/operations/studies/{key}/retry").status_code == 202
    row = newest_row(service)
    assert (row.action, json.loads(row.details)["reason"]) == ("scoring-retried", "object-damaged")
    service.score_all()
    assert state(service, key) == "scored"


def test_a_study_that_has_its_score_is_not_tried_again(service: Service) -> None:
    key = sent(service, 10)
    service.score_all()
    answer = service.client.post(f"/api/v1/operations/studies/{key}/retry")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
    assert service.client.post(f"/api/v1/operations/studies/{'0' * 32}/retry").status_code == 404


def test_workers_and_on_what_they_run_are_told(service: Service) -> None:
    assert service.client.get("/healthz").json()["scoring"]["state"] == "none"
    worker = Worker("w1", "host-1", 7, "1.0", now_us(), "CUDAExecutionProvider", ("derm-lesion/1",), 2)
    with service.database.writing() as connection:
        sign_on(connection, worker)
    (told,) = service.client.get("/api/v1/operations/workers").json()["workers"]
    assert (told["id"], told["state"], told["provider"]) == ("w1", "live", "CUDAExecutionProvider")
    health = service.client.get("/healthz").json()["scoring"]
    assert health == {
        "state": "running",
        "workers": [{"provider": "CUDAExecutionProvider", "processes": 2}],
    }
