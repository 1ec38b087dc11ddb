"""A network of two sites as its people and programs use it: a real process, curl, tokens and a reader."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import httpx2
import pytest

from tests.journeys.process import PATIENCE_S, ROOT, command, environment, started
from tests.serving.service_in_process import photograph
from tests.serving.store.databases import Place
from tests.tiny_model import write_tiny_artifact

PASSWORD = "a-long-pass-phrase-of-a-reader"


def _environment(place: Place) -> dict[str, str]:
    return {} if isinstance(place, Path) else {"FIRSTREAD_DATABASE_URL": place}


def _admin(home: Path, place: Place, *arguments: str) -> str:
    done = subprocess.run(
        command("admin", *arguments),
        cwd=ROOT,
        env=environment(home, **_environment(place)),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _curl(*arguments: str) -> tuple[int, object]:
    done = subprocess.run(
        ["curl", "--silent", "--noproxy", "*", "--write-out", "\n%{http_code}", *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


def _come_in(client: httpx2.Client, link: str) -> None:
    """Choose a password by a link and sign in, as a browser does."""
    token = re.fullmatch(r"/password\?token=(\S+)", link.splitlines()[-1])
    assert token is not None
    chosen = client.post("/password", data={"token": token[1], "password": PASSWORD, "again": PASSWORD})
    assert chosen.status_code == 303, chosen.text
    came = client.post("/sign-in", data={"login_name": "li.na", "password": PASSWORD})
    assert came.status_code == 303, came.text


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_programs_send_for_their_site_and_a_reader_sees_the_network(tmp_path: Path, place: Place) -> None:
    models, home, picture = tmp_path / "models", tmp_path / "home", tmp_path / "mole.jpg"
    write_tiny_artifact(models, name="derm-lesion", classes=("nv", "mel"))
    picture.write_bytes(photograph(200))
    if isinstance(place, Path):
        place = home / "firstread.sqlite"
    settings = _environment(place)
    with started(
        "serve", "--sign-in", "--models", str(models), home=home, log=tmp_path / "log", **settings
    ) as program:
        studies, worklist = f"{program.address}api/v1/studies", f"{program.address}api/v1/worklist"
        for site in ("north", "south"):
            _admin(home, place, "sites", "create", site, site.title())
        north, south = (
            _admin(
                home,
                place,
                "tokens",
                "create",
                "gateway",
                "--site",
                site,
                "--scope",
                "upload",
                "--scope",
                "read",
            )
            for site in ("north", "south")
        )

        assert _curl("-F", f"files=@{picture}", studies)[0] == 401
        status, answer = _curl("-H", f"Authorization: Bearer {north}", "-F", f"files=@{picture}", studies)
        assert status == 201
        assert isinstance(answer, dict)
        (study,) = answer["studies"]
        address = program.address.rstrip("/") + study["url"]

        # the site that sent it sees it; the other one learns nothing, not even that it is there
        assert _curl("-H", f"Authorization: Bearer {north}", address)[0] == 200
        assert _curl("-H", f"Authorization: Bearer {south}", address)[0] == 404
        status, seen = _curl("-H", f"Authorization: Bearer {south}", worklist)
        assert isinstance(seen, dict)
        assert (status, seen["entries"]) == (200, [])
        assert _curl("-H", f"Authorization: Bearer {south}", "-F", f"files=@{picture}", studies)[0] == 201

        link = _admin(
            home,
            place,
            *("users", "create", "Li.Na", "--name-zh", "李娜", "--role", "reader", "--sees-every-site"),
        )
        with httpx2.Client(base_url=program.address, trust_env=False, timeout=PATIENCE_S) as reader:
            _come_in(reader, link)
            entries = reader.get("/api/v1/worklist").json()["entries"]
            assert len(entries) == 2
            assert all(reader.get(entry["url"]).status_code == 200 for entry in entries)
            assert reader.get("/api/v1/users").status_code == 403
            assert reader.post("/api/v1/studies", files={"files": b"x"}).status_code == 403

            key = _admin(home, place, "tokens", "list", "--site", "north").split()[0]
            _admin(home, place, "tokens", "revoke", key)
            status, refused = _curl("-H", f"Authorization: Bearer {north}", address)
            assert isinstance(refused, dict)
            assert (status, refused["code"]) == (401, "credential-refused")

            _admin(home, place, "users", "deactivate", "li.na")
            assert reader.get("/api/v1/worklist").status_code == 401

    verified = subprocess.run(
        command("audit", "verify"),
        cwd=ROOT,
        env=environment(home, **settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert verified.returncode == 0, verified.stderr
    assert "is whole" in verified.stdout
