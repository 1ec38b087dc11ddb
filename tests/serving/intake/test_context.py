"""How long a lesion is known and what has changed of it: taken, kept, shown in both languages."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from data.study import Change, Duration, PatientContext
from serving.errors import Problem, ServiceError
from serving.intake.context import ContextFields, read_context
from serving.store.receipt import PRIORITIES
from serving.store.studies import find_study
from serving.store.tenancy import Scope
from serving.studies.assembly import assemble
from serving.web.wording import wording_of
from serving.worklist.language import Language
from tests.serving.service_in_process import Service, in_process, photograph


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with in_process(tmp_path) as running:
        yield running


def _send(service: Service, **fields: object) -> str:
    answer = service.client.post("/api/v1/studies", files={"files": ("mole.jpg", photograph(9))}, data=fields)
    assert answer.status_code in {200, 201}, answer.text
    return str(answer.json()["studies"][0]["url"])


@pytest.mark.parametrize("change", ["bleeding, grew", ["grew", "bleeding"]])
def test_duration_and_change_are_kept_with_the_study(service: Service, change: object) -> None:
    address = _send(service, duration="1-to-6-months", change=change, change_note="an edge is black now")
    detail = service.client.get(address).json()
    assert (detail["duration"], detail["change"]) == ("1-to-6-months", ["grew", "bleeding"])
    assert detail["change_note"] == "an edge is black now"
    with service.database.reading() as connection:
        stored = find_study(connection, scope=Scope(None), key=detail["id"])
    assert stored is not None
    context = assemble(stored, service.objects).context
    assert context.duration is Duration.FROM_1_TO_6_MONTHS
    assert context.changes == (Change.GREW, Change.BLEEDING)


def test_what_was_not_said_may_be_said_later_and_what_was_said_stays(service: Service) -> None:
    _send(service)
    address = _send(service, duration="over-5-years", change="none")
    _send(service, duration="since-birth", change="itch")
    detail = service.client.get(address).json()
    assert (detail["duration"], detail["change"]) == ("over-5-years", ["none"])


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"duration": "long"}, "duration"),
        ({"change": "worse"}, "change"),
        ({"change": "none,itch"}, "change"),
        ({"change_note": "x" * 1001}, "change_note"),
    ],
)
def test_what_no_list_has_is_refused_by_name(fields: dict[str, str], named: str) -> None:
    with pytest.raises(ServiceError, match=repr(named)) as caught:
        read_context(fields)
    assert caught.value.problem is Problem.INVALID_REQUEST


def test_the_study_itself_takes_no_change_and_none() -> None:
    with pytest.raises(ValueError, match="exclude"):
        PatientContext(changes=(Change.NONE, Change.ITCH))


@pytest.mark.parametrize(
    ("language", "words"), [("en", ("1 to 6 months", "bleeds")), ("zh", ("1至6个月", "出血"))]
)
def test_the_page_of_the_study_says_them(service: Service, language: str, words: tuple[str, str]) -> None:
    address = _send(service, duration="1-to-6-months", change=["bleeding"], change_note="<b>black</b>")
    key = address.rpartition("/")[2]
    page = service.client.get(f"/studies/{key}", params={"lang": language}).text
    assert all(word in page for word in words)
    assert "&lt;b&gt;black" in page


@pytest.mark.parametrize("language", list(Language))
def test_the_form_asks_for_each_in_both_languages(service: Service, language: Language) -> None:
    words = wording_of(language)
    assert set(words.durations) == set(Duration)
    assert set(words.changes) == set(Change)
    page = service.client.get("/", params={"lang": str(language)}).text
    for code in Duration:
        assert f'<option value="{code}">{words.durations[code]}</option>' in page
    for change in Change:
        assert f'name="change" value="{change}"> {words.changes[change]}' in page


def test_the_form_has_the_lists_of_the_study() -> None:
    schema = ContextFields.model_json_schema()["properties"]
    assert schema["duration"]["anyOf"][0]["enum"] == list(Duration)
    assert schema["change"]["anyOf"][0]["items"]["enum"] == list(Change)
    assert set(get_args(ContextFields.model_fields["priority"].annotation)) == set(PRIORITIES)
