"""Drafts: saved over and over, never over one that was not seen, never lost."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.reading.draft_schemas import MOST_NOTE_BYTES
from tests.serving.reading.readers import ReadingRoom, reading_room
from tests.serving.reading.written import claim, content, save
from tests.serving.store.databases import Place


@pytest.fixture
def room(tmp_path: Path, place: Place) -> Iterator[ReadingRoom]:
    with reading_room(tmp_path, place) as opened:
        yield opened


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReadingRoom]:
    """Give a room on SQLite that tests share, each with a study of its own."""
    with reading_room(tmp_path_factory.mktemp("room"), most_claims=1000) as opened:
        yield opened


@pytest.fixture
def study(quick: ReadingRoom) -> str:
    """Give a study that ann has claimed."""
    red = 10 + len(quick.rows("received"))
    key = quick.send(red)
    assert claim(quick.reader("ann"), key).status_code == 201
    return key


def test_a_draft_is_kept_with_its_version_and_renews_the_lease(room: ReadingRoom) -> None:
    key = room.send()
    ann = room.reader("ann")
    until = claim(ann, key).json()["expires_at"]
    room.clock.pass_minutes(1)
    first = save(ann, key, save_key="a")
    assert (first.status_code, first.headers["ETag"]) == (200, '"1"')
    assert first.json()["lease"]["is_held"]
    assert first.json()["lease"]["expires_at"] > until
    second = save(ann, key, 1, note="and asymmetric")
    assert second.headers["ETag"] == '"2"'
    kept = ann.get(f"/api/v1/studies/{key}/read")
    assert kept.headers["ETag"] == '"2"'
    read = kept.json()["read"]
    assert (read["note"], read["is_draft"], read["slot"]) == ("and asymmetric", True, 1)
    assert read["diagnosis"]["zh"] == "皮肤恶性黑色素瘤"
    assert [row.actor for row in room.rows("drafted")] == ["ann"] * 2
    assert "asymmetric" not in "".join(row.details for row in room.rows("drafted"))


def test_a_save_over_a_version_that_is_not_the_last_is_refused_and_both_are_given(room: ReadingRoom) -> None:
    key = room.send()
    ann = room.reader("ann")
    claim(ann, key)
    save(ann, key, note="first window")
    save(ann, key, 1, note="second window")
    for after in (1, None, 7):
        refused = save(ann, key, after, note="third window")
        assert (refused.status_code, refused.json()["code"]) == (412, "version-stale")
        assert refused.json()["current"]["note"] == "second window"
        assert refused.json()["refused"]["note"] == "third window"
        assert refused.headers["ETag"] == '"2"'
    assert save(ann, key, 2, note="third window").status_code == 200


def test_the_same_save_sent_twice_counts_once(room: ReadingRoom) -> None:
    key = room.send()
    ann = room.reader("ann")
    claim(ann, key)
    answers = [save(ann, key, save_key="k1") for _ in range(3)]
    assert [one.headers["ETag"] for one in answers] == ['"1"'] * 3
    again = [save(ann, key, 1, save_key="k2", note="more") for _ in range(3)]
    assert [one.headers["ETag"] for one in again] == ['"2"'] * 3
    other_text = save(ann, key, 1, save_key="k2", note="another text under the same key")
    assert other_text.status_code == 412
    assert len(room.rows("drafted")) == 2


def test_a_draft_outlives_its_lease_and_goes_on_when_claimed_again(room: ReadingRoom) -> None:
    key = room.send()
    ann, bo = room.reader("ann"), room.reader("bo")
    claim(ann, key)
    save(ann, key)
    room.clock.pass_minutes(16)
    late = save(ann, key, 1, note="written after the lease")
    assert late.status_code == 200
    assert late.json()["lease"]["is_held"] is False
    assert "claim it" in late.json()["lease"]["what_to_do"]
    assert claim(bo, key).status_code == 201
    later = save(ann, key, 2, note="bo has it now")
    assert (later.status_code, later.json()["lease"]["is_held"]) == (200, False)
    assert bo.get(f"/api/v1/studies/{key}/read").status_code == 404  # it is ann's alone
    bo.delete(f"/api/v1/studies/{key}/claim")
    assert claim(ann, key).status_code == 201
    assert ann.get(f"/api/v1/studies/{key}/read").json()["read"]["note"] == "bo has it now"


def test_who_never_took_the_study_is_refused_and_given_back_what_they_sent(
    quick: ReadingRoom, study: str
) -> None:
    refused = save(quick.reader("bo"), study, note="mine")
    assert (refused.status_code, refused.json()["code"]) == (409, "claim-needed")
    assert refused.json()["refused"]["note"] == "mine"


@pytest.mark.parametrize(
    "note",
    ["🩺" * 51_200, "𠮷㐀龘" * 20_000, "\u202e\u0007" + "e\u0301" * 9, "a" * MOST_NOTE_BYTES, "肿\r\n\t物"],
    ids=["emoji", "beyond GBK", "odd", "the most", "lines"],
)
def test_a_long_note_comes_back_as_it_was_sent(room: ReadingRoom, note: str) -> None:
    key = room.send()
    ann = room.reader("ann")
    claim(ann, key)
    assert save(ann, key, note=note).status_code == 200
    assert ann.get(f"/api/v1/studies/{key}/read").json()["read"]["note"] == note


def test_a_nul_is_left_out_and_a_note_that_is_too_long_is_refused_with_the_limit(
    quick: ReadingRoom, study: str
) -> None:
    ann = quick.reader("ann")
    assert save(ann, study, note="a\0b").json()["read"]["note"] == "ab"
    refused = save(ann, study, 1, note="字" * (MOST_NOTE_BYTES // 3 + 1))
    assert refused.status_code == 422
    assert "262,144" in refused.json()["detail"]
    answer = ann.put(
        f"/api/v1/studies/{study}/read",
        content=b'{"note": "\\ud83d alone"}',
        headers={"If-Match": '"1"', "Content-Type": "application/json"},
    )
    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"diagnosis": {"scheme": "ICD-10", "code": "X99.9"}}, "GET /api/v1/codes"),
        ({"diagnosis": {"scheme": "SCT", "code": "D22.9"}}, "GET /api/v1/codes"),
        ({"diagnosis": {"scheme": "LOINC", "code": "1"}}, "scheme"),
        ({"action": "operate"}, "action"),
        ({"action": "biopsy", "interval_days": 30}, "monitor"),
        ({"action": "monitor", "interval_days": 0}, "interval_days"),
        ({"key_images": [{"sop_instance_uid": "1.2.3", "frame": 1}]}, "no image"),
        ({"findings": [{"verdict": "accepted"}]}, "key"),
        ({"findings": [{"verdict": "accepted", "key": "unicorn"}]}, "nv, mel"),
        ({"findings": [{"verdict": "missed"}]}, "missed"),
        ({"findings": [{"verdict": "modified", "key": "mel"}]}, "into what"),
        (
            {"findings": [{"verdict": "accepted", "key": "mel"}, {"verdict": "rejected", "key": "mel"}]},
            "twice",
        ),
        ({"findings": [{"verdict": "missed", "diagnosis": {"scheme": "SCT", "code": "1"}}]}, "codes"),
        ({"seen_score": 999_999}, "no score"),
        ({"diagnosis_text": "x" * 2001}, "diagnosis_text"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_to_do_and_the_draft_stays(
    quick: ReadingRoom, study: str, wrong: dict[str, Any], told: str
) -> None:
    ann = quick.reader("ann")
    save(ann, study)
    refused = save(ann, study, 1, **wrong)
    assert refused.status_code == 422, refused.text
    assert told in refused.json()["detail"]
    assert ann.get(f"/api/v1/studies/{study}/read").headers["ETag"] == '"1"'


def test_findings_and_key_images_of_the_study_are_kept(quick: ReadingRoom, study: str) -> None:
    ann = quick.reader("ann")
    image = ann.get(f"/api/v1/studies/{study}").json()["images"][0]["sop_instance_uid"]
    frame = {"sop_instance_uid": image, "frame": 1}
    findings = [
        {"verdict": "rejected", "key": "mel", "comment": "reticular"},
        {"verdict": "missed", "diagnosis": {"scheme": "ICD-10", "code": "L82"}, "image": frame},
    ]
    assert save(ann, study, findings=findings, key_images=[frame]).status_code == 200
    kept = ann.get(f"/api/v1/studies/{study}/read").json()["read"]
    assert [(one["verdict"], one["key"]) for one in kept["findings"]] == [
        ("rejected", "mel"),
        ("missed", None),
    ]
    assert kept["findings"][1]["image"] == frame
    assert kept["key_images"] == [frame]
    beyond = save(ann, study, 1, key_images=[frame | {"frame": 2}])
    assert "frames 1 to 1" in beyond.json()["detail"]


@pytest.mark.parametrize("value", ["*", '"x"', '"1", "2"', "-1"])
def test_an_if_match_that_names_no_version_is_refused(quick: ReadingRoom, study: str, value: str) -> None:
    answer = quick.reader("ann").put(
        f"/api/v1/studies/{study}/read", json=content(), headers={"If-Match": value}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "bad-parameter")


def test_codes_are_found_in_both_languages_and_by_their_beginning(quick: ReadingRoom) -> None:
    ann = quick.reader("ann")
    for words, code in (
        ("melanoma trunk", "C43.5"),
        ("躯干 黑色素瘤", "C43.5"),
        ("c43.5", "C43.5"),
        ("肺炎", "J18.9"),
    ):
        found = ann.get("/api/v1/codes", params={"q": words}).json()["codes"]
        assert code in [one["code"] for one in found], words
    schemes = ann.get("/api/v1/codes", params={"scheme": "ICD-11", "limit": 200}).json()["codes"]
    assert {one["scheme"] for one in schemes} == {"ICD-11"}
    assert ann.get("/api/v1/codes", params={"q": "no such thing"}).json()["codes"] == []
