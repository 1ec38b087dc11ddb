import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event

from serving.operations.figures import Figures
from serving.operations.service import Operations
from serving.operations.watch import Watch
from tests.serving.service_in_process import Service, in_process, photograph


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with in_process(tmp_path) as service:
        yield service


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def figures_of(service: Service) -> dict[str, float]:
    """Give every sample of a scrape, as ``name{label=value,...}``."""
    answer = service.client.get("/metrics")
    assert answer.status_code == 200, answer.text
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = ",".join(f"{name}={label}" for name, label in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def test_a_scrape_tells_of_requests_queue_scores_audit_and_storage(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.operations.figures._FRESH_S", -1.0)
    monkeypatch.setattr("serving.operations.figures._SECONDS_BETWEEN_COUNTS", 0.0)
    monkeypatch.setattr("serving.operations.figures._REST_AFTER_COUNT", 0.0)
    figures_of(service)  # what was there before the first scrape is history, and counts from none
    service.client.post("/api/v1/studies", files={"files": ("a.jpg", photograph(250))})
    service.client.post("/api/v1/studies", files={"files": ("b.jpg", photograph(9))})
    service.client.post("/api/v1/studies", files={"files": ("c.jpg", b"")})
    before = figures_of(service)
    received = [n for name, n in before.items() if name.startswith("firstread_queue_studies{state=received")]
    assert sum(received) == 2
    assert before["firstread_queue_oldest_seconds{for=score}"] > 0
    service.score_all()
    found = figures_of(service)
    assert found["firstread_studies{state=scored}"] == 2
    assert found["firstread_queue_oldest_seconds{for=score}"] == 0
    assert found["firstread_queue_oldest_seconds{for=reader}"] > 0
    assert found["firstread_time_to_score_seconds_count{model=derm-lesion}"] == 2
    post = "method=POST,route=/api/v1/studies"
    assert found[f"firstread_request_seconds_count{{{post},status=201}}"] == 2
    assert found[f"firstread_request_seconds_count{{{post},status=422}}"] == 1
    assert found["firstread_request_bytes_total{direction=in,route=/api/v1/studies}"] > 1000
    assert found["firstread_rejected_files_total{reason=empty-file}"] == 1
    assert found["firstread_audit_rows_total{action=scored,result=done}"] == 2
    assert found["firstread_audit_rows_total{action=received,result=done}"] == 2
    assert found["firstread_objects{}"] == 2
    assert found["firstread_object_bytes{}"] > 500
    assert found["firstread_disk_free_bytes{}"] > 0
    assert found["firstread_model_info{model=derm-lesion,version=1}"] == 1
    assert found["firstread_database_connections{state=in_use}"] >= 0
    assert found["firstread_scoring_failures_total{}"] == 0
    assert found["process_resident_memory_bytes{}"] > 1e6
    assert any(name.startswith("firstread_build_info{") for name in found)


def test_addresses_that_nobody_serves_make_no_new_figures(service: Service) -> None:
    for number in range(50):
        service.client.get(f"/nothing/{number}?a={number}")
        service.client.get(f"/api/v1/studies/{number}")
        service.client.request(f"M{number}", "/healthz")
    found = [name for name in figures_of(service) if name.startswith("firstread_request_seconds_count")]
    assert set(found) == {
        "firstread_request_seconds_count{method=GET,route=(none),status=404}",
        "firstread_request_seconds_count{method=GET,route=/api/v1/studies/{study},status=404}",
        "firstread_request_seconds_count{method=OTHER,route=/healthz,status=405}",
    }


def test_scrapes_that_follow_each_other_ask_the_database_once(service: Service) -> None:
    statements: list[str] = []
    event.listen(
        service.database.engine,
        "before_cursor_execute",
        lambda _c, _u, statement, *_: statements.append(statement),
    )
    figures_of(service)
    n_first = len([one for one in statements if "count(" in one])
    assert n_first >= 4
    for _ in range(5):
        figures_of(service)
    assert len([one for one in statements if "count(" in one]) == n_first


def test_what_takes_long_to_count_is_counted_seldom(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    n_counted = 0

    def count_slowly(_self: Operations) -> dict[str, int]:
        nonlocal n_counted
        n_counted += 1
        clock.now_s += 3.0  # a million rows on a slow disk
        return {"received": n_counted}

    monkeypatch.setattr(Operations, "studies_by_state", count_slowly)
    figures = Figures(service.operations, CollectorRegistry(), clock=clock)
    list(figures.collect())
    for _ in range(5):
        clock.now_s += 10.0
        list(figures.collect())
    assert n_counted == 1
    clock.now_s += 10.1
    list(figures.collect())
    assert n_counted == 2


def test_a_scrape_is_answered_while_the_database_hangs(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.operations.figures._SECONDS_TO_WAIT", 0.05)
    goes_on = threading.Event()
    clock = Clock()

    def hang(_self: Operations) -> dict[str, int]:
        goes_on.wait(30)
        return {}

    figures = Figures(service.operations, CollectorRegistry(), clock=clock)
    list(figures.collect())
    monkeypatch.setattr(Operations, "studies_by_state", hang)
    clock.now_s += 60.0
    names = {family.name for family in figures.collect()}
    goes_on.set()
    assert "firstread_queue_studies" in names
    assert "firstread_up_seconds" in names


def test_a_look_that_hangs_is_begun_once() -> None:
    begun, goes_on = [], threading.Event()

    def look() -> str:
        begun.append(1)
        goes_on.wait(30)
        return "seen"

    watch = Watch(look)
    assert [watch.wait(0.01) for _ in range(5)] == [None] * 5
    goes_on.set()
    assert watch.wait(30) == "seen"
    assert len(begun) == 1
