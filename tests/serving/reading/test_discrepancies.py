"""Where readers and models differ: told by verdicts and by the diagnosis, of the read that counts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.identity.caller import Role
from serving.reading.codes import ValueSet
from serving.reading.differing import differences
from serving.store.reads import Decision
from serving.store.scores import StoredScore
from serving.worklist.policy import Tier
from tests.serving.reading.readers import ReadingRoom, reading_room
from tests.serving.reading.written import MELANOMA, NAEVUS, read, save, sign
from tests.serving.store.databases import Place

CODES = ValueSet(
    ValueSet.of([])._entries.values(), {("m", "mel"): "melanoma", ("m", "nv"): "melanocytic-naevus"}
)


def score(*flagged: str, is_abstained: bool = False) -> StoredScore:
    lines: list[dict[str, object]] = [
        {"key": key, "is_finding": key != "ok", "probability": 0.3} for key in ("mel", "nv", "ok")
    ]
    point: dict[str, object] = {"flagged": list(flagged)}
    return StoredScore(
        "m",
        "1",
        "",
        "",
        "",
        point,
        lines,
        None,
        None,
        is_abstained=is_abstained,
        unread=[],
        key_images=(),
        scored_at_us=0,
    )


def said(code: dict[str, str] | None = None, **verdicts: str) -> Decision:
    findings: tuple[dict[str, Any], ...] = tuple(
        {"key": key or None, "verdict": verdict} for key, verdict in verdicts.items()
    )
    if code is None:
        return Decision(findings=findings)
    return Decision(diagnosis_scheme=code["scheme"], diagnosis_code=code["code"], findings=findings)


@pytest.mark.parametrize(
    ("flagged", "decision", "expected"),
    [
        (["mel"], said(MELANOMA), []),
        (["mel"], said(MELANOMA, mel="accepted"), []),
        (["mel"], said(mel="rejected"), [("mel", "false-alarm")]),
        ([], said(mel="rejected"), []),
        (["mel"], said(mel="modified"), [("mel", "modified")]),
        ([], said(mel="missed"), [("mel", "missed")]),
        ([], said(MELANOMA), [("mel", "missed")]),
        ([], said({"scheme": "ICD-10", "code": "C43.5"}), [("mel", "missed")]),
        ([], said(MELANOMA, mel="missed"), [("mel", "missed")]),
        (["mel"], said(NAEVUS), [("nv", "missed"), ("mel", "false-alarm")]),
        (["mel"], said({"scheme": "SCT", "code": "17621005"}), [("mel", "false-alarm")]),
        (["mel"], said({"scheme": "ICD-10", "code": "J18.9"}), []),  # the model does not know of it
        (["mel"], said(), []),
    ],
)
def test_verdicts_count_and_else_the_diagnosis(
    flagged: list[str], decision: Decision, expected: list[tuple[str, str]]
) -> None:
    found = [(one.class_key, one.kind) for one in differences(score(*flagged), decision, CODES)]
    assert found == expected


def test_a_model_that_abstained_said_nothing() -> None:
    assert differences(score("mel", is_abstained=True), said(mel="rejected"), CODES) == []


@pytest.fixture
def room(tmp_path: Path, place: Place) -> Iterator[ReadingRoom]:
    with reading_room(tmp_path, place) as opened:
        yield opened


def listed(room: ReadingRoom, **query: str) -> list[tuple[str, str, str]]:
    answer = room.person("chief", Role.SUPERVISOR).get("/api/v1/discrepancies", params=query)
    assert answer.status_code == 200, answer.text
    return [(one["study"], one["class_key"], one["kind"]) for one in answer.json()["discrepancies"]]


def test_they_are_listed_by_model_site_class_and_kind_with_totals(room: ReadingRoom) -> None:
    alarm, missed = room.send(250), room.send(10, site="north")
    ann = room.reader("ann")
    flagged = ann.get(f"/api/v1/studies/{alarm}").json()["score"]["operating_point"]["flagged"]
    assert flagged == ["mel"]
    verdict = [{"verdict": "rejected", "key": "mel"}]
    read(ann, alarm, diagnosis=None, diagnosis_text="naevus", action="reassure", findings=verdict)
    read(
        ann, missed, diagnosis=None, diagnosis_text="x", findings=[{"verdict": "missed", "comment": "a hair"}]
    )
    assert listed(room) == [(missed, "", "missed"), (alarm, "mel", "false-alarm")]
    assert listed(room, model="derm-lesion", version="1", kind="missed") == [(missed, "", "missed")]
    assert listed(room, version="2") == []
    assert listed(room, **{"class": "mel"}) == [(alarm, "mel", "false-alarm")]
    assert listed(room, site="north") == [(missed, "", "missed")]
    north = room.person("head", Role.SUPERVISOR, site="north", everywhere=False)
    seen = north.get("/api/v1/discrepancies").json()
    assert [one["study"] for one in seen["discrepancies"]] == [missed]
    assert [one["studies"] for one in seen["totals"]] == [1]
    first = room.person("chief", Role.SUPERVISOR).get("/api/v1/discrepancies?limit=1").json()
    rest = room.person("chief", Role.SUPERVISOR).get(f"/api/v1/discrepancies?before={first['next']}").json()
    assert [one["study"] for one in rest["discrepancies"]] == [alarm]
    assert rest["next"] is None


def test_an_amendment_puts_its_own_in_place_of_the_former(room: ReadingRoom) -> None:
    key = room.send(250)
    ann = room.reader("ann")
    read(ann, key, findings=[{"verdict": "rejected", "key": "mel"}])
    assert listed(room) == [(key, "mel", "false-alarm")]
    save(ann, key, findings=[{"verdict": "accepted", "key": "mel"}])
    assert sign(ann, key, amendment_reason="pathology").status_code == 200
    assert listed(room) == []


def test_nothing_is_listed_of_a_study_that_is_still_read_blindly(tmp_path: Path) -> None:
    with reading_room(tmp_path, second_tiers=frozenset(str(tier) for tier in Tier)) as room:
        key = room.send(250)
        rejected = [{"verdict": "rejected", "key": "mel"}]
        read(room.reader("ann"), key, findings=rejected)
        assert listed(room) == []
        read(room.reader("bo"), key, findings=rejected)
        assert listed(room) == [(key, "mel", "false-alarm")]
