"""Signing: once, of what was shown, by whom the study was given to; amended, never altered."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.exc import DBAPIError

from serving.identity.caller import Role
from serving.store.reading_tables import reads
from tests.serving.identity.people import PASSWORD, browser, enter, let_in, signing_in
from tests.serving.reading.readers import ReadingRoom, reading_room, slices
from tests.serving.reading.written import NAEVUS, claim, content, history, read, save, shown, sign
from tests.serving.store.databases import Place


@pytest.fixture
def room(tmp_path: Path, place: Place) -> Iterator[ReadingRoom]:
    with reading_room(tmp_path, place) as opened:
        yield opened


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[ReadingRoom]:
    with reading_room(tmp_path) as opened:
        yield opened


def test_a_signed_study_leaves_the_queue_and_its_claim_ends(room: ReadingRoom) -> None:
    key = room.send()
    ann = room.reader("ann")
    claim(ann, key)
    save(ann, key)
    answer = sign(ann, key)
    assert answer.status_code == 200, answer.text
    signed = answer.json()
    assert (signed["study_is_read"], signed["is_new"], signed["read"]["is_draft"]) == (True, True, False)
    seen = shown(ann, key)
    assert signed["read"]["score"] == seen["seen_score"]
    assert signed["read"]["revision"] == seen["seen_revision"]
    assert ann.get("/api/v1/worklist").json()["entries"] == []
    assert ann.get("/api/v1/claims").json()["claims"] == []
    assert room.reader("bo").post(f"/api/v1/studies/{key}/claim").json()["code"] == "study-read"
    assert [one["reader"] for one in history(room.reader("bo"), key)["reads"]] == ["ann"]
    (row,) = room.rows("decided")
    assert '"action":"biopsy"' in row.details
    assert '"diagnosis":"SCT:93655004"' in row.details
    assert "irregular" not in row.details
    assert '"ending":"signed"' in room.rows("claim-ended")[0].details


def test_signed_twice_it_is_signed_once(room: ReadingRoom) -> None:
    key = room.send()
    ann = room.reader("ann")
    claim(ann, key)
    save(ann, key)
    answers = [sign(ann, key) for _ in range(3)]
    assert [one.status_code for one in answers] == [200] * 3
    assert [one.json()["is_new"] for one in answers] == [True, False, False]
    assert len({one.json()["read"]["id"] for one in answers}) == 1
    assert len(room.rows("decided")) == 1


def test_no_program_can_alter_or_remove_what_was_signed(room: ReadingRoom) -> None:
    key = room.send()
    read(room.reader("ann"), key)
    for statement in (update(reads).values(note="other"), reads.delete()):
        with pytest.raises(DBAPIError, match="never altered"), room.service.database.writing() as connection:
            connection.execute(statement)


@pytest.mark.parametrize("what", ["image", "priority"])
def test_a_study_that_changed_underneath_must_be_seen_before_it_is_signed(
    room: ReadingRoom, tmp_path: Path, what: str
) -> None:
    sender = room.person("sender", Role.UPLOADER)
    images = slices(tmp_path / "ct")
    sent = sender.post("/api/v1/studies", files={"files": ("1.dcm", images[0])})
    key = sent.json()["studies"][0]["id"]
    room.service.score_all()
    ann = room.reader("ann")
    claim(ann, key)
    before = shown(ann, key)
    save(ann, key)
    if what == "image":
        late = sender.post("/api/v1/studies", files={"files": ("3.dcm", images[2])})
    else:
        late = sender.post(
            "/api/v1/studies", files={"files": ("1.dcm", images[0])}, data={"priority": "stat"}
        )
    assert late.status_code in {200, 201}
    refused = ann.post(f"/api/v1/studies/{key}/read/sign", json={"version": 1, **before})
    assert (refused.status_code, refused.json()["code"]) == (409, "study-changed")
    assert refused.json()["revision"] == before["seen_revision"] + 1
    assert refused.json()["images"] == (2 if what == "image" else 1)
    assert ann.get(f"/api/v1/studies/{key}/read").json()["read"]["is_draft"]
    assert sign(ann, key).status_code == 200


def test_a_new_score_must_be_seen_before_it_is_signed(room: ReadingRoom) -> None:
    key = room.send(score=False)
    ann = room.reader("ann")
    claim(ann, key)
    before = shown(ann, key)
    assert before["seen_score"] is None
    save(ann, key)
    room.service.score_all()
    refused = ann.post(f"/api/v1/studies/{key}/read/sign", json={"version": 1, **before})
    assert (refused.status_code, refused.json()["code"]) == (409, "study-changed")
    assert "scored anew" in refused.json()["detail"]
    after = shown(ann, key)
    assert sign(ann, key).json()["read"]["score"] == after["seen_score"] is not None


def test_what_is_not_whole_is_not_signed_and_the_answer_says_what_lacks(quick: ReadingRoom) -> None:
    key = quick.send()
    ann = quick.reader("ann")
    claim(ann, key)
    version = 0
    for draft, told in (
        ({"action": None}, "the action"),
        ({"diagnosis": None}, "the diagnosis"),
        ({"action": "monitor"}, "interval_days"),
    ):
        assert save(ann, key, version or None, **draft).status_code == 200
        version += 1
        refused = sign(ann, key, version)
        assert (refused.status_code, refused.json()["code"]) == (422, "read-incomplete")
        assert told in refused.json()["detail"]
    save(ann, key, version, diagnosis=None, action="repeat-image")
    assert sign(ann, key, version + 1).status_code == 200


def test_an_old_version_is_not_signed(quick: ReadingRoom) -> None:
    key = quick.send()
    ann = quick.reader("ann")
    claim(ann, key)
    save(ann, key)
    save(ann, key, 1, note="changed my mind", diagnosis=NAEVUS, action="reassure")
    refused = sign(ann, key, 1)
    assert (refused.status_code, refused.json()["code"]) == (412, "version-stale")
    assert refused.json()["current"]["action"] == "reassure"


def test_nobody_signs_after_their_lease(room: ReadingRoom) -> None:
    key = room.send()
    ann, bo = room.reader("ann"), room.reader("bo")
    claim(ann, key)
    save(ann, key)
    room.clock.pass_minutes(16)
    expired = sign(ann, key)
    assert (expired.status_code, expired.json()["code"]) == (409, "claim-expired")
    claim(bo, key)
    lost = sign(ann, key)
    assert (lost.status_code, lost.json()["code"]) == (409, "claim-needed")
    save(bo, key, diagnosis=NAEVUS, action="reassure")
    assert sign(bo, key).status_code == 200
    assert history(ann, key)["reads"][0]["note"] == "irregular border"  # ann's draft is kept, for ann
    assert len(history(bo, key)["reads"]) == 1


def test_an_amendment_is_another_read_with_a_reason(room: ReadingRoom) -> None:
    key = room.send()
    ann, bo = room.reader("ann"), room.reader("bo")
    first = read(ann, key)["read"]
    assert save(bo, key).json()["code"] == "claim-needed"
    assert save(ann, key, diagnosis=NAEVUS, action="reassure").status_code == 200
    without = sign(ann, key)
    assert (without.status_code, without.json()["code"]) == (422, "read-incomplete")
    assert "amendment_reason" in without.json()["detail"]
    amended = sign(ann, key, amendment_reason="pathology came back")
    assert amended.status_code == 200, amended.text
    assert amended.json()["read"]["amends"] == first["id"]
    both = history(bo, key)["reads"]
    assert [(one["action"], one["amendment_reason"]) for one in both] == [
        ("biopsy", None),
        ("reassure", "pathology came back"),
    ]
    assert sign(ann, key, amendment_reason="pathology came back").json()["is_new"] is False
    assert len(room.rows("decided")) == 2


def test_a_supervisor_who_reads_may_amend_and_another_reader_may_not(quick: ReadingRoom) -> None:
    key = quick.send()
    read(quick.reader("ann"), key)
    chief = quick.reader("chief", Role.SUPERVISOR)
    assert save(chief, key, action="refer-urgently").status_code == 200
    assert sign(chief, key, amendment_reason="second look").status_code == 200
    # the read that counts is chief's now
    save(quick.reader("ann"), key)
    refused = sign(quick.reader("ann"), key, amendment_reason="back to mine")
    assert (refused.status_code, refused.json()["code"]) == (403, "not-allowed")
    assert "chief" in refused.json()["detail"]


def test_a_late_image_brings_a_read_study_back_and_the_next_read_amends_the_first(
    room: ReadingRoom, tmp_path: Path
) -> None:
    sender = room.person("sender", Role.UPLOADER)
    images = slices(tmp_path / "ct")
    sent = sender.post("/api/v1/studies", files={"files": ("1.dcm", images[0])})
    key = sent.json()["studies"][0]["id"]
    ann, bo = room.reader("ann"), room.reader("bo")
    first = read(ann, key)["read"]
    assert ann.get("/api/v1/worklist").json()["entries"] == []
    again = sender.post("/api/v1/studies", files={"files": ("1.dcm", images[0])})
    assert again.status_code == 200
    assert ann.get("/api/v1/worklist").json()["entries"] == []  # nothing new came
    sender.post("/api/v1/studies", files={"files": ("2.dcm", images[1])})
    assert [one["id"] for one in ann.get("/api/v1/worklist").json()["entries"]] == [key]
    assert bo.get(f"/api/v1/studies/{key}/claim").json()["is_reopened"] is True
    assert bo.post("/api/v1/worklist/next").json()["claim"]["study"] == key
    assert len(history(bo, key)["reads"]) == 1  # nothing of it is kept from bo
    save(bo, key, action="refer-urgently")
    assert sign(bo, key).json()["code"] == "read-incomplete"
    signed = sign(bo, key, amendment_reason="another slice came").json()
    assert (signed["read"]["amends"], signed["study_is_read"]) == (first["id"], True)
    assert ann.get("/api/v1/worklist").json()["entries"] == []


def test_a_reader_of_another_site_sees_and_writes_nothing(room: ReadingRoom) -> None:
    key = room.send(site="north")
    read(room.reader("ann"), key)
    south = room.reader("south", site="south", everywhere=False)
    for answer in (
        save(south, key),
        south.get(f"/api/v1/studies/{key}/read"),
        south.get(f"/api/v1/studies/{key}/reads"),
        south.post(
            f"/api/v1/studies/{key}/read/sign",
            json={"version": 1, "seen_revision": 1, "seen_images": 1, "seen_score": None},
        ),
    ):
        assert answer.status_code == 404, answer.text
    north = room.person("sender-north", Role.UPLOADER)
    assert [one["action"] for one in history(north, key)["reads"]] == ["biopsy"]


def test_the_sender_sees_the_answer_and_may_not_write_one(quick: ReadingRoom) -> None:
    key = quick.send()
    sender = quick.person("sender-local", Role.UPLOADER)
    assert save(sender, key).status_code == 403
    assert (
        quick.reader("trainee", licensed=False)
        .put(f"/api/v1/studies/{key}/read", json=content())
        .json()["code"]
        == "licence-needed"
    )
    read(quick.reader("ann"), key)
    assert history(sender, key)["reads"][0]["diagnosis"]["en"] == "Malignant melanoma of skin"


def test_who_signs_must_have_proved_who_they_are_of_late(tmp_path: Path) -> None:
    with reading_room(tmp_path, proof_s=5 * 60.0) as room:
        key = room.send()
        person = enter(
            room.service,
            Role.READER,
            name="ann",
            password=PASSWORD,
            everywhere=True,
            licence_ends_us=room.clock() + 10**15,
        )
        ann = browser(room.service, let_in(room.service, person))
        assert signing_in(room.service).clock is not None
        claim(ann, key)
        save(ann, key)
        room.clock.pass_minutes(6)
        asked = sign(ann, key)
        assert (asked.status_code, asked.json()["code"]) == (403, "proof-needed")
        wrong = sign(ann, key, password="not it")
        assert (wrong.status_code, wrong.json()["code"]) == (403, "sign-in-failed")
        assert ann.get(f"/api/v1/studies/{key}/read").json()["read"]["is_draft"]
        assert sign(ann, key, password=PASSWORD).status_code == 200
        other = room.send(10)
        claim(ann, other)
        save(ann, other)
        room.clock.pass_minutes(4)  # the proof of before is still of late
        assert sign(ann, other).status_code == 200
