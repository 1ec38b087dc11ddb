"""PostgreSQL goes away under the whole service and comes back: said, nothing lost, no restart."""

import subprocess
import time
from pathlib import Path

from tests.journeys.kills.material import photograph
from tests.journeys.process import PATIENCE_S, Program, command, environment, started
from tests.serving.store.databases import postgres_server
from tests.tiny_model import write_tiny_artifact

AWAY_S = 3.0


def _send(program: Program, number: int) -> tuple[int, str]:
    """Give the status and the study's key, or the problem's code."""
    picture = photograph(11, number)
    status, answer = program.post((picture.name, picture.content))
    return status, answer["studies"][0]["id"] if status in {200, 201} else answer["code"]


def test_a_database_that_goes_away_is_said_and_found_again_by_itself(tmp_path: Path) -> None:
    models, home = tmp_path / "models", tmp_path / "home"
    write_tiny_artifact(models, name="derm-lesion", classes=("nv", "mel"))
    with postgres_server("fsync=on") as server:
        address = server.new_database()
        with started(
            "serve",
            "--models",
            str(models),
            home=home,
            log=tmp_path / "log",
            FIRSTREAD_DATABASE_URL=address,
        ) as program:
            before = [_send(program, number)[1] for number in range(4)]  # some are being scored when it goes

            server.stop()
            assert _send(program, 10) == (503, "database-unavailable")
            assert program.fetch("/api/v1/worklist")[1]["code"] == "database-unavailable"
            assert program.fetch("/readyz")[0] == 503
            assert program.fetch("/healthz")[0] == 200  # it lives, and nobody is to restart it
            time.sleep(AWAY_S)
            server.start()

            after = [_send(program, number)[1] for number in range(10, 14)]
            entries = program.wait_until_scored(8)
            assert {entry["id"] for entry in entries} == {*before, *after}
            assert {entry["state"] for entry in entries} == {"scored"}
            assert program.get("/readyz")["status"] == "ready"
            assert "Traceback" not in program.log.read_text(encoding="utf-8")
        verified = subprocess.run(
            command("audit", "verify"),
            env=environment(home, FIRSTREAD_DATABASE_URL=address),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert verified.returncode == 0, verified.stderr


def test_without_its_database_the_service_does_not_start_and_says_so_in_one_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        command("serve", "--without-sign-in", "--port", "0"),
        env=environment(
            tmp_path / "home",
            FIRSTREAD_DATABASE_URL=f"postgresql://somebody:a-password@/nothing?host={tmp_path}",
        ),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "the database nothing at" in done.stderr
    assert "a-password" not in done.stderr
