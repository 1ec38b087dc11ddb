import io
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path

import psutil
import pytest
from PIL import Image

from tests.journeys.process import PATIENCE_S, command, environment, started
from tests.serving.service_in_process import photograph, zipped
from tests.tiny_model import write_tiny_artifact


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_artifact(folder, name="derm-lesion", classes=("nv", "mel"))
    return folder


def test_from_upload_to_the_key_image_of_a_ranked_list(tmp_path: Path, models: Path) -> None:
    with started("serve", "--models", str(models), home=tmp_path / "home", log=tmp_path / "log") as program:
        status, answer = program.post(
            ("harmless.jpg", photograph(10)),
            (
                "more.zip",
                zipped(**{"grave.png": photograph(250, coding="PNG"), "cut.jpg": photograph(9)[:400]}),
            ),
            ("letter.dcm", b"no image at all " * 20),
            age="70",
        )
        assert status == 201
        assert {line["file"]: line["reason"] for line in answer["rejected"]} == {
            "more.zip/cut.jpg": "truncated",
            "letter.dcm": "not-an-image",
        }
        first, second = program.wait_until_scored(2)
        assert first["due_at"] < second["due_at"]
        assert program.get(first["url"])["images"][0]["file"] == "more.zip/grave.png"
        assert program.get("/readyz")["status"] == "ready"
        address = program.address.rstrip("/") + first["key_image"]["rendered"]
        with urllib.request.urlopen(address, timeout=PATIENCE_S) as frame:
            assert Image.open(io.BytesIO(frame.read())).size == (64, 64)
        with urllib.request.urlopen(program.address, timeout=PATIENCE_S) as page:
            assert first["id"] in page.read().decode()

        refused, problem = program.post(("empty.jpg", b""))
        assert (refused, problem["rejected"][0]["reason"]) == (422, "empty-file")


def test_nothing_acknowledged_is_lost_by_kill_9_in_the_middle_of_scoring(
    tmp_path: Path, models: Path
) -> None:
    home = tmp_path / "home"
    with started("serve", "--models", str(models), home=home, log=tmp_path / "log1") as program:
        workers = psutil.Process(program.process.pid).children(recursive=True)
        for worker in workers:
            worker.suspend()  # so that scoring is under way for sure
        sent = [
            program.post((f"{red}.jpg", photograph(red)))[1]["studies"][0]["id"] for red in range(0, 80, 10)
        ]
        states = {entry["state"] for entry in program.get("/api/v1/worklist")["entries"]}
        assert states <= {"received", "scoring"}
        program.process.send_signal(signal.SIGKILL)
        program.process.wait()
        for worker in workers:
            if worker.is_running():
                worker.resume()
        gone, alive = psutil.wait_procs(workers, timeout=PATIENCE_S)
        assert not alive, f"scoring processes outlive their service: {alive}, {gone}"

    with started("serve", "--models", str(models), home=home, log=tmp_path / "log2") as program:
        entries = program.wait_until_scored(len(sent))
        assert {entry["id"] for entry in entries} == set(sent)
        assert {entry["state"] for entry in entries} == {"scored"}


def test_without_a_model_studies_are_queued_and_scored_once_there_is_one(
    tmp_path: Path, models: Path
) -> None:
    home, empty = tmp_path / "home", tmp_path / "empty"
    empty.mkdir()
    with started("serve", "--models", str(empty), home=home, log=tmp_path / "log1") as program:
        assert "no model: studies are queued unscored" in program.log.read_text(encoding="utf-8")
        program.post(("a.jpg", photograph(9)))
        assert [entry["state"] for entry in program.wait_until_scored(1)] == ["abstained"]
        program.process.terminate()
        program.process.wait(PATIENCE_S)
    with started("serve", "--models", str(models), home=home, log=tmp_path / "log2") as program:
        assert [entry["state"] for entry in program.wait_until_scored(1)] == ["scored"]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_though_a_connection_is_open_and_leaves_no_process(
    tmp_path: Path, models: Path, stop: signal.Signals
) -> None:
    with started("serve", "--models", str(models), home=tmp_path / "home", log=tmp_path / "log") as program:
        family = psutil.Process(program.process.pid).children(recursive=True)
        for red in range(0, 100, 10):
            program.post((f"{red}.jpg", photograph(red)))
        open_connection = socket.create_connection(
            (program.address.split(":")[1].strip("/"), int(program.address.rstrip("/").split(":")[2]))
        )
        program.process.send_signal(stop)
        program.process.wait(PATIENCE_S)
        open_connection.close()
        _, alive = psutil.wait_procs(family, timeout=PATIENCE_S)
    assert program.process.returncode == 0
    assert not alive
    assert "Traceback" not in program.log.read_text(encoding="utf-8")


def _refusal(home: Path, *arguments: str) -> str:
    done = subprocess.run(
        command("serve", *arguments),
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    return done.stderr


def test_two_processes_on_one_home_are_one_too_many(tmp_path: Path, models: Path) -> None:
    home = tmp_path / "home"
    with started("serve", "--models", str(models), home=home, log=tmp_path / "log"):
        assert "another firstread works on" in _refusal(home, "--port", "0", "--models", str(models))


def test_a_port_in_use_is_said_in_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} on 127.0.0.1 cannot be used" in _refusal(tmp_path / "home", "--port", str(port))


def test_without_sign_in_no_other_machine_is_listened_to(tmp_path: Path) -> None:
    without = ("--host", "0.0.0.0", "--port", "0", "--without-sign-in")
    for more in ((), ("--allow-remote",)):
        assert "without sign-in anyone there" in _refusal(tmp_path / "home", *without, *more)


def test_without_tls_no_other_machine_is_listened_to_unless_that_is_asked_for(tmp_path: Path) -> None:
    assert "put a proxy with TLS" in _refusal(tmp_path / "home", "--host", "0.0.0.0", "--port", "0")


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        command("serve"),
        env=environment(tmp_path / "home", FIRSTREAD_MAX_UPLOAD_FILES="many"),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 1
    assert "FIRSTREAD_MAX_UPLOAD_FILES" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_policy_that_breaks_a_rule_is_refused_with_its_file_and_place(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("schema_version = 1\n", encoding="utf-8")
    done = subprocess.run(
        command("serve", "--port", "0"),
        env=environment(tmp_path / "home", FIRSTREAD_POLICY=str(policy)),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 1
    assert f"FIRSTREAD_POLICY: {policy}" in done.stderr
    assert "unscored" in done.stderr
    assert "Traceback" not in done.stderr
