"""From an upload to a signed read by one of two readers, over a server that is killed in between."""

import re
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx2

from tests.journeys.process import PATIENCE_S, ROOT, Program, command, environment, started
from tests.serving.service_in_process import photograph
from tests.serving.store.databases import Place
from tests.tiny_model import write_tiny_artifact

PASSWORD = "a-long-pass-phrase-of-a-reader"
READERS = ("li.na", "wang.fang")
ACTS = ("claimed", "drafted", "claim-ended", "decided")


def _run(home: Path, settings: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env=environment(home, **settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _enter(home: Path, settings: dict[str, str], name: str) -> str:
    """Enter a reader with a licence, and give the link by which they choose a password."""
    sees = ("--role", "reader", "--specialty", "dermatology", "--sees-every-site")
    link = _run(home, settings, "admin", "users", "create", name, "--name-en", name, *sees)
    licence = ("--number", "110110000012345", "--issuer", "NHC", "--expires", "2099-12-31")
    _run(home, settings, "admin", "users", "licence", name, *licence)
    return link.splitlines()[-1]


def _browser(clients: ExitStack, program: Program, **headers: str) -> httpx2.Client:
    client = httpx2.Client(base_url=program.address, trust_env=False, timeout=PATIENCE_S, headers=headers)
    return clients.enter_context(client)


def _come_in(client: httpx2.Client, name: str, link: str) -> None:
    token = re.fullmatch(r"/password\?token=(\S+)", link)
    assert token is not None
    client.post("/password", data={"token": token[1], "password": PASSWORD, "again": PASSWORD})
    came = client.post("/sign-in", data={"login_name": name, "password": PASSWORD})
    assert came.status_code == 303, came.text
    client.headers["X-CSRF-Token"] = client.get("/api/v1/me").json()["csrf_token"]


def _at(clients: ExitStack, program: Program, before: httpx2.Client) -> httpx2.Client:
    """Give the same browser at the address of the server that was started again."""
    client = _browser(clients, program, **{"X-CSRF-Token": before.headers["X-CSRF-Token"]})
    client.cookies.update(before.cookies)
    return client


def _wait_until_scored(client: httpx2.Client, way: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while client.get(way).json()["state"] != "scored":
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_study_goes_from_upload_to_a_signed_read_over_a_killed_server(tmp_path: Path, place: Place) -> None:
    models, home = tmp_path / "models", tmp_path / "home"
    write_tiny_artifact(models, name="derm-lesion", classes=("nv", "mel"))
    settings = {} if isinstance(place, Path) else {"FIRSTREAD_DATABASE_URL": place}
    serve = ("serve", "--sign-in", "--models", str(models))
    with (
        started(*serve, home=home, log=tmp_path / "log1", **settings) as program,
        ExitStack() as clients,
    ):
        _run(home, settings, "admin", "sites", "create", "north", "North")
        scopes = ("--scope", "upload", "--scope", "read")
        token = _run(home, settings, "admin", "tokens", "create", "gateway", "--site", "north", *scopes)
        bearer = {"Authorization": f"Bearer {token}"}
        site = _browser(clients, program, **bearer)
        sent = site.post("/api/v1/studies", files={"files": ("mole.jpg", photograph(200))}).json()
        (study,) = sent["studies"]
        readers = {name: _browser(clients, program) for name in READERS}
        for name, client in readers.items():
            _come_in(client, name, _enter(home, settings, name))
        _wait_until_scored(site, study["url"])

        # both ask for the next study at the same moment; one gets it, the other is told that there is none
        with ThreadPoolExecutor(2) as threads:
            given = dict(
                zip(
                    READERS,
                    threads.map(lambda name: readers[name].post("/api/v1/worklist/next").json(), READERS),
                    strict=True,
                )
            )
        (holder,) = [name for name in READERS if given[name]["claim"] is not None]
        (other,) = set(READERS) - {holder}
        refused = readers[other].post(f"{study['url']}/claim")
        assert (refused.status_code, refused.json()["holders"][0]["reader"]) == (409, holder)
        draft = {
            "diagnosis": {"scheme": "SCT", "code": "93655004"},
            "action": "refer-urgently",
            "findings": [{"verdict": "accepted", "key": "mel"}],
            "note": "不规则边缘 🩺",
            "save_key": "1",
        }
        saved = readers[holder].put(f"{study['url']}/read", json=draft)
        assert saved.status_code == 200, saved.text
        program.process.send_signal(signal.SIGKILL)
        program.process.wait()

    with (
        started(*serve, home=home, log=tmp_path / "log2", **settings) as program,
        ExitStack() as clients,
    ):
        reader, colleague = (_at(clients, program, readers[name]) for name in (holder, other))
        kept = reader.get(f"{study['url']}/read")
        assert (kept.headers["ETag"], kept.json()["read"]["note"]) == ('"1"', "不规则边缘 🩺")
        assert kept.json()["lease"]["is_held"] is True
        again = reader.put(f"{study['url']}/read", json=draft)  # the answer to the first one was lost
        assert again.headers["ETag"] == '"1"'
        detail = reader.get(study["url"]).json()
        signature = {
            "version": 1,
            "seen_revision": detail["revision"],
            "seen_images": len(detail["images"]),
            "seen_score": detail["score"]["id"],
        }
        signed = [reader.post(f"{study['url']}/read/sign", json=signature) for _ in range(2)]
        assert [answer.json()["is_new"] for answer in signed] == [True, False]
        assert colleague.get("/api/v1/worklist").json()["entries"] == []
        assert colleague.post(f"{study['url']}/claim").json()["code"] == "study-read"
        for who in (colleague, _browser(clients, program, **bearer)):
            (read,) = who.get(f"{study['url']}/reads").json()["reads"]
            assert (read["reader"], read["action"], read["score"]) == (
                holder,
                "refer-urgently",
                detail["score"]["id"],
            )

    assert "is whole" in _run(home, settings, "audit", "verify")
    trail = _run(home, settings, "audit", "export", "--format", "csv")
    acts = [line for line in trail.splitlines() if any(f",{act}," in line for act in ACTS)]
    assert [next(act for act in ACTS if f",{act}," in line) for line in acts] == list(ACTS)
    assert all(holder in line and "110110000012345" in line for line in acts)
    assert "不规则" not in trail
