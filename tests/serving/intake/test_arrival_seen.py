"""What senders and readers see of a study that is arriving, came late, or is not the patient's first."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from sqlalchemy import insert

from serving.store.audit import read_rows
from serving.store.reading_tables import claims
from serving.store.studies import find_study
from tests.serving.dicomweb.sent import STUDY, ct, upload
from tests.serving.intake.test_completing import Clock
from tests.serving.service_in_process import Service, in_process, photograph
from tests.serving.store.stored import LOCAL


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(tmp_path: Path, clock: Clock) -> Iterator[Service]:
    with in_process(tmp_path, clock=clock) as running:
        yield running


def slices(folder: Path, n: int = 6, *, seed: str = "ct", **elements: object) -> list[tuple[str, bytes]]:
    """Give a CT's files, with what a device says besides."""
    files: list[tuple[str, bytes]] = []
    for path in ct(folder / seed, n_slices=n, seed=seed):
        dataset = dcmread(path)
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        written = BytesIO()
        dataset.save_as(written)
        files.append((path.name, written.getvalue()))
    return files


def detail_of(service: Service, study: dict[str, object]) -> dict[str, Any]:
    answer = service.client.get(str(study["url"]))
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def page_of(service: Service, study: dict[str, object], language: str) -> str:
    return service.client.get(f"/studies/{study['id']}", params={"lang": language}).text


def codes(findings: list[dict[str, Any]]) -> list[str]:
    return [one["code"] for one in findings]


def test_an_arriving_study_says_so_in_list_detail_and_pages(service: Service, tmp_path: Path) -> None:
    (study,) = upload(service, slices(tmp_path, NumberOfStudyRelatedInstances="9"), arrival="part")
    (entry,) = service.client.get("/api/v1/worklist").json()["entries"]
    detail = detail_of(service, study)
    assert entry["arriving_until"] == detail["arriving"]["until"] == "2027-01-15T08:01:00Z"
    assert (detail["expected_images"], detail["late"], detail["state"]) == (9, None, "received")
    assert "Still arriving" in service.client.get("/?lang=en").text
    assert "图像仍在传输" in service.client.get("/?lang=zh").text
    assert "6 of 9 announced images are here." in page_of(service, study, "en")
    assert "已收到6幅，预告共9幅。" in page_of(service, study, "zh")
    arrival = service.client.get(f"/api/v1/studies/{study['id']}/arrival").json()
    assert (arrival["images"], arrival["expected_images"], arrival["revision"]) == (6, 9, 1)


def test_the_announced_number_completes_a_study(service: Service, tmp_path: Path) -> None:
    files = slices(tmp_path, NumberOfStudyRelatedInstances="6")
    for number, file in enumerate(files, start=1):
        (study,) = upload(service, [file], arrival="part")
        assert len(service.queue.jobs) == (1 if number == 6 else 0)
    assert detail_of(service, study)["arriving"] is None


@pytest.mark.parametrize("name", ["key", "uid"])
def test_who_says_that_a_study_is_complete_is_told_at_once_of_missing_slices(
    service: Service, tmp_path: Path, name: str
) -> None:
    files = slices(tmp_path, 9)
    for file in files[:4] + files[5:]:
        (study,) = upload(service, [file], arrival="part")
        assert "slices-missing" not in codes(study["quality"])  # type: ignore[arg-type]  # no part can tell
    way = study["id"] if name == "key" else STUDY
    answer = service.client.post(f"/api/v1/studies/{way}/complete")
    assert answer.status_code == 200
    done = answer.json()
    assert (done["id"], done["images"], done["is_new"]) == (study["id"], 8, True)
    assert "slices-missing" in codes(done["quality"])
    assert codes(detail_of(service, study)["quality"]) == codes(done["quality"])
    assert service.client.post(f"/api/v1/studies/{way}/complete").json()["is_new"] is False
    assert len(service.queue.jobs) == 1


def test_the_whole_is_looked_over_when_it_is_scored_whoever_completed_it(
    service: Service, clock: Clock, tmp_path: Path
) -> None:
    files = slices(tmp_path, 9)
    for file in files[:4] + files[5:]:
        (study,) = upload(service, [file], arrival="part")
    clock.pass_s(61)
    service.intake.completing.sweep()
    assert "slices-missing" not in codes(detail_of(service, study)["quality"])
    service.score_all()
    assert "slices-missing" in codes(detail_of(service, study)["quality"])
    upload(service, [files[4]])
    service.score_all()
    assert "slices-missing" not in codes(detail_of(service, study)["quality"])


def test_a_study_that_is_not_there_is_refused_and_the_try_is_kept(service: Service) -> None:
    for method, what, action in (("POST", "complete", "completed"), ("GET", "arrival", "viewed-study")):
        answer = service.client.request(method, f"/api/v1/studies/{'0' * 32}/{what}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
        with service.database.reading() as connection:
            row = list(read_rows(connection))[-1]
        assert (row.action, row.result) == (action, "refused")


def test_the_button_of_the_page_completes_a_study(service: Service, tmp_path: Path) -> None:
    (study,) = upload(service, slices(tmp_path), arrival="part")
    assert "All images are here: score now" in page_of(service, study, "en")
    answer = service.client.post(f"/studies/{study['id']}/complete?lang=zh", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/studies/{study['id']}?lang=zh")
    assert len(service.queue.jobs) == 1
    assert "All images are here" not in page_of(service, study, "en")
    assert service.client.post(f"/studies/{'0' * 32}/complete").status_code == 404


def test_a_reader_is_told_of_images_that_came_after_the_result(
    service: Service, clock: Clock, tmp_path: Path
) -> None:
    files = slices(tmp_path, 3)
    (study,) = upload(service, files[:1])
    service.score_all()
    assert detail_of(service, study)["late"] is None
    clock.pass_s(60)
    upload(service, [files[1]], arrival="part")
    clock.pass_s(10)
    upload(service, [files[2]], arrival="part")
    late = detail_of(service, study)["late"]
    assert late == {
        "images": 2,
        "at": "2027-01-15T08:01:00Z",
        "since_claimed": False,
        "is_in_score": False,
    }
    assert "came after this study had a result: 2" in page_of(service, study, "en")
    assert "本检查已有结果后又收到2幅图像" in page_of(service, study, "zh")
    clock.pass_s(61)
    service.intake.completing.sweep()
    service.score_all()
    assert detail_of(service, study)["late"]["is_in_score"] is True
    assert "The result below includes them." in page_of(service, study, "en")


def test_who_holds_a_study_is_told_of_images_that_came_after_they_took_it(
    service: Service, clock: Clock, tmp_path: Path
) -> None:
    files = slices(tmp_path, 2)
    (study,) = upload(service, files[:1])
    clock.pass_s(5)
    with service.database.writing() as connection:
        found = find_study(connection, scope=LOCAL, key=str(study["id"]))
        assert found is not None
        facts = {"site_id": "local", "study_id": found.id, "slot": 1, "reader": "local"}
        moments = {"claimed_at": clock.now_us, "expires_at": clock.now_us + 9_000_000}
        connection.execute(insert(claims).values(**facts, **moments))
    assert detail_of(service, study)["late"] is None
    clock.pass_s(5)
    upload(service, files[1:])  # not scored yet, so late for nobody else
    late = detail_of(service, study)["late"]
    assert (late["images"], late["since_claimed"], late["at"]) == (1, True, "2027-01-15T08:00:10Z")
    assert "came after you took this study: 1" in page_of(service, study, "en")
    assert "您领取本检查后又收到1幅图像" in page_of(service, study, "zh")


def test_an_open_page_can_see_that_images_came(service: Service, tmp_path: Path) -> None:
    files = slices(tmp_path, 2)
    (study,) = upload(service, files[:1])
    page = page_of(service, study, "en")
    assert f'data-study="{study["id"]}" data-images="1" data-revision="1"' in page
    upload(service, files[1:])
    arrival = service.client.get(f"/api/v1/studies/{study['id']}/arrival").json()
    assert (arrival["images"], arrival["revision"], arrival["arriving_until"]) == (2, 2, None)


def test_the_patients_other_studies_are_listed_with_links(service: Service, tmp_path: Path) -> None:
    (first,) = upload(service, slices(tmp_path, 2, StudyDescription="Head"))
    old = slices(tmp_path, 1, seed="old", StudyDate="20190203", StudyDescription="Thorax")
    (second,) = upload(service, old)
    upload(service, slices(tmp_path, 1, seed="somebody", PatientID="P2"))
    upload(service, [("mole.jpg", photograph(9))])
    (prior,) = detail_of(service, first)["priors"]
    assert (prior["id"], prior["date"], prior["modality"]) == (second["id"], "2019-02-03", "CT")
    assert (prior["description"], prior["images"]) == ("Thorax", 1)
    page = page_of(service, first, "zh")
    assert "该患者的其他检查" in page
    assert f'<a href="/studies/{second["id"]}?lang=zh">2019-02-03 · CT · Thorax</a>' in page
    with service.database.reading() as connection:
        row = [row for row in read_rows(connection) if row.action == "viewed-study"][-1]
    assert '"priors":1' in row.details


def test_a_device_that_says_how_many_it_made_completes_a_study(service: Service, tmp_path: Path) -> None:
    from tests.serving.intake.test_completing import SOMEBODY

    def expect(step: str, n: int | None) -> bool:
        done = service.intake.expect(STUDY, step, n, site="local", who=SOMEBODY)
        return done is not None and done.is_new

    files = slices(tmp_path, 3)
    assert not expect("9.1", None)  # it begins before the first image comes
    for file in files:
        upload(service, [file], arrival="part")
    assert not expect("9.2", 1)
    assert not expect("9.1", 3)  # with the other one, four are to come
    assert service.queue.jobs == []
    assert expect("9.2", 0)
    assert not expect("9.2", 0)
    assert len(service.queue.jobs) == 1
