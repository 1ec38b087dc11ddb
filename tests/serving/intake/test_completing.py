"""Studies of which more may come: listed at once, scored once they are complete, whoever says so."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from serving.audit.appending import AppendingTrail
from serving.errors import Problem, ServiceError
from serving.intake.completing import Completing
from serving.intake.quiet import quiet_s
from serving.store.audit import read_rows
from serving.store.audit_chain import ActorKind, Who
from serving.store.events import events_after
from serving.store.quiet_times import QuietTime, set_quiet_time
from serving.store.sites import add_site
from serving.store.tenancy import Scope
from tests.serving.dicomweb.sent import STUDY, ct, upload
from tests.serving.service_in_process import JobsInMemory, Service, in_process, photograph
from tests.serving.store.databases import Place
from tests.serving.store.stored import LOCAL, MINUTE_US, image, opened, receive, study

SOMEBODY = Who(ActorKind.PERSON, "chen")


@dataclass
class Clock:
    now_us: int = 1_800_000_000_000_000

    def __call__(self) -> int:
        return self.now_us

    def pass_s(self, seconds: float) -> None:
        self.now_us += int(seconds * 1_000_000)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(tmp_path: Path, clock: Clock) -> Iterator[Service]:
    with in_process(tmp_path, clock=clock) as running:
        yield running


def slices(folder: Path, n: int = 3) -> list[tuple[str, bytes]]:
    return [(path.name, path.read_bytes()) for path in ct(folder / "ct", n_slices=n)]


def state_of(service: Service, sent: dict[str, object]) -> str:
    state: str = service.client.get(str(sent["url"])).json()["state"]
    return state


def happened(service: Service) -> list[str]:
    with service.database.reading() as connection:
        return [str(one.kind) for one in events_after(connection, scope=LOCAL, since=0, limit=99)]


def audited(service: Service, action: str) -> list[str]:
    with service.database.reading() as connection:
        return [f"{row.actor} {row.details}" for row in read_rows(connection) if row.action == action]


def test_a_ct_that_comes_slice_by_slice_is_scored_once_after_its_quiet_time(
    service: Service, clock: Clock, tmp_path: Path
) -> None:
    for file in slices(tmp_path):
        (sent,) = upload(service, [file], arrival="part")
        assert state_of(service, sent) == "received"
        clock.pass_s(59)
        assert service.intake.completing.sweep() == 0
    assert service.queue.jobs == []
    (entry,) = service.client.get("/api/v1/worklist").json()["entries"]
    assert (entry["state"], entry["images"]) == ("received", 3)  # a dead sender hides no study
    clock.pass_s(1)
    assert service.intake.completing.sweep() == 1
    assert service.intake.completing.sweep() == 0
    assert len(service.queue.jobs) == 1
    service.score_all()
    assert state_of(service, sent) == "abstained"  # no model of the test is for CT
    assert happened(service) == ["received", "complete", "unscored"]
    (row,) = audited(service, "completed")
    assert row.startswith("firstread")
    assert '"why":"quiet"' in row


def test_a_photograph_is_waited_for_only_if_somebody_set_that(service: Service) -> None:
    upload(service, [("a.jpg", photograph(200))], arrival="part")
    assert len(service.queue.jobs) == 1
    with service.database.writing() as connection:
        set_quiet_time(connection, QuietTime("local", "XC", 20, "chen", 0))
    (sent,) = upload(service, [("b.jpg", photograph(90))], arrival="part")
    assert len(service.queue.jobs) == 1
    service.intake.complete(str(sent["id"]), scope=LOCAL, who=SOMEBODY)
    assert len(service.queue.jobs) == 2


@pytest.mark.parametrize("by_uid", [False, True])
def test_whoever_says_that_a_study_is_complete_has_it_scored_at_once_and_says_it_twice_in_vain(
    service: Service, tmp_path: Path, by_uid: bool
) -> None:
    (sent,) = upload(service, slices(tmp_path), arrival="part")
    name = STUDY if by_uid else str(sent["id"])
    done = service.intake.complete(name, scope=LOCAL, who=SOMEBODY)
    assert (done.key, done.n_images, done.is_new) == (sent["id"], 3, True)
    again = service.intake.complete(name, scope=LOCAL, who=SOMEBODY)
    assert not again.is_new
    assert len(service.queue.jobs) == 1
    (row,) = audited(service, "completed")
    assert row.startswith("chen")
    assert '"why":"signal"' in row


@pytest.mark.parametrize("name", ["0" * 32, "1.2.3.4"])
def test_a_study_that_is_not_there_or_another_sites_cannot_be_said_to_be_complete(
    service: Service, tmp_path: Path, name: str
) -> None:
    upload(service, slices(tmp_path), arrival="part")
    with pytest.raises(ServiceError) as raised:
        service.intake.complete(name, scope=LOCAL, who=SOMEBODY)
    assert raised.value.problem is Problem.NOT_FOUND
    with pytest.raises(ServiceError) as raised:
        service.intake.complete(STUDY, scope=Scope.of("elsewhere"), who=SOMEBODY)
    assert raised.value.problem is Problem.NOT_FOUND
    assert service.queue.jobs == []


def test_the_last_request_that_says_it_is_the_whole_ends_the_wait(service: Service, tmp_path: Path) -> None:
    first, second, third = slices(tmp_path)
    upload(service, [first], arrival="part")
    upload(service, [second], arrival="part")
    (sent,) = upload(service, [third])
    assert sent["images"] == 3
    assert len(service.queue.jobs) == 1
    assert happened(service) == ["received", "complete"]


def test_a_late_image_opens_scores_and_ranks_a_study_again(
    service: Service, clock: Clock, tmp_path: Path
) -> None:
    first, second, third = slices(tmp_path)
    upload(service, [first, second])
    service.score_all()
    (sent,) = upload(service, [third], arrival="part")
    assert state_of(service, sent) == "received"
    assert service.queue.jobs == []
    clock.pass_s(61)
    assert service.intake.completing.sweep() == 1
    service.score_all()
    assert state_of(service, sent) == "abstained"
    assert happened(service) == [
        "received",
        "complete",
        "unscored",
        "late-image",
        "complete",
        "unscored",
    ]
    assert '"late":true' in audited(service, "received")[-1]


def test_the_field_takes_two_words_alone(service: Service) -> None:
    answer = service.client.post(
        "/api/v1/studies", files={"files": ("a.jpg", photograph(1))}, data={"arrival": "later"}
    )
    assert answer.status_code == 422
    assert "arrival" in answer.json()["detail"]


def test_a_worker_ends_waits_too_and_several_sites_of_one_uid_are_told_apart(place: Place) -> None:
    queue = JobsInMemory()
    with opened(place) as database:
        completing = Completing(database, AppendingTrail(database), queue, lambda: 2 * MINUTE_US)
        with database.writing() as connection:
            add_site(connection, "north", "North")
            receive(connection, study("1.2", image("a")), quiet_us=MINUTE_US)
            receive(connection, study("1.2", image("a")), quiet_us=9 * MINUTE_US, site="north")
        with pytest.raises(ServiceError, match="Several sites"):
            completing.complete("1.2", scope=Scope(None), who=SOMEBODY)
        assert completing.sweep() == 1
        assert completing.complete("1.2", scope=Scope.of("north"), who=SOMEBODY).is_new
        assert len(queue.jobs) == 2


def test_the_nearest_setting_counts() -> None:
    settings = {("*", "*"): 1, ("*", "CT"): 2, ("north", "*"): 3, ("north", "CT"): 4}
    assert [
        quiet_s([modality], site=site, settings=settings)
        for site, modality in (("north", "CT"), ("north", "MR"), ("south", "CT"), ("south", "XC"))
    ] == [4, 3, 2, 1]
    assert quiet_s([], site="north", settings={}) == 60
