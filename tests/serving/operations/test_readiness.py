import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from serving.worklist.service import Worklist
from tests.serving.service_in_process import Service, in_process


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with in_process(tmp_path) as service:
        yield service


def test_a_database_that_hangs_is_said_to_within_a_bounded_time(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.operations.endpoints.SECONDS_TO_CHECK", 0.2)
    with ExitStack() as held:
        held.enter_context(service.database.writing())  # as one that never ends
        answers = [service.client.get("/readyz") for _ in range(3)]
    for answer in answers:
        assert answer.status_code == 503
        found = {check["name"]: check for check in answer.json()["checks"]}
        assert found["database"]["detail"] == "has not answered for 0.2 s"
        assert {name for name, check in found.items() if not check["good"]} == {"database"}
    monkeypatch.setattr("serving.operations.endpoints.SECONDS_TO_CHECK", 30.0)
    assert service.client.get("/readyz").status_code == 200


def test_the_operator_is_answered_while_every_thread_waits(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on, begun = threading.Event(), threading.Semaphore(0)

    def hang(*_: object, **__: object) -> None:
        begun.release()
        goes_on.wait(60)
        raise RuntimeError

    monkeypatch.setattr(Worklist, "read", hang)
    with ThreadPoolExecutor(60) as senders:
        asked = [senders.submit(service.client.get, "/api/v1/worklist") for _ in range(60)]
        for _ in range(40):  # as many threads as Starlette has
            assert begun.acquire(timeout=30)
        for path in ("/healthz", "/readyz"):
            assert service.client.get(path).status_code == 200, path
        goes_on.set()
        assert {one.result().status_code for one in asked} == {500}


def test_a_database_file_that_is_gone_is_said_to_be(service: Service, tmp_path: Path) -> None:
    assert service.client.get("/readyz").status_code == 200
    (tmp_path / "test.sqlite").rename(tmp_path / "elsewhere.sqlite")
    answer = service.client.get("/readyz")
    assert answer.status_code == 503
    assert f"{tmp_path / 'test.sqlite'} is gone" in answer.json()["checks"][0]["detail"]
    (tmp_path / "elsewhere.sqlite").rename(tmp_path / "test.sqlite")
    assert service.client.get("/readyz").status_code == 200


def test_a_model_that_is_refused_is_said_to_be(tmp_path: Path) -> None:
    broken = tmp_path / "models" / "broken" / "1"
    broken.mkdir(parents=True)
    (broken / "card.json").write_text("{}", encoding="utf-8")
    with in_process(tmp_path) as service:
        answer = service.client.get("/readyz")
        assert answer.status_code == 503
        (bad,) = [check for check in answer.json()["checks"] if not check["good"]]
        assert bad["name"] == "models"
        assert "broken" in bad["detail"]
        assert service.client.get("/healthz").status_code == 200
        assert "firstread_refused_models 1.0" in service.client.get("/metrics").text
