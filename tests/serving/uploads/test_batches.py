"""Files that their sender calls one thing: taken together, once, and nobody else's to see."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.errors import Problem, ServiceError
from serving.identity.caller import Role
from serving.intake.service import Intake, Outcome
from serving.intake.upload import UploadLimits
from serving.store.audit import read_rows
from serving.store.audit_chain import ActorKind, Who
from serving.uploads.service import Uploads
from serving.uploads.writing import Sender
from tests.serving.identity.people import browser, enter, let_in
from tests.serving.service_in_process import MEBIBYTE, Service, in_process, zipped
from tests.serving.store.databases import Place
from tests.serving.uploads.tus import UPLOADS, VERSION, Tus, noisy_photograph

LEFT, RIGHT = noisy_photograph(40, seed=2), noisy_photograph(190, seed=3)


@pytest.fixture
def service(tmp_path: Path, place: Place) -> Iterator[Service]:
    with in_process(tmp_path, place=place) as running:
        yield running


@pytest.fixture
def tus(service: Service) -> Tus:
    return Tus(service.client)


def test_a_batch_is_taken_whole_once_and_answered_as_an_upload_is(service: Service, tus: Tus) -> None:
    tus.send(LEFT, filename="left.jpg", batch="b1", age="61", sex="F")
    cut = tus.address(len(RIGHT), filename="right.jpg", batch="b1", age="61")
    tus.patch(cut, 0, RIGHT[:1000])

    early = tus.complete("b1")
    assert (early.status_code, early.json()["code"]) == (409, "conflict")
    assert "right.jpg (1,000 of" in early.json()["detail"]
    after_a_reload = service.client.get(f"{UPLOADS}/batches/b1").json()
    assert [(one["name"], one["offset"]) for one in after_a_reload["files"]] == [
        ("left.jpg", len(LEFT)),
        ("right.jpg", 1000),
    ]
    assert tus.patch(after_a_reload["files"][1]["url"], 1000, RIGHT[1000:]).status_code == 204
    assert service.client.get("/api/v1/worklist").json()["waiting"] == 0  # nobody has said that this is all

    done = tus.complete("b1", files=2, context={"clinical_question": "grew lately", "priority": "urgent"})
    assert done.status_code == 201
    again = tus.complete("b1")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert again.json() == done.json()
    assert service.client.get(f"{UPLOADS}/batches/b1").json()["answer"] == done.json()
    details = [service.client.get(study["url"]).json() for study in done.json()["studies"]]
    assert [(one["age"], one["sex"], one["priority"]) for one in details] == [(61, "F", "urgent")] * 2
    assert {one["clinical_question"] for one in details} == {"grew lately"}
    assert service.client.get("/api/v1/worklist").json()["waiting"] == 2
    with service.database.reading() as connection:
        received = [row for row in read_rows(connection) if row.action == "received"]
    assert len(received) == 2
    assert all('"door":"resumable"' in row.details for row in received)
    late = tus.announce(5, batch="b1")
    assert (late.status_code, late.json()["code"]) == (409, "conflict")


def test_of_a_batch_each_bad_file_is_named_and_the_others_are_taken(service: Service, tus: Tus) -> None:
    tus.send(LEFT, filename="left.jpg", batch="b")
    tus.send(b"no image " * 20, filename="notes.txt", batch="b")
    tus.send(zipped(**{"right.jpg": RIGHT}), filename="more.zip", batch="b")
    answer = tus.complete("b").json()
    assert [study["files"] for study in answer["studies"]] == [["left.jpg"], ["more.zip/right.jpg"]]
    assert [(line["file"], line["reason"]) for line in answer["rejected"]] == [("notes.txt", "not-an-image")]
    assert service.client.get("/api/v1/worklist").json()["waiting"] == 2


def test_a_batch_of_nothing_that_can_be_taken_is_refused_and_told_so_again(
    service: Service, tus: Tus
) -> None:
    tus.send(b"no image " * 20, filename="notes.txt", batch="b")
    for _ in range(2):
        refused = tus.complete("b")
        assert (refused.status_code, refused.json()["code"]) == (422, "nothing-taken")
        assert [line["file"] for line in refused.json()["rejected"]] == ["notes.txt"]
    view = service.client.get(f"{UPLOADS}/batches/b").json()
    assert (view["state"], view["problem"]["code"]) == ("refused", "nothing-taken")


@pytest.mark.parametrize(
    ("end", "status", "said"),
    [
        ({"files": 3}, 409, "its sender counts 3"),
        ({"context": {"age": 200}}, 422, "age"),
        ({"context": {"bodysite": "arm"}}, 422, "bodysite"),
        ({"files": 0}, 422, "files"),
    ],
)
def test_a_last_word_that_cannot_be_leaves_the_batch_open(
    tmp_path: Path, end: dict[str, object], status: int, said: str
) -> None:
    with in_process(tmp_path) as service:
        tus = Tus(service.client)
        tus.send(LEFT, filename="left.jpg", batch="b")
        answer = tus.complete("b", **end)
        assert (answer.status_code, said in answer.text) == (status, True), answer.text
        assert tus.complete("b", files=1).status_code == 201


def test_files_of_one_batch_cannot_say_different_things(tmp_path: Path) -> None:
    with in_process(tmp_path) as service:
        tus = Tus(service.client)
        tus.address(5, batch="b", sex="F")
        refused = tus.announce(5, batch="b", sex="M")
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
        assert "sex" in refused.json()["detail"]


def test_a_file_that_is_ended_is_no_part_of_its_batch(tmp_path: Path) -> None:
    with in_process(tmp_path) as service:
        tus = Tus(service.client)
        tus.send(LEFT, filename="left.jpg", batch="b")
        other = tus.address(len(RIGHT), filename="right.jpg", batch="b")
        service.client.delete(other, headers=VERSION)
        assert tus.complete("b", files=1).status_code == 201


def test_a_batch_without_a_file_is_not_there(tmp_path: Path) -> None:
    with in_process(tmp_path) as service:
        tus = Tus(service.client)
        assert tus.complete("nothing").status_code == 404
        assert service.client.get(f"{UPLOADS}/batches/nothing").status_code == 404


def test_a_batch_is_no_larger_than_an_upload(tmp_path: Path) -> None:
    with in_process(tmp_path, limits=UploadLimits(1000, 2, 0)) as service:
        tus = Tus(service.client)
        tus.address(600, batch="bytes")
        assert tus.announce(600, batch="bytes").status_code == 413
        tus.address(1, batch="files")
        tus.address(1, batch="files")
        assert tus.announce(1, batch="files").status_code == 413
        assert tus.announce(600).status_code == 201


def test_what_others_send_is_not_there(tmp_path: Path) -> None:
    with in_process(tmp_path, with_sign_in=True) as service:
        mine, colleague, elsewhere = (
            Tus(browser(service, let_in(service, enter(service, Role.UPLOADER, site=site))))
            for site in ("north", "north", "south")
        )
        address = mine.address(len(LEFT), filename="left.jpg", batch="b")
        for other in (colleague, elsewhere):
            assert other.client.head(address, headers=VERSION).status_code == 404
            assert other.client.get(address).status_code == 404
            assert other.patch(address, 0, LEFT).status_code == 404
            assert other.client.delete(address, headers=VERSION).status_code == 404
            assert other.client.get(f"{UPLOADS}/batches/b").status_code == 404
            assert other.complete("b").status_code == 404
            own = other.send(RIGHT, filename="right.jpg", batch="b")  # their own of that name
            assert own != address
            assert other.complete("b", files=1).status_code in {200, 201}
        assert mine.offset(address) == 0
        assert mine.patch(address, 0, LEFT).status_code == 204
        done = mine.complete("b", files=1).json()
        assert [study["files"] for study in done["studies"]] == [["left.jpg"]]


class _AwayAtFirst(Intake):
    """An intake whose store is away when it is first asked."""

    def take(self, *arguments: Any, **named: Any) -> Outcome:  # noqa: ANN401 - whatever the real one takes
        if not self.rejections:
            self.rejections["away"] += 1
            raise ServiceError(Problem.STORAGE_UNAVAILABLE, "The store is away.")
        return super().take(*arguments, **named)


def test_what_was_called_whole_while_the_store_is_away_is_taken_later(tmp_path: Path) -> None:
    with in_process(tmp_path) as service:
        uploads = Uploads(_AwayAtFirst(**vars(service.intake)), service.uploads.kept)
        tus = Tus(service.client)
        tus.send(LEFT, filename="left.jpg", batch="b")
        sender = Sender.of("local", Who(ActorKind.ANONYMOUS, "local"), None)
        with pytest.raises(ServiceError, match="away"):
            uploads.complete("b", sender=sender, n_files=None, fields={})
        assert service.client.get(f"{UPLOADS}/batches/b").json()["state"] == "closing"
        uploads.keep_house()
        view = service.client.get(f"{UPLOADS}/batches/b").json()
        assert view["state"] == "taken"
        assert tus.complete("b").json() == view["answer"]


def test_a_batch_that_died_behind_its_commit_is_told_what_became_of_it(tmp_path: Path) -> None:
    with in_process(tmp_path) as service:
        tus = Tus(service.client)
        tus.send(LEFT, filename="left.jpg", batch="b")
        first = tus.complete("b").json()
        with service.database.writing() as connection:  # as if the server had died before it wrote this
            connection.exec_driver_sql("UPDATE upload_batches SET state = 'closing', answer = NULL")
        (kept,) = service.client.get(f"{UPLOADS}/batches/b").json()["files"]
        service.uploads.kept.path_of(kept["id"]).write_bytes(LEFT)
        service.uploads.keep_house()
        assert tus.complete("b").json() == first
        assert service.client.get("/api/v1/worklist").json()["waiting"] == 1


def test_bytes_that_came_to_another_machine_are_asked_for_there(tmp_path: Path) -> None:
    with in_process(tmp_path, limits=UploadLimits(MEBIBYTE, 9, 0)) as service:
        tus = Tus(service.client)
        address = tus.address(len(LEFT))
        tus.patch(address, 0, LEFT[:100])
        service.uploads.kept.remove(address.rpartition("/")[2])
        answer = tus.patch(address, 100, LEFT[100:])
        assert (answer.status_code, answer.json()["code"]) == (503, "storage-unavailable")
