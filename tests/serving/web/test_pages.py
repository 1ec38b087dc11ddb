import re
from collections.abc import Iterator
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path

import pytest

from serving.web.wording import Wording, wording_of
from serving.worklist.language import Language
from tests.serving.service_in_process import Service, in_process, photograph


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with in_process(tmp_path) as running:
        yield running


class _Links(HTMLParser):
    """Collects what a page makes a browser fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.fetched += [given[name] or "" for name in ("src", "href", "action") if name in given]
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in given):
            self.inline.append(tag)


def _links(page: str) -> _Links:
    links = _Links()
    links.feed(page)
    return links


def _send(service: Service, name: str, red: int, **data: str) -> str:
    answer = service.client.post("/api/v1/studies", files={"files": (name, photograph(red))}, data=data)
    return str(answer.json()["studies"][0]["id"])


def test_an_empty_list_says_so_and_offers_to_send(service: Service) -> None:
    page = service.client.get("/").text
    assert "Nothing waits to be read." in page
    assert '<details class="send" open>' in page


def test_a_line_shows_tier_reason_due_time_and_thumbnail(service: Service) -> None:
    study = _send(service, "mole.jpg", 250, age="61", body_site="back", priority="stat")
    service.score_all()
    page = service.client.get("/").text
    assert re.search(r'tier-critical">.*▲▲</span> Critical', page)
    assert "STAT" in page
    assert "read within 15 min" in page
    assert re.search(r"due in 1[45] min", page)
    assert f"/studies/{study}?lang=en" in page
    assert re.search(rf'<img src="/api/v1/studies/{study}/instances/[0-9.]+/frames/1/thumbnail"', page)


def test_a_study_without_a_score_is_marked_by_shape_and_word(service: Service) -> None:
    _send(service, "mole.jpg", 250)
    page = service.client.get("/").text
    assert re.search(r'badge unscored">.*\?</span> Not scored yet', page)


def test_what_a_sender_writes_is_text_and_never_markup(service: Service) -> None:
    hostile = "<script>alert(1)</script>"
    study = _send(service, f"{hostile}.jpg", 250, body_site=hostile, clinical_question=hostile)
    service.score_all()
    for page in ("/", f"/studies/{study}"):
        text = service.client.get(page).text
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert(1)" in text


def test_the_pages_fetch_nothing_from_elsewhere_and_run_nothing_inline(service: Service) -> None:
    study = _send(service, "mole.jpg", 250)
    service.score_all()
    for address in ("/", f"/studies/{study}", "/?lang=zh"):
        links = _links(service.client.get(address).text)
        assert links.inline == []
        assert all(link.startswith("/") and not link.startswith("//") for link in links.fetched)
        for link in links.fetched:
            if link.startswith("/assets/"):
                assert service.client.get(link).status_code == 200


def test_a_study_shows_its_contour_only_when_asked_and_says_what_the_figures_are_for(
    service: Service,
) -> None:
    study = _send(service, "mole.jpg", 250)
    service.score_all()
    page = service.client.get(f"/studies/{study}").text
    assert "<polygon points=" in page
    assert '<input type="checkbox" id="contour" class="toggle">' in page  # not checked
    assert "For prioritisation only" in page
    style = service.client.get("/assets/pages.css").text
    assert re.search(r"\.picture svg \{[^}]*visibility: hidden", style)


def test_the_form_takes_the_good_and_names_the_bad(service: Service) -> None:
    answer = service.client.post(
        "/send?lang=zh",
        files=[("files", ("mole.jpg", photograph(9))), ("files", ("letter.txt", b"no image"))],
        data={"age": "", "sex": "", "skin_type": "", "body_site": "", "priority": "urgent"},
    )
    assert answer.status_code == 201
    assert "已保存并排队" in answer.text
    assert "letter.txt" in answer.text
    assert "not-an-image" in answer.text
    assert service.client.get("/api/v1/worklist").json()["entries"][0]["priority"] == "urgent"


def test_a_form_of_which_nothing_can_be_taken_says_why(service: Service) -> None:
    answer = service.client.post("/send", files={"files": ("letter.txt", b"no image")})
    assert answer.status_code == 422
    assert "None of the files could be taken." in answer.text
    assert "letter.txt" in answer.text


def test_an_unknown_study_is_a_page_and_not_a_document(service: Service) -> None:
    answer = service.client.get("/studies/unknown?lang=en")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")


def test_the_pages_speak_the_readers_language(service: Service) -> None:
    _send(service, "mole.jpg", 9)
    chinese = service.client.get("/", headers={"Accept-Language": "zh-CN"})
    assert '<html lang="zh">' in chinese.text
    assert "尚未评分：请在4小时内阅片" in chinese.text
    assert "?lang=en" in chinese.text


def test_a_long_list_is_shown_a_page_at_a_time(service: Service) -> None:
    photographs = [("files", (f"{red}.png", photograph(red, coding="PNG"))) for red in range(52)]
    service.client.post("/api/v1/studies", files=photographs)
    first = service.client.get("/").text
    assert first.count('class="row"') == 50
    following = re.search(r'href="(/\?lang=en&amp;cursor=[^"]+)"', first)
    assert following is not None
    assert service.client.get(following.group(1).replace("&amp;", "&")).text.count('class="row"') == 2


@pytest.mark.parametrize("language", list(Language))
def test_every_phrase_is_there(language: Language) -> None:
    words = wording_of(language)
    assert all(getattr(words, one.name) for one in fields(Wording) if one.name != "joint")


def test_a_late_study_says_by_how_much() -> None:
    assert wording_of(Language.ENGLISH).due(-12.4) == "late by 12 min"
    assert wording_of(Language.CHINESE).due(-1500) == "已超时1天1小时"


def test_every_form_of_somebody_signed_in_carries_the_token_of_its_page() -> None:
    folder = Path(__file__).resolve().parents[3] / "serving" / "web" / "templates"
    by_link = {"/sign-in?", "/set-up?", "/password?"}  # nobody is signed in there
    forms = [
        (path.name, form)
        for path in folder.glob("*.html")
        for form in re.findall(r'<form[^>]*method="post".*?</form>', path.read_text("utf-8"), re.DOTALL)
    ]
    assert len(forms) > 8
    for name, form in forms:
        action = re.search(r'action="([^"{]*)', form)
        assert action is not None
        assert action.group(1) in {f"{one}lang=" for one in by_link} or 'name="csrf"' in form, (name, form)
