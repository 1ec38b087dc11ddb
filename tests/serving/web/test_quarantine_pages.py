"""The pages of the quarantine: in both languages, by form, and for nobody who may not."""

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from data.errors import Reason
from serving.identity.caller import Role
from serving.store.quarantine import HeldState
from serving.web.quarantine_wording import QuarantineWording, quarantine_wording_of
from serving.worklist.language import Language
from tests.serving.identity.people import browser, enter, let_in
from tests.serving.quarantine.refusing import allow, entries, image_of_ct, written
from tests.serving.service_in_process import Service, in_process

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with in_process(tmp_path) as running:
        yield running


def _refused(service: Service, name: str, content: bytes) -> str:
    answer = service.client.post("/api/v1/studies", files={"files": (name, content)}).json()
    return f"/quarantine/{answer['rejected'][0]['quarantine']}"


def test_the_list_shows_reason_door_and_name_in_the_readers_language(service: Service) -> None:
    assert "Nothing waits here." in service.client.get("/quarantine").text
    address = _refused(service, f"{HOSTILE}.txt", b"no image")
    page = service.client.get("/quarantine", headers={"Accept-Language": "zh-CN"}).text
    assert "隔离区" in page
    assert "不是图像" in page
    assert f'href="{address}?lang=zh"' in page
    for text in (page, service.client.get(address).text):
        assert HOSTILE not in text
        assert "&lt;script&gt;" in text
    assert (
        f'href="{address}?lang=en"'
        in service.client.post("/send?lang=en", files={"files": (f"{HOSTILE}.txt", b"no image")}).text
    )
    assert "0 files" in service.client.get("/quarantine?reason=empty-file&lang=en").text


def test_a_mislabelled_name_is_previewed_corrected_and_taken_in_by_form(
    service: Service, tmp_path: Path
) -> None:
    allow(service, "upload/CT")
    dataset = image_of_ct(tmp_path / "ct", patient_id="")
    dataset.SpecificCharacterSet = "GB18030"
    dataset.PatientName = "王^小东"
    content = written(dataset).replace(b"CS\x08\x00GB18030 ", b"CS\x0a\x00ISO_IR 100", 1)
    address = _refused(service, "ct.dcm", content)
    form = {"keyword": ["PatientID", ""], "value": ["P7", ""], "character_set": "GBK"}
    preview = service.client.post(f"{address}/corrections?lang=zh", data={**form, "do": "preview"})
    assert preview.status_code == 200
    assert re.search(r"<td>PatientName</td><td>[^<]*</td><td>王\^小东</td>", preview.text)
    assert 'value="P7"' in preview.text

    saved = service.client.post(f"{address}/corrections", data={**form, "do": "save"}, follow_redirects=False)
    assert saved.status_code == 303
    taken = service.client.post(f"{address}/retry", follow_redirects=False)
    assert taken.status_code == 303
    (entry,) = entries(service)
    assert entry.state is HeldState.TAKEN
    study = service.client.get(f"/api/v1/studies/{entry.ending}").json()
    assert (study["patient"], study["patient_name"]) == ("P7", "王^小东")
    assert "taken in by local" in service.client.get(address, params={"lang": "en"}).text


def test_what_is_refused_again_or_corrected_wrongly_says_why_on_the_page(
    service: Service, tmp_path: Path
) -> None:
    allow(service, "upload/CT")
    address = _refused(service, "ct.dcm", written(image_of_ct(tmp_path / "ct", patient_id="")))
    refused = service.client.post(f"{address}/retry")
    assert (refused.status_code, "no-patient-id" in refused.text) == (422, True)
    wrong = {"keyword": ["PatientBirthDate"], "value": ["tomorrow"]}
    answer = service.client.post(f"{address}/corrections", data=wrong)
    assert (answer.status_code, "PatientBirthDate is a DA" in answer.text) == (422, True)
    assert 'value="tomorrow"' in answer.text  # what was typed is not lost


def test_a_file_is_discarded_by_form_with_its_reason(service: Service) -> None:
    address = _refused(service, "letter.txt", b"no image")
    assert service.client.post(f"{address}/discard", data={"reason": ""}).status_code == 422
    service.client.post(f"{address}/discard", data={"reason": "a letter"})
    (entry,) = entries(service)
    assert (entry.state, entry.ending) == (HeldState.DISCARDED, "a letter")


def test_only_operators_and_supervisors_are_shown_it_and_each_their_sites(tmp_path: Path) -> None:
    with in_process(tmp_path, with_sign_in=True) as service:
        sender = browser(service, let_in(service, enter(service, Role.UPLOADER, site="north")))
        answer = sender.post("/api/v1/studies", files={"files": ("left-arm.txt", b"no image")}).json()
        address = f"/quarantine/{answer['rejected'][0]['quarantine']}"
        assert sender.get("/quarantine", headers={"accept": "text/html"}).status_code == 403
        for role, site, is_shown in (
            (Role.SUPERVISOR, "north", True),
            (Role.OPERATOR, "north", True),
            (Role.SUPERVISOR, "south", False),
        ):
            client = browser(service, let_in(service, enter(service, role, site=site)))
            assert ("left-arm" in client.get("/quarantine").text) is is_shown
            assert client.get(address).status_code == (200 if is_shown else 404)


@pytest.mark.parametrize("language", list(Language))
def test_every_phrase_is_there_and_every_reason_has_a_name(language: Language) -> None:
    words = quarantine_wording_of(language)
    assert all(getattr(words, one.name) for one in fields(QuarantineWording))
    assert set(words.states) == set(HeldState)
    not_of_an_upload = {
        Reason.NOT_FOUND,
        Reason.BURNED_IN_TEXT,
        Reason.RECOGNIZABLE_FACE,
        Reason.CONSENT_WITHHELD,
        Reason.NAME_TAKEN,
        Reason.NO_MODEL,
        Reason.MODEL_FAILED,
    }
    assert set(Reason) - not_of_an_upload <= set(words.reasons)
