"""Studies taken by readers: by choice, the next one, renewed, expired, released, taken over."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select

from serving.identity.caller import Role
from serving.store.claims import AlreadyHeldError, NewClaim, begin_claims
from serving.store.reading_tables import claims
from tests.serving.reading.readers import ReadingRoom, reading_room
from tests.serving.store.databases import Place


@pytest.fixture
def room(tmp_path: Path, place: Place) -> Iterator[ReadingRoom]:
    with reading_room(tmp_path, place) as opened:
        yield opened


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[ReadingRoom]:
    """Give a room on SQLite, for what does not depend on the database."""
    with reading_room(tmp_path) as opened:
        yield opened


def test_a_claim_keeps_others_off_and_names_its_holder(room: ReadingRoom) -> None:
    study = room.send()
    way = f"/api/v1/studies/{study}/claim"
    ann, bo = room.reader("ann"), room.reader("bo")
    taken = ann.post(way)
    assert (taken.status_code, taken.json()["slot"], taken.json()["is_new"]) == (201, 1, True)
    refused = bo.post(way)
    assert (refused.status_code, refused.json()["code"]) == (409, "study-held")
    assert [one["reader"] for one in refused.json()["holders"]] == ["ann"]
    assert "ann" in refused.json()["detail"]
    (entry,) = bo.get("/api/v1/worklist").json()["entries"]
    assert [(one["slot"], one["reader"]) for one in entry["held_by"]] == [(1, "ann")]
    shown = bo.get(way).json()
    assert [(one["slot"], one["reader"]) for one in shown["holders"]] == [(1, "ann")]
    assert shown["readers_wanted"] == 1
    (row,) = room.rows("claimed")
    assert (row.actor, '"by":"choice"' in row.details, '"slot":1' in row.details) == ("ann", True, True)
    assert row.verified_identity is not None


def test_taking_it_again_renews_it_and_so_does_renewal(room: ReadingRoom) -> None:
    study = room.send()
    ann = room.reader("ann")
    first = ann.post(f"/api/v1/studies/{study}/claim").json()
    room.clock.pass_minutes(5)
    again = ann.post(f"/api/v1/studies/{study}/claim")
    assert (again.status_code, again.json()["is_new"]) == (200, False)
    assert again.json()["expires_at"] > first["expires_at"]
    assert again.json()["transaction_uid"] == first["transaction_uid"]
    room.clock.pass_minutes(14)
    assert ann.post(f"/api/v1/studies/{study}/claim/renew").json()["expires_at"] > again.json()["expires_at"]
    room.clock.pass_minutes(14)
    assert room.reader("bo").post(f"/api/v1/studies/{study}/claim").status_code == 409


def test_an_expired_lease_ends_when_another_takes_the_study(room: ReadingRoom) -> None:
    study = room.send()
    way = f"/api/v1/studies/{study}/claim"
    ann, bo = room.reader("ann"), room.reader("bo")
    ann.post(way)
    room.clock.pass_minutes(15)
    assert ann.get("/api/v1/claims").json()["claims"] == []
    assert bo.get(way).json()["holders"] == []
    assert bo.post(way).status_code == 201
    with room.service.database.reading() as connection:
        found = connection.execute(select(claims.c.reader, claims.c.ending).order_by(claims.c.id)).all()
    assert [tuple(row) for row in found] == [("ann", "expired"), ("bo", None)]
    lost = ann.post(f"{way}/renew")
    assert (lost.status_code, lost.json()["code"]) == (409, "claim-needed")
    assert [row.actor for row in room.rows("claim-ended")] == ["bo"]


def test_a_lease_that_expired_and_that_nobody_took_can_be_renewed(quick: ReadingRoom) -> None:
    study = quick.send()
    ann = quick.reader("ann")
    ann.post(f"/api/v1/studies/{study}/claim")
    quick.clock.pass_minutes(25)
    assert ann.post(f"/api/v1/studies/{study}/claim/renew").status_code == 200
    assert [one["study"] for one in ann.get("/api/v1/claims").json()["claims"]] == [study]


def test_a_study_that_is_given_back_is_free_for_others_and_not_given_back_at_once(room: ReadingRoom) -> None:
    study = room.send()
    way = f"/api/v1/studies/{study}/claim"
    ann = room.reader("ann")
    ann.post(way)
    assert ann.delete(way).status_code == 204
    assert ann.delete(way).json()["code"] == "claim-needed"
    assert ann.post("/api/v1/worklist/next").json()["claim"] is None
    assert room.reader("bo").post("/api/v1/worklist/next").json()["claim"]["study"] == study
    (ended,) = room.rows("claim-ended")
    assert '"ending":"released"' in ended.details


def test_next_gives_the_first_due_that_is_free(room: ReadingRoom) -> None:
    low, high, middle = (room.send(red) for red in (10, 250, 120))
    order = [one["id"] for one in room.reader("ann").get("/api/v1/worklist").json()["entries"]]
    assert set(order) == {low, high, middle}
    given = [room.reader(name).post("/api/v1/worklist/next").json()["claim"] for name in ("ann", "bo", "cy")]
    assert [one["study"] for one in given] == order
    none = room.reader("dee").post("/api/v1/worklist/next").json()
    assert none["claim"] is None
    assert none["why_none"]


def test_many_who_ask_at_once_get_one_study_each(room: ReadingRoom) -> None:
    studies = {room.send(red) for red in range(0, 240, 20)}
    readers = [room.reader(f"reader-{number}") for number in range(16)]
    with ThreadPoolExecutor(len(readers)) as threads:
        answers = list(threads.map(lambda one: one.post("/api/v1/worklist/next"), readers))
    assert {answer.status_code for answer in answers} == {200}
    given = [answer.json()["claim"]["study"] for answer in answers if answer.json()["claim"]]
    # one who came while a study was being given to another may have been told that there is none
    assert len(given) == len(set(given)) == len(studies)


def test_many_who_want_the_same_study_at_once_are_told_who_has_it(room: ReadingRoom) -> None:
    study = room.send()
    readers = [room.reader(f"reader-{number}") for number in range(16)]
    with ThreadPoolExecutor(len(readers)) as threads:
        answers = list(threads.map(lambda one: one.post(f"/api/v1/studies/{study}/claim"), readers))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 15
    (winner,) = (number for number, answer in enumerate(answers) if answer.status_code == 201)
    for answer in answers:
        if answer.status_code == 409:
            assert [one["reader"] for one in answer.json()["holders"]] == [f"reader-{winner}"]


def test_the_index_refuses_a_second_claim_whatever_a_program_does(room: ReadingRoom) -> None:
    study = room.send()
    room.reader("ann").post(f"/api/v1/studies/{study}/claim")
    with room.service.database.reading() as connection:
        row = connection.execute(select(claims)).one()
    with pytest.raises(AlreadyHeldError), room.service.database.writing() as connection:
        begin_claims(connection, [NewClaim(row.site_id, row.study_id, 1, "bo", "1.2", 1, 2)])


def test_the_same_transaction_sent_twice_takes_one_study(room: ReadingRoom) -> None:
    for red in (10, 250):
        room.send(red)
    ann = room.reader("ann")
    body = {"transaction_uid": "2.25.77"}
    given = [ann.post("/api/v1/worklist/next", json=body).json()["claim"]["study"] for _ in range(3)]
    assert len(set(given)) == 1
    assert len(ann.get("/api/v1/claims").json()["claims"]) == 1
    assert ann.post("/api/v1/worklist/next", json={"transaction_uid": "one"}).status_code == 422


def test_nobody_holds_more_than_the_load_allows(tmp_path: Path) -> None:
    with reading_room(tmp_path, most_claims=2) as room:
        studies = [room.send(red) for red in (10, 120, 250)]
        ann = room.reader("ann")
        given = {ann.post("/api/v1/worklist/next").json()["claim"]["study"] for _ in range(2)}
        for answer in (
            ann.post("/api/v1/worklist/next"),
            ann.post(f"/api/v1/studies/{(set(studies) - given).pop()}/claim"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (409, "too-many-claims")
            assert set(answer.json()["holding"]) == given


def test_next_gives_what_a_specialty_reads(quick: ReadingRoom) -> None:
    study = quick.send()
    for name, specialty, expected in (
        ("rad", "radiology", None),
        ("ultra", "us", None),
        ("derm", "dermatology", study),
    ):
        given = quick.reader(name, specialties=(specialty,)).post("/api/v1/worklist/next").json()["claim"]
        assert (given and given["study"]) == expected, name


def test_a_site_whose_studies_are_read_elsewhere_keeps_its_own_readers_off(tmp_path: Path) -> None:
    with reading_room(tmp_path, read_elsewhere=frozenset({"north"})) as room:
        study = room.send(site="north")
        own, other = room.reader("own", site="north"), room.reader("other", site="south")
        assert own.post("/api/v1/worklist/next").json()["claim"] is None
        refused = own.post(f"/api/v1/studies/{study}/claim")
        assert (refused.status_code, refused.json()["code"]) == (403, "read-elsewhere")
        assert other.post("/api/v1/worklist/next").json()["claim"]["study"] == study
        assert [row.result for row in room.rows("claimed")] == ["refused", "done"]


def test_a_reader_of_one_site_gets_nothing_of_another(room: ReadingRoom) -> None:
    study = room.send(site="north")
    south = room.reader("south", site="south", everywhere=False)
    assert south.post("/api/v1/worklist/next").json()["claim"] is None
    for answer in (
        south.post(f"/api/v1/studies/{study}/claim"),
        south.get(f"/api/v1/studies/{study}/claim"),
        south.delete(f"/api/v1/studies/{study}/claim"),
        south.post(f"/api/v1/studies/{study}/claim/renew"),
    ):
        assert answer.status_code == 404


def test_who_has_no_licence_may_look_and_not_claim(quick: ReadingRoom) -> None:
    study = quick.send()
    unlicensed = quick.reader("trainee", licensed=False)
    for way in (f"/api/v1/studies/{study}/claim", "/api/v1/worklist/next"):
        assert unlicensed.post(way).json()["code"] == "licence-needed"
    assert unlicensed.get(f"/api/v1/studies/{study}/claim").status_code == 200


def test_a_supervisor_takes_over_with_a_reason(room: ReadingRoom) -> None:
    study = room.send()
    way = f"/api/v1/studies/{study}/claim"
    ann = room.reader("ann")
    chief = room.reader("chief", Role.SUPERVISOR)
    nobody = chief.post(f"{way}/take-over", json={"reason": "ann went home"})
    assert (nobody.status_code, nobody.json()["code"]) == (409, "conflict")
    ann.post(way)
    assert ann.post(f"{way}/take-over", json={"reason": "mine"}).status_code == 403
    assert chief.post(f"{way}/take-over", json={"reason": " "}).status_code == 422
    taken = chief.post(f"{way}/take-over", json={"reason": "ann went home"})
    assert (taken.status_code, taken.json()["claim"]["study"]) == (200, study)
    assert ann.post(f"{way}/renew").json()["code"] == "claim-needed"
    (ended,) = room.rows("claim-ended")
    assert (ended.actor, "ann went home" in ended.details, '"ending":"taken-over"' in ended.details) == (
        "chief",
        True,
        True,
    )


def test_a_supervisor_who_is_no_reader_can_only_free_a_study(quick: ReadingRoom) -> None:
    study = quick.send()
    way = f"/api/v1/studies/{study}/claim"
    quick.reader("ann").post(way)
    head = quick.person("head", Role.SUPERVISOR)
    assert head.post(f"{way}/take-over", json={"reason": "left"}).json()["code"] == "not-allowed"
    freed = head.post(f"{way}/take-over", json={"reason": "left", "for_me": False})
    assert (freed.status_code, freed.json()["claim"]) == (200, None)
    assert quick.reader("bo").post("/api/v1/worklist/next").json()["claim"]["study"] == study


def test_a_tier_that_is_read_twice_has_two_readers_at_a_time_and_no_third(tmp_path: Path) -> None:
    with reading_room(tmp_path, second_tiers=frozenset({"critical", "urgent", "routine", "low"})) as room:
        study = room.send()
        slots = [
            room.reader(name).post("/api/v1/worklist/next").json()["claim"]["slot"] for name in ("ann", "bo")
        ]
        assert slots == [1, 2]
        assert room.reader("cy").post("/api/v1/worklist/next").json()["claim"] is None
        shown = room.reader("cy").get(f"/api/v1/studies/{study}/claim").json()
        assert shown["readers_wanted"] == 2
        assert [one["reader"] for one in shown["holders"]] == ["ann", "bo"]
        refused = room.reader("cy").post(f"/api/v1/studies/{study}/claim").json()
        assert [one["reader"] for one in refused["holders"]] == ["ann", "bo"]


def test_a_claim_that_another_program_made_unseen_is_told_and_not_made_twice(
    quick: ReadingRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = quick.send()
    monkeypatch.setattr("serving.reading.claims.begin_claims", _already_held)
    for way in (f"/api/v1/studies/{study}/claim", "/api/v1/worklist/next"):
        refused = quick.reader("bo").post(way)
        assert (refused.status_code, refused.json()["code"]) == (409, "study-held")
    monkeypatch.undo()
    assert quick.reader("bo").post(f"/api/v1/studies/{study}/claim").status_code == 201


def _already_held(*_given: object) -> None:
    raise AlreadyHeldError
