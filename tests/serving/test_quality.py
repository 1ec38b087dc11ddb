"""The quality answer: in the response to an upload, kept with the study, shown on its page, never a block."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.quality.finding import Fault, Finding
from serving.intake import quality
from serving.store.quality import findings_of, keep_findings
from serving.store.sites import LOCAL_SITE
from serving.store.tenancy import Scope
from tests.data.quality.damage import blurred, dark
from tests.data.quality.test_photograph import mole
from tests.serving.service_in_process import Service, in_process
from tests.serving.store.databases import Place
from tests.serving.store.stored import LOCAL, image, opened, receive
from tests.serving.store.stored import study as arrived

RANDOM = np.random.default_rng(3)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with in_process(tmp_path) as running:
        yield running


def jpeg(picture: np.ndarray) -> bytes:
    written = io.BytesIO()
    Image.fromarray(picture).save(written, "JPEG", quality=95)
    return written.getvalue()


def sent(service: Service, *contents: bytes) -> list[dict[str, object]]:
    files = [("files", (f"{number}.jpg", content)) for number, content in enumerate(contents)]
    answer = service.client.post("/api/v1/studies", files=files)
    assert answer.status_code == 201, answer.text
    studies: list[dict[str, object]] = answer.json()["studies"]
    return studies


def test_a_good_photograph_is_answered_with_no_finding(service: Service) -> None:
    (study,) = sent(service, jpeg(mole()))
    assert study["quality"] == []


def test_a_dark_photograph_is_taken_told_of_in_two_languages_and_scored(service: Service) -> None:
    (study,) = sent(service, jpeg(dark(mole(), RANDOM)))
    found = {one["code"]: one for one in study["quality"]}  # type: ignore[attr-defined]
    told = found["too-dark"]
    assert told["problem"] == {"en": "The picture is too dark.", "zh": "图像过暗。"}
    assert told["remedy"]["zh"]
    assert told["measured"] < told["limit"]
    detail = service.client.get(str(study["url"])).json()
    assert detail["quality"] == study["quality"]
    assert told["image"] == detail["images"][0]["sop_instance_uid"]
    service.score_all()
    assert service.client.get(str(study["url"])).json()["state"] == "scored"


@pytest.mark.parametrize(("language", "words"), [("en", "The picture is not sharp."), ("zh", "图像不清晰。")])
def test_the_pages_show_the_findings(service: Service, language: str, words: str) -> None:
    files = {"files": ("mole.jpg", jpeg(blurred(mole(), RANDOM)))}
    answer = service.client.post(f"/send?lang={language}", files=files)
    assert answer.status_code == 201
    assert words in answer.text
    entry = service.client.get("/api/v1/worklist").json()["entries"][0]
    assert words in service.client.get(f"/studies/{entry['id']}?lang={language}").text


def test_an_answer_that_is_given_again_holds_the_same_findings(service: Service) -> None:
    files = {"files": ("mole.jpg", jpeg(dark(mole(), RANDOM)))}
    answers = [
        service.client.post("/api/v1/studies", files=files, headers={"Idempotency-Key": "a"}).json()
        for _ in range(2)
    ]
    assert answers[0] == answers[1]
    assert answers[0]["studies"][0]["quality"]


def test_of_many_photographs_all_are_taken_and_the_first_ones_looked_at(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality, "MOST_PICTURES_AN_UPLOAD", 2)
    pictures = [jpeg(dark(mole(256 + 8 * number), RANDOM)) for number in range(4)]
    studies = sent(service, *pictures)
    assert [bool(study["quality"]) for study in studies] == [True, True, False, False]


def test_a_measurement_that_fails_keeps_no_study_out(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("Wang Xiaodong")

    monkeypatch.setattr(quality, "look_over", fail)
    (study,) = sent(service, jpeg(mole()))
    assert study["quality"] == []
    assert "Wang" not in caplog.text


def test_what_was_found_of_other_images_stays_when_a_part_of_a_study_comes(place: Place) -> None:
    first = Finding(Fault.BLURRED, 0.1, 0.2, "one", "series")
    second = Finding(Fault.TOO_DARK, 20.0, 85.0, "two", "series")
    gap = Finding(Fault.SLICES_MISSING, 2.0, 1.6, None, "series")

    def keep(*found: Finding, of: str, is_whole: bool) -> tuple[Finding, ...]:
        with database.writing() as connection:
            return keep_findings(
                connection,
                found,
                site=LOCAL_SITE,
                key=key,
                instances=frozenset({of}),
                is_whole=is_whole,
                now_us=1,
            )

    with opened(place) as database:
        with database.writing() as connection:
            key = receive(connection, arrived("1.2", image("one"))).study_key
        assert keep(first, gap, of="one", is_whole=True) == (first, gap)
        assert keep(second, gap, of="two", is_whole=False) == (first, second)
        assert keep(of="two", is_whole=False) == (first,)
        with database.reading() as connection:
            assert findings_of(connection, scope=LOCAL, study_id=1) == (first,)
            assert findings_of(connection, scope=Scope.of("elsewhere"), study_id=1) == ()
        assert keep(of="one", is_whole=True) == ()
