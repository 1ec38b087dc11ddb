"""A study taken, written about and signed on its page, in both languages, without a script."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from tests.serving.reading.readers import ReadingRoom, reading_room
from tests.serving.reading.written import claim, history, save


@pytest.fixture
def room(tmp_path: Path) -> Iterator[ReadingRoom]:
    with reading_room(tmp_path) as opened:
        yield opened


def fields(page: str) -> dict[str, str]:
    """Give the hidden fields of the form of a read."""
    form = page.partition('class="read-form"')[2].partition("</form>")[0]
    assert form, page
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form)
    return {name: unescape(value) for name, value in found}


def send(client: TestClient, key: str, page: str, do: str, language: str = "en", **typed: str) -> Response:
    data = fields(page) | {"do": do, **typed}
    return client.post(f"/studies/{key}/read?lang={language}", data=data, follow_redirects=False)


@pytest.mark.parametrize(
    ("language", "take_next", "is_read"),
    [("en", "Take the next study", "signed"), ("zh", "领取下一项", "已阅并签名")],
)
def test_a_study_is_taken_read_and_signed_by_forms(
    room: ReadingRoom, language: str, take_next: str, is_read: str
) -> None:
    key = room.send()
    ann = room.reader("ann")
    assert take_next in ann.get(f"/?lang={language}").text
    taken = ann.post(f"/next?lang={language}", follow_redirects=False)
    assert (taken.status_code, taken.headers["location"]) == (303, f"/studies/{key}?lang={language}")
    assert "ann" in room.reader("bo").get(f"/?lang={language}").text
    page = ann.get(f"/studies/{key}?lang={language}").text
    typed = {"diagnosis": "SCT 93655004", "action": "biopsy", "note": "first line\r\n<b>second</b> 🩺"}
    saved = send(ann, key, page, "save", language, **typed, **{"finding-mel": "accepted"})
    assert saved.status_code == 303, saved.text
    page = ann.get(f"/studies/{key}?lang={language}").text
    assert "&lt;b&gt;second&lt;/b&gt; 🩺" in page
    assert fields(page)["version"] == "1"
    image = ann.get(f"/api/v1/studies/{key}").json()["key_images"][0]["sop_instance_uid"]
    signed = send(ann, key, page, "sign", language, **typed, key_image=f"{image}/1")
    assert signed.status_code == 303, signed.text
    assert is_read in ann.get(f"/studies/{key}?lang={language}").text
    (read,) = history(ann, key)["reads"]
    assert (read["action"], read["note"]) == ("biopsy", "first line\n<b>second</b> 🩺")
    assert read["key_images"] == [{"sop_instance_uid": image, "frame": 1}]
    assert ann.get("/api/v1/worklist").json()["entries"] == []


def test_sent_twice_it_is_signed_once_and_no_draft_is_left(room: ReadingRoom) -> None:
    key = room.send()
    ann = room.reader("ann")
    claim(ann, key)
    page = ann.get(f"/studies/{key}").text
    typed = {"diagnosis_text": "naevus", "action": "reassure"}
    answers = [send(ann, key, page, "sign", **typed).status_code for _ in range(2)]
    assert answers == [303, 303]
    assert [one["is_draft"] for one in history(ann, key)["reads"]] == [False]


@pytest.mark.parametrize(
    ("typed", "english", "chinese"),
    [
        ({"diagnosis": "SCT 1", "action": "biopsy"}, "GET /api/v1/codes", "编码"),
        ({"action": "biopsy"}, "the diagnosis", "不完整"),
        ({"diagnosis_text": "x", "action": "cut"}, "action", "请检查"),
    ],
)
def test_what_was_typed_stays_in_the_form_when_it_cannot_be_kept_or_signed(
    room: ReadingRoom, typed: dict[str, str], english: str, chinese: str
) -> None:
    key = room.send()
    ann = room.reader("ann")
    claim(ann, key)
    for language, told in (("en", english), ("zh", chinese)):
        page = ann.get(f"/studies/{key}?lang={language}").text
        refused = send(ann, key, page, "sign", language, note="two hours' work", **typed)
        assert refused.status_code == 422
        assert "two hours&#39; work" in refused.text
        assert told in refused.text


def test_a_draft_saved_elsewhere_is_shown_beside_what_was_typed(room: ReadingRoom) -> None:
    key = room.send()
    ann = room.reader("ann")
    claim(ann, key)
    page = ann.get(f"/studies/{key}").text
    save(ann, key, note="from the other window")
    refused = send(ann, key, page, "save", note="from this window")
    assert refused.status_code == 412
    assert "from the other window" in refused.text
    assert "from this window" in refused.text
    assert send(ann, key, refused.text, "save", note="both").status_code == 303


def test_a_held_study_shows_its_reader_and_no_form(room: ReadingRoom) -> None:
    key = room.send()
    claim(room.reader("ann"), key)
    page = room.reader("bo").get(f"/studies/{key}")
    assert "Read by ann until <time" in page.text
    assert "read-form" not in page.text
    refused = room.reader("bo").post(f"/studies/{key}/claim")
    assert refused.status_code == 409
    assert room.reader("ann").post(f"/studies/{key}/release", follow_redirects=False).status_code == 303
    assert room.reader("bo").post(f"/studies/{key}/claim").status_code == 200


def test_an_amendment_is_made_on_the_page_with_its_reason(room: ReadingRoom) -> None:
    key = room.send()
    ann = room.reader("ann")
    claim(ann, key)
    page = ann.get(f"/studies/{key}").text
    send(ann, key, page, "sign", diagnosis_text="naevus", action="reassure")
    page = ann.get(f"/studies/{key}").text
    typed = {"diagnosis_text": "melanoma", "action": "biopsy"}
    refused = send(ann, key, page, "sign", **typed)
    assert refused.status_code == 422
    signed = send(ann, key, refused.text, "sign", **typed, amendment_reason="pathology")
    assert signed.status_code == 303
    assert "in place of the one before: pathology" in room.reader("bo").get(f"/studies/{key}").text
    assert "amendment_reason" not in room.reader("bo").get(f"/studies/{key}").text


def test_signing_out_gives_back_what_was_held(room: ReadingRoom) -> None:
    key = room.send()
    ann = room.reader("ann")
    claim(ann, key)
    save(ann, key)
    assert ann.post("/sign-out", follow_redirects=False).status_code == 303
    assert room.reader("bo").post("/api/v1/worklist/next").json()["claim"]["study"] == key
    ended = room.rows("claim-ended")
    assert [(row.actor, '"by":"sign-out"' in row.details) for row in ended] == [("ann", True)]


def test_a_study_that_one_reader_reads_says_nothing_of_two(room: ReadingRoom) -> None:
    key = room.send()
    ann = room.reader("ann")
    assert "Two readers" not in ann.get(f"/studies/{key}?lang=en").text
    assert history(ann, key)["is_blinded"] is False
    claim(ann, key)
    assert "Two readers" not in room.reader("bo").get(f"/studies/{key}?lang=en").text
