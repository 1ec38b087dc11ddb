"""Forged, altered, ended and foreign credentials over real HTTP: refused, told nothing, and written down."""

import http.client
import json
import re
import subprocess
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.journeys.kills.material import photograph
from tests.journeys.process import PATIENCE_S, Program, command, environment, started
from tests.journeys.wire import END, part
from tests.tiny_model import write_tiny_artifact

PASSWORD = "a kettle on the northern stove"
PICTURE = photograph(21, 1)
CLOSED = [
    "/",
    "/api/v1/worklist",
    "/api/v1/studies/x",
    "/api/v1/sites",
    "/api/v1/tokens",
    "/api/v1/me",
    "/metrics",
]


# 429: who guesses is slowed down.
REFUSED = (400, 401, 429, 431)


@dataclass
class Town:
    """A service of two sites, each with a program's token and one study of the north."""

    program: Program
    home: Path
    north: str
    south: str
    sender: str
    study: str = ""
    frame: str = ""
    cookie: str = ""
    secrets: list[str] = field(default_factory=list)

    def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> tuple[int, dict[str, str], bytes]:
        address = urllib.parse.urlsplit(self.program.address).netloc
        connection = http.client.HTTPConnection(address, timeout=PATIENCE_S)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content

    def send(self, headers: dict[str, str]) -> tuple[int, bytes]:
        body = part(b'name="files"; filename="a.png"', PICTURE.content) + END
        kind = {"Content-Type": "multipart/form-data; boundary=b"}
        status, _, content = self.ask("POST", "/api/v1/studies", kind | headers, body)
        return status, content


def _admin(home: Path, *arguments: str) -> str:
    done = subprocess.run(
        command(*arguments),
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _token(home: Path, name: str, site: str, *scopes: str) -> str:
    chosen = [word for scope in scopes for word in ("--scope", scope)]
    return (
        _admin(home, "admin", "tokens", "create", name, "--site", site, *chosen)
        .strip()
        .splitlines()[-1]
        .strip()
    )


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    home = folder / "home"
    write_tiny_artifact(folder / "models", name="derm-lesion", classes=("nv", "mel"))
    serve = ("serve", "--sign-in", "--models", str(folder / "models"))
    with started(*serve, home=home, log=folder / "log", FIRSTREAD_SECOND_FACTOR_ROLES="") as program:
        for site in ("north", "south"):
            _admin(home, "admin", "sites", "create", site, site.title())
        town = Town(
            program,
            home,
            north=_token(home, "north", "north", "upload", "read"),
            south=_token(home, "south", "south", "upload", "read"),
            sender=_token(home, "camera", "north", "upload"),
        )
        status, answer = town.send({"Authorization": f"Bearer {town.north}"})
        assert status == 201, answer
        town.study = json.loads(answer)["studies"][0]["id"]
        _, _, detail = town.ask(
            "GET", f"/api/v1/studies/{town.study}", {"Authorization": f"Bearer {town.north}"}
        )
        town.frame = json.loads(detail)["images"][0]["first_frame"]["rendered"]
        town.cookie = _signed_in(town)
        town.secrets += [town.north, town.south, town.sender, town.cookie.partition("=")[2], PASSWORD]
        yield town


def _signed_in(town: Town) -> str:
    printed = re.search(r"/set-up\?token=([\w-]+)", town.program.log.read_text(encoding="utf-8"))
    assert printed is not None
    form = {
        "token": printed[1],
        "login_name": "qian",
        "name_zh": "钱",
        "password": PASSWORD,
        "again": PASSWORD,
    }
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    status, headers, page = town.ask("POST", "/set-up", kind, urllib.parse.urlencode(form).encode())
    assert status == 303, page
    cookie = headers["set-cookie"]
    assert {"httponly", "samesite=lax"} <= {one.strip().lower() for one in cookie.split(";")}
    return re.search(r"firstread=[^;]+", cookie)[0]  # type: ignore[index]  # else the test fails here


def test_what_the_fixtures_hold_opens_the_gate(town: Town) -> None:
    for credential in ({"Authorization": f"Bearer {town.north}"}, {"Cookie": town.cookie}):
        status, _, body = town.ask("GET", "/api/v1/worklist", credential)
        assert (status, town.study.encode() in body) == (200, True)


def _altered(secret: str) -> list[str]:
    middle = len(secret) // 2
    other = "A" if secret[middle] != "A" else "B"
    return [
        secret[:-1],
        secret + "A",
        secret[:middle] + other + secret[middle + 1 :],
        secret.swapcase(),
        secret[:middle],
        "' OR 1=1 --",
        "x" * 5000,
        "\xff\xfe",
        "null",
    ]


@pytest.mark.parametrize("path", CLOSED)
def test_without_a_credential_nothing_is_told(town: Town, path: str) -> None:
    status, _, body = town.ask("GET", path)
    assert status in {303, 401}
    assert town.study.encode() not in body


def test_an_altered_token_or_cookie_opens_nothing(town: Town) -> None:
    forged = [{"Authorization": f"Bearer {one}"} for one in _altered(town.north)]
    forged += [{"Cookie": f"firstread={one}"} for one in _altered(town.cookie.partition("=")[2])]
    forged += [
        {"Authorization": "Bearer"},
        {"Authorization": "Basic cWlhbjpxaWFu"},
        {"Authorization": f"bearer {town.north}, {town.south}"},
        {"Cookie": f"__Host-firstread={town.cookie.partition('=')[2]}"},  # of TLS, and this is none
        {"X-Forwarded-User": "qian"},
        {"X-Remote-User": "qian"},
        {"X-Forwarded-Client-Cert": "Subject=qian"},
        {"X-Client-Verify": "SUCCESS", "X-Client-Dn": "CN=qian"},
    ]
    for headers in forged:
        status, _, body = town.ask("GET", "/api/v1/worklist", headers)
        assert (status, town.study.encode() in body) in {(one, False) for one in REFUSED}, headers
        assert town.send(headers)[0] in {403, *REFUSED}, headers


def test_a_token_of_another_site_finds_as_little_as_one_that_guesses(town: Town) -> None:
    south = {"Authorization": f"Bearer {town.south}"}
    guessed = "0" * 32
    for path in (f"/api/v1/studies/{town.study}", town.frame, town.frame.replace("rendered", "thumbnail")):
        theirs = town.ask("GET", path, south)
        nobodys = town.ask("GET", path.replace(town.study, guessed), south)
        assert theirs[0] == nobodys[0] == 404
        assert json.loads(theirs[2])["code"] == json.loads(nobodys[2])["code"]
    assert json.loads(town.ask("GET", "/api/v1/worklist", south)[2])["entries"] == []

    status, answer = town.send(south)  # the same picture is a study of its own there
    assert (status, json.loads(answer)["studies"][0]["id"] == town.study) == (201, False)
    north = json.loads(town.ask("GET", "/api/v1/worklist", {"Authorization": f"Bearer {town.north}"})[2])
    assert [entry["id"] for entry in north["entries"]] == [town.study]


def test_a_token_does_what_it_is_for_and_no_more(town: Town) -> None:
    sender = {"Authorization": f"Bearer {town.sender}"}
    assert town.send(sender)[0] == 200
    for path in (
        "/api/v1/worklist",
        f"/api/v1/studies/{town.study}",
        town.frame,
        "/metrics",
        "/api/v1/tokens",
    ):
        assert town.ask("GET", path, sender)[0] == 403, path
    for method, path in (("POST", "/api/v1/tokens"), ("POST", "/api/v1/sites")):
        assert town.ask(method, path, {"Content-Type": "application/json"} | sender, b"{}")[0] == 403


def test_a_cookie_alone_changes_nothing(town: Town) -> None:
    site = json.dumps({"id": "west", "name": "West"}).encode()
    for headers in (
        {"Cookie": town.cookie},
        {"Cookie": town.cookie, "X-CSRF-Token": "0" * 64},
        {"Cookie": town.cookie, "Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"},
    ):
        status, _, _ = town.ask("POST", "/api/v1/sites", {"Content-Type": "application/json"} | headers, site)
        assert status == 403, headers
        assert town.send(headers)[0] == 403, headers
    sites = town.ask("GET", "/api/v1/sites", {"Cookie": town.cookie})[2]
    assert b"west" not in sites.lower()


def test_a_token_that_was_revoked_and_a_session_that_was_ended_open_nothing_at_once(town: Town) -> None:
    short_lived = _token(town.home, "short", "north", "read")
    bearer = {"Authorization": f"Bearer {short_lived}"}
    assert town.ask("GET", "/api/v1/worklist", bearer)[0] == 200
    listed = _admin(town.home, "admin", "tokens", "list")
    key = next(line.split()[0] for line in listed.splitlines() if "short" in line)
    _admin(town.home, "admin", "tokens", "revoke", key)
    assert town.ask("GET", "/api/v1/worklist", bearer)[0] in REFUSED


def test_refusals_stand_in_the_trail_and_no_secret_stands_anywhere(town: Town) -> None:
    town.ask("GET", "/api/v1/worklist", {"Authorization": f"Bearer {town.north[:-1]}"})
    exported = _admin(town.home, "audit", "export", "--format", "csv")
    assert "refused" in exported
    assert "the audit trail is whole" in _admin(town.home, "audit", "verify")
    kept = exported + town.program.log.read_text(encoding="utf-8")
    kept += "".join(path.read_bytes().decode("latin-1") for path in town.home.glob("firstread.sqlite*"))
    for secret in town.secrets:
        assert secret not in kept
    assert "Traceback" not in kept
