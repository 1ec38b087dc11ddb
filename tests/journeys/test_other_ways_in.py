"""The ways in beside name and password, set by the environment as operators do, in a real process."""

import json
import subprocess
from pathlib import Path

import httpx2
import pytest

from tests.journeys.process import PATIENCE_S, ROOT, Program, command, environment, started
from tests.serving.identity.openid_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    browse,
    openid_provider,
    with_query,
)
from tests.tiny_model import write_tiny_artifact


@pytest.fixture
def serve(tmp_path: Path) -> tuple[str, ...]:
    write_tiny_artifact(tmp_path / "models", name="derm-lesion", classes=("nv", "mel"))
    return ("--sign-in", "--models", str(tmp_path / "models"))


def _admin(home: Path, *arguments: str) -> None:
    subprocess.run(
        command("admin", *arguments), cwd=ROOT, env=environment(home), check=True, timeout=PATIENCE_S
    )


def _browser(program: Program) -> httpx2.Client:
    return httpx2.Client(base_url=program.address, trust_env=False, timeout=PATIENCE_S)


def test_somebody_comes_in_by_the_provider_that_the_environment_names(
    tmp_path: Path, serve: tuple[str, ...]
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{CLIENT_SECRET}\n")
    with openid_provider("http://localhost:8080/sign-in/openid/callback") as provider:
        provider.person = {"sub": "7", "name": "李娜", "realm": {"roles": ["radiology"]}, "sites": ["*"]}
        settings = {
            "FIRSTREAD_PUBLIC_URL": "http://localhost:8080",
            "FIRSTREAD_OIDC_ISSUER": provider.issuer,
            "FIRSTREAD_OIDC_CLIENT_ID": CLIENT_ID,
            "FIRSTREAD_OIDC_CLIENT_SECRET_FILE": str(secret),
            "FIRSTREAD_OIDC_ROLES": "radiology=reader",
            "FIRSTREAD_OIDC_ROLES_CLAIM": "realm.roles",
            "FIRSTREAD_OIDC_SITES_CLAIM": "sites",
        }
        log = tmp_path / "log"
        with started("serve", *serve, home=tmp_path / "home", log=log, **settings) as program:
            with _browser(program) as browser:
                sent = browser.get("/sign-in/openid?next=/account")
                came = browser.get(with_query("/sign-in/openid/callback", browse(sent.headers["Location"])))
                assert (came.status_code, came.headers["Location"]) == (303, "/account"), came.text
                me = browser.get("/api/v1/me").json()
                assert "reader" in json.dumps(me)
                assert browser.get("/api/v1/worklist").status_code == 200
                assert "李娜" in browser.get("/account").text
            asked = " ".join(provider.asked)
        written = log.read_text(encoding="utf-8")
        for hidden in (CLIENT_SECRET, "code=", "state=", "李娜"):
            assert hidden not in written
        assert "POST /token" in asked


def test_a_proxy_that_the_environment_names_says_who_asks_and_nobody_else_does(
    tmp_path: Path, serve: tuple[str, ...]
) -> None:
    home, log = tmp_path / "home", tmp_path / "log"
    header = {"FIRSTREAD_PROXY_USER_HEADER": "X-Remote-User"}
    trusted = header | {"FIRSTREAD_TRUSTED_PROXIES": "127.0.0.1"}
    said = {"X-Remote-User": "li.na", "X-Forwarded-For": "192.0.2.5"}
    with started("serve", *serve, home=home, log=log, **trusted) as program, _browser(program) as browser:
        _admin(home, "users", "create", "li.na", "--name-zh", "李娜", "--role", "reader")
        assert browser.get("/api/v1/worklist", headers=said).status_code == 200
        assert browser.get("/api/v1/worklist").status_code == 401
    elsewhere = header | {"FIRSTREAD_TRUSTED_PROXIES": "192.0.2.1"}
    with started("serve", *serve, home=home, log=log, **elsewhere) as program, _browser(program) as browser:
        assert browser.get("/api/v1/worklist", headers=said).status_code == 401
    with started("serve", *serve, home=home, log=log) as program, _browser(program) as browser:
        refused = browser.get("/api/v1/worklist", headers=said)
        assert refused.json()["code"] == "sign-in-needed"  # off: nobody looks at the header

    exported = subprocess.run(
        command("audit", "export", "--format", "csv"),
        cwd=ROOT,
        env=environment(home),
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    (seen,) = [line for line in exported.stdout.splitlines() if "viewed-list" in line]
    assert "192.0.2.5" in seen
    assert "li.na" in seen


def test_a_header_without_a_proxy_that_is_trusted_keeps_the_service_from_starting(tmp_path: Path) -> None:
    done = subprocess.run(
        command("serve", "--port", "0"),
        cwd=ROOT,
        env=environment(tmp_path, FIRSTREAD_PROXY_USER_HEADER="X-Remote-User"),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 1
    assert "FIRSTREAD_TRUSTED_PROXIES" in done.stderr
