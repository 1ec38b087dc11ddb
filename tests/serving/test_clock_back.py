"""The machine's clock is set back while the service runs: by a person, or by time synchronisation."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from serving.audit.head import HeadFile
from serving.audit.verify import verify
from serving.store.audit import read_rows
from tests.serving.service_in_process import Service, in_process, photograph

HOUR_US = 3600 * 1_000_000
START_US = 1_800_000_000 * 1_000_000


@dataclass
class SettableClock:
    now_us: int = START_US

    def __call__(self) -> int:
        self.now_us += 1_000
        return self.now_us


def _send(service: Service, red: int, priority: str = "routine") -> str:
    answer = service.client.post(
        "/api/v1/studies",
        files={"files": (f"{red}.jpg", photograph(red))},
        data={"priority": priority},
    )
    assert answer.status_code in {200, 201}, answer.text
    key: str = answer.json()["studies"][0]["id"]
    return key


@pytest.mark.parametrize("back_us", [1_000_000, HOUR_US, 50 * 365 * 24 * HOUR_US])
def test_a_clock_that_is_set_back_loses_no_study_and_leaves_a_trail_that_can_be_verified(
    tmp_path: Path, back_us: int
) -> None:
    clock = SettableClock()
    with in_process(tmp_path, clock=clock) as service:
        before, waiting = _send(service, 10), _send(service, 20)
        service.score_all()
        clock.now_us -= back_us
        after = _send(service, 30)
        assert _send(service, 20, "stat") == waiting  # asked for anew while the clock is behind
        service.score_all()

        entries = service.client.get("/api/v1/worklist").json()["entries"]
        assert {entry["id"]: entry["state"] for entry in entries} == dict.fromkeys(
            (before, waiting, after), "scored"
        )
        due = [entry["due_at"] for entry in entries]
        assert due == sorted(due)
        assert service.client.get(f"/api/v1/studies/{after}").json()["received_at"] < "2027-01-16"
        service.trail.checkpoint()

        report = verify(service.database, [service.trail.public_key], HeadFile(tmp_path / "audit" / "head"))
        assert report.findings == ()
        with service.database.reading() as connection:
            assert any(row.is_clock_back for row in read_rows(connection))
