"""What a study may be used for: said at upload, changed by the API and the page, never widened by a form."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.consents.policy import may_leave
from serving.store.audit import read_rows
from serving.store.uses import Consent, Purpose
from tests.serving.service_in_process import Service, in_process, photograph


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with in_process(tmp_path) as running:
        yield running


def sent(service: Service, **fields: str) -> dict[str, object]:
    files = {"files": ("a.jpg", photograph(90))}
    answer = service.client.post("/api/v1/studies", files=files, data=fields)
    assert answer.status_code in {200, 201}, answer.text
    study: dict[str, object] = answer.json()["studies"][0]
    return study


def consent(service: Service, study: dict[str, object]) -> dict[str, object]:
    answer: dict[str, object] = service.client.get(f"{study['url']}/consent").json()
    return answer


@pytest.mark.parametrize("purpose", list(Purpose))
@pytest.mark.parametrize("said", [None, *Consent])
def test_only_a_consent_to_training_lets_a_study_be_trained_on(
    said: Consent | None, purpose: Purpose
) -> None:
    expected = said is Consent.TRAINING if purpose is Purpose.TRAINING else said is not Consent.WITHDRAWN
    assert may_leave(said, purpose) is expected


def test_a_study_of_which_nothing_was_said_is_for_care_alone(service: Service) -> None:
    study = sent(service)
    assert study["consent"] == "unknown"
    assert consent(service, study) == {
        "study": study["id"],
        "consent": "unknown",
        "said_by": None,
        "said_at": None,
        "exports": [],
    }
    assert service.client.get(str(study["url"])).json()["consent"] == "unknown"


def test_the_form_states_a_consent_and_says_who_and_when(service: Service) -> None:
    study = sent(service, consent="training")
    assert study["consent"] == "training"
    known = consent(service, study)
    assert (known["consent"], known["said_by"]) == ("training", "local")
    assert known["said_at"]
    assert service.client.get(str(study["url"])).json()["consent"] == "training"


@pytest.mark.parametrize(
    ("first", "second", "then"),
    [
        ("", "training", "training"),
        ("training", "", "training"),
        ("training", "care-only", "care-only"),
        ("training", "withdrawn", "withdrawn"),
        ("care-only", "training", "care-only"),
        ("withdrawn", "training", "withdrawn"),
        ("withdrawn", "care-only", "withdrawn"),
    ],
)
def test_the_same_images_sent_again_can_narrow_a_consent_but_not_widen_it(
    service: Service, first: str, second: str, then: str
) -> None:
    sent(service, consent=first)
    study = sent(service, consent=second)
    assert (study["consent"], consent(service, study)["consent"]) == (then, then)


def test_an_unknown_consent_is_refused_and_nothing_is_taken(service: Service) -> None:
    files = {"files": ("a.jpg", photograph(90))}
    answer = service.client.post("/api/v1/studies", files=files, data={"consent": "yes"})
    assert answer.status_code == 422
    assert "consent" in answer.json()["detail"]
    assert service.client.get("/api/v1/worklist").json()["waiting"] == 0


def test_a_change_by_the_api_counts_whichever_way_and_stands_in_the_trail(service: Service) -> None:
    study = sent(service, consent="care-only")
    for said in ("withdrawn", "training", "training"):
        answer = service.client.put(f"{study['url']}/consent", json={"consent": said})
        assert answer.status_code == 200
        assert answer.json()["consent"] == said
    with service.database.reading() as connection:
        rows = [row for row in read_rows(connection) if row.action == "consent-changed"]
    assert [row.study_uid for row in rows] == [study["uid"]] * 2
    assert '"before":"care-only"' in rows[0].details
    assert '"consent":"withdrawn"' in rows[0].details
    assert '"before":"withdrawn"' in rows[1].details


def test_a_consent_of_no_study_is_refused_and_that_is_noted(service: Service) -> None:
    for path in ("/api/v1/studies/nothing/consent",):
        assert service.client.get(path).status_code == 404
        assert service.client.put(path, json={"consent": "training"}).status_code == 404
    assert service.client.put("/api/v1/studies/x/consent", json={"consent": "sure"}).status_code == 422
    with service.database.reading() as connection:
        refused = [row.result for row in read_rows(connection) if row.action == "consent-changed"]
    assert refused == ["refused"]


@pytest.mark.parametrize(
    ("language", "words"), [("en", "Training of models allowed"), ("zh", "同意用于模型训练")]
)
def test_the_page_shows_a_consent_and_changes_it(service: Service, language: str, words: str) -> None:
    study = sent(service)
    page = f"/studies/{study['id']}"
    answer = service.client.post(
        f"{page}/consent?lang={language}", data={"consent": "training"}, follow_redirects=False
    )
    assert (answer.status_code, answer.headers["location"]) == (303, f"{page}?lang={language}")
    assert f"<b>{words}</b>" in service.client.get(f"{page}?lang={language}").text
    assert consent(service, study)["consent"] == "training"
