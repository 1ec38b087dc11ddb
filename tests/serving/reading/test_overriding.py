"""A supervisor moves a study up or down, and everybody reads why; only what is more urgent moves it again."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from serving.identity.caller import Role
from tests.serving.reading.readers import ReadingRoom, reading_room, slices
from tests.serving.reading.written import read
from tests.serving.store.databases import Place


@pytest.fixture
def room(tmp_path: Path, place: Place) -> Iterator[ReadingRoom]:
    with reading_room(tmp_path, place) as opened:
        yield opened


def order(room: ReadingRoom) -> list[str]:
    return [one["id"] for one in room.reader("ann").get("/api/v1/worklist").json()["entries"]]


def body(reason: str = "the patient waits outside", **ahead: float) -> dict[str, str]:
    return {"due_at": (datetime.now(UTC) + timedelta(**ahead)).isoformat(), "reason": reason}


def test_a_study_is_moved_up_and_down_and_the_list_says_by_whom_and_why(room: ReadingRoom) -> None:
    low, high = room.send(10), room.send(250)
    assert order(room) == [high, low]
    chief = room.person("chief", Role.SUPERVISOR)
    moved = chief.post(f"/api/v1/studies/{low}/rank", json=body(minutes=5))
    assert (moved.status_code, moved.json()["tier"]) == (200, "critical")
    assert order(room) == [low, high]
    entry = chief.get("/api/v1/worklist?lang=en").json()["entries"][0]
    assert entry["reason_line"] == "moved by chief: the patient waits outside"
    chinese = chief.get("/api/v1/worklist?lang=zh").json()["entries"][0]
    assert chinese["reason_line"] == "chief调整：the patient waits outside"
    assert chief.post(f"/api/v1/studies/{low}/rank", json=body(days=2)).json()["tier"] == "low"
    assert order(room) == [high, low]
    rows = room.rows("overridden")
    assert [(row.actor, "the patient waits outside" in row.details) for row in rows] == [("chief", True)] * 2


def test_a_score_moves_it_only_to_an_earlier_place(room: ReadingRoom) -> None:
    up, down = room.send(10, score=False), room.send(250, score=False)
    chief = room.person("chief", Role.SUPERVISOR)
    chief.post(f"/api/v1/studies/{up}/rank", json=body(minutes=2))
    chief.post(f"/api/v1/studies/{down}/rank", json=body("can wait", days=20))
    room.service.score_all()
    entries = chief.get("/api/v1/worklist?lang=en").json()["entries"]
    assert [one["id"] for one in entries] == [up, down]
    assert entries[0]["reason_line"].startswith("moved by chief")
    assert "moved" not in entries[1]["reason_line"]  # what the model sees now is due long before


def test_another_image_does_not_undo_it(room: ReadingRoom, tmp_path: Path) -> None:
    images = slices(tmp_path / "ct")
    sender = room.person("sender", Role.UPLOADER)
    sent = sender.post("/api/v1/studies", files={"files": ("1.dcm", images[0])}).json()
    key = sent["studies"][0]["id"]
    room.person("chief", Role.SUPERVISOR).post(f"/api/v1/studies/{key}/rank", json=body(minutes=2))
    sender.post("/api/v1/studies", files={"files": ("2.dcm", images[1])})
    room.service.score_all()
    (entry,) = sender.get("/api/v1/worklist?lang=en").json()["entries"]
    assert entry["reason_line"].startswith("moved by chief")


def test_what_is_read_far_off_or_said_without_a_reason_is_refused(tmp_path: Path) -> None:
    with reading_room(tmp_path) as room:
        key = room.send()
        chief = room.person("chief", Role.SUPERVISOR)
        way = f"/api/v1/studies/{key}/rank"
        for wrong in (
            body(days=31),
            body(days=-1),
            body("  "),
            body("two\nlines"),
            {"due_at": "2026-01-01T00:00:00", "reason": "no zone"},
        ):
            assert chief.post(way, json=wrong).status_code == 422, wrong
        assert room.reader("ann").post(way, json=body(minutes=5)).status_code == 403
        south = room.person("south", Role.SUPERVISOR, site="south", everywhere=False)
        assert south.post(way, json=body(minutes=5)).status_code == 404
        read(room.reader("ann"), key)
        assert chief.post(way, json=body(minutes=5)).json()["code"] == "study-read"
