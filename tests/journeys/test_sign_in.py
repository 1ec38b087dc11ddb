"""From the first start to the first person signed in, as an operator and a browser do it."""

import http.cookiejar
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from tests.journeys.process import PATIENCE_S, command, environment, started
from tests.tiny_model import write_tiny_artifact

PASSWORD = "a lantern over the harbour"


class Browser:
    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        self.cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def open(self, way: str, form: dict[str, str] | None = None) -> tuple[int, str, str]:
        data = None if form is None else urllib.parse.urlencode(form).encode()
        request = urllib.request.Request(f"{self.address}{way}", data, {"Accept": "text/html"})
        try:
            with self._opener.open(request, timeout=PATIENCE_S) as answer:
                return answer.status, answer.url, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.url or "", error.read().decode()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_artifact(folder, name="derm-lesion", classes=("nv", "mel"))
    return folder


def _admin(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command("admin", *arguments),
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_the_first_person_comes_in_by_the_printed_link_and_the_next_start_prints_none(
    tmp_path: Path, models: Path
) -> None:
    home = tmp_path / "home"
    without_factor = {"FIRSTREAD_SECOND_FACTOR_ROLES": ""}
    serve = ("serve", "--sign-in", "--models", str(models))
    with started(*serve, home=home, log=tmp_path / "log1", **without_factor) as program:
        said = program.log.read_text(encoding="utf-8")
        printed = re.search(r"/set-up\?token=([\w-]+)", said)
        assert printed is not None, said
        newer = _admin(home, "setup-link", "--address", program.address).stdout.strip()
        browser = Browser(program.address)
        assert browser.open("/")[1].endswith("/sign-in?next=/")
        assert browser.open(f"/set-up?token={printed.group(1)}")[0] == 410  # the newer one took its place
        token = newer.rpartition("=")[2]
        form = {
            "token": token,
            "login_name": "zhou",
            "name_zh": "周医生",
            "password": PASSWORD,
            "again": PASSWORD,
        }
        status, way, _ = browser.open("/set-up", form)
        assert (status, urllib.parse.urlsplit(way).path) == (200, "/account/second-factor")
        assert browser.open("/")[0] == 200
        refused = _admin(home, "setup-link")
        assert (refused.returncode, "there are accounts already" in refused.stderr) == (1, True)
        reset = _admin(home, "password-link", "ZHOU", "--address", program.address).stdout.strip()
        assert "zhou" in Browser(program.address).open(reset.removeprefix(program.address.rstrip("/")))[2]
        assert "nobody of the login name" in _admin(home, "password-link", "nobody").stderr
    with started(*serve, home=home, log=tmp_path / "log2", **without_factor) as program:
        assert "set-up?token" not in program.log.read_text(encoding="utf-8")
        browser = Browser(program.address)
        status, way, page = browser.open("/sign-in", {"login_name": "zhou", "password": PASSWORD})
        assert (status, urllib.parse.urlsplit(way).path) == (200, "/")
        assert "zhou" in page


def test_the_demo_can_have_people_sign_in(tmp_path: Path, models: Path) -> None:
    with started("demo", "--sign-in", "--models", str(models), home=None, log=tmp_path / "log") as program:
        assert Browser(program.address).open("/")[1].endswith("/sign-in?next=/")
        assert "/set-up?token=" in program.log.read_text(encoding="utf-8")
