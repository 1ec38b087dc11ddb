"""Two readers who see nothing of each other's read, and a third who sees both where they disagree."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.identity.caller import Role
from serving.worklist.policy import Tier
from tests.serving.reading.readers import ReadingRoom, reading_room
from tests.serving.reading.written import MELANOMA, NAEVUS, claim, history, read, save, sign
from tests.serving.store.databases import Place


@pytest.fixture
def room(tmp_path: Path, place: Place) -> Iterator[ReadingRoom]:
    with reading_room(tmp_path, place, second_tiers=frozenset(str(tier) for tier in Tier)) as opened:
        yield opened


def test_neither_sees_the_others_read_until_both_have_signed(room: ReadingRoom) -> None:
    key = room.send()
    ann, bo, chief = room.reader("ann"), room.reader("bo"), room.reader("chief", Role.SUPERVISOR)
    sender = room.person("sender-local", Role.UPLOADER)
    first = read(ann, key, note="a secret of ann's")
    assert first["study_is_read"] is False
    assert bo.post("/api/v1/worklist/next").json()["claim"]["slot"] == 2
    save(bo, key, note="a secret of bo's")
    for who in (bo, chief, sender):
        shown = history(who, key)
        assert shown["is_blinded"] is True
        seen = [who.get(f"/api/v1/studies/{key}{part}").text for part in ("", "/reads", "/claim")]
        seen.append(who.get("/api/v1/worklist").text)
        assert "a secret of ann's" not in "".join(seen)
        assert "biopsy" not in "".join(seen) or who is bo
    assert [one["reader"] for one in history(bo, key)["reads"]] == ["bo"]
    assert [one["reader"] for one in history(ann, key)["reads"]] == ["ann"]
    signed = sign(bo, key).json()
    assert signed["study_is_read"] is True
    for who in (ann, bo, chief, sender):
        assert [one["reader"] for one in history(who, key)["reads"]] == ["ann", "bo"]
        assert history(who, key)["is_blinded"] is False
    assert ann.get("/api/v1/worklist").json()["entries"] == []


def test_the_second_who_comes_first_leaves_the_first_read_to_another(room: ReadingRoom) -> None:
    key = room.send()
    ann, bo = room.reader("ann"), room.reader("bo")
    claim(ann, key)
    claim(bo, key)
    save(bo, key)
    assert sign(bo, key).json()["study_is_read"] is False
    assert ann.get("/api/v1/worklist").json()["waiting"] == 1
    save(ann, key)
    assert sign(ann, key).json()["study_is_read"] is True


@pytest.mark.parametrize(
    ("other", "is_through"),
    [
        ({"diagnosis": {"scheme": "ICD-10", "code": "C43.9"}}, True),  # melanoma in another scheme
        ({"diagnosis": NAEVUS}, False),
        ({"action": "refer-urgently"}, False),
        ({"diagnosis": None, "diagnosis_text": "melanoma"}, False),
    ],
)
def test_they_disagree_by_action_or_by_what_the_code_means(
    tmp_path: Path, other: dict[str, object], is_through: bool
) -> None:
    with reading_room(tmp_path, second_tiers=frozenset(str(tier) for tier in Tier)) as quick:
        key = quick.send()
        read(quick.reader("ann"), key, diagnosis=MELANOMA)
        assert read(quick.reader("bo"), key, **other)["study_is_read"] is is_through


def test_where_they_disagree_a_third_sees_both_and_decides(room: ReadingRoom) -> None:
    key = room.send()
    ann, bo, cy = room.reader("ann"), room.reader("bo"), room.reader("cy")
    read(ann, key)
    read(bo, key, diagnosis=NAEVUS, action="reassure")
    assert cy.get("/api/v1/worklist").json()["waiting"] == 1
    for own in (ann, bo):
        assert own.post("/api/v1/worklist/next").json()["claim"] is None
        assert own.post(f"/api/v1/studies/{key}/claim").json()["code"] == "study-held"
        save(own, key)
        assert sign(own, key, amendment_reason="to please").json()["code"] == "study-read"
    assert history(cy, key)["reads"] == []  # as long as it is not cy's to decide
    assert cy.post("/api/v1/worklist/next").json()["claim"]["slot"] == 3
    assert [(one["reader"], one["action"]) for one in history(cy, key)["reads"]] == [
        ("ann", "biopsy"),
        ("bo", "reassure"),
    ]
    save(cy, key, diagnosis=MELANOMA, action="refer-urgently")
    assert sign(cy, key).json()["study_is_read"] is True
    signed = [one for one in history(ann, key)["reads"] if not one["is_draft"]]
    assert [one["slot"] for one in signed] == [1, 2, 3]
    assert cy.get("/api/v1/worklist").json()["entries"] == []


def test_a_draft_goes_along_when_its_reader_is_given_the_other_slot(room: ReadingRoom) -> None:
    key = room.send()
    ann, bo = room.reader("ann"), room.reader("bo")
    claim(ann, key)
    save(ann, key, note="begun as the first")
    room.clock.pass_minutes(16)
    assert claim(bo, key).json()["slot"] == 1
    assert claim(ann, key).json()["slot"] == 2
    kept = ann.get(f"/api/v1/studies/{key}/read").json()["read"]
    assert (kept["note"], kept["slot"]) == ("begun as the first", 2)
    assert sign(ann, key).status_code == 200
