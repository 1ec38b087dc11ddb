"""Workers beside a service: one dies, one is slow, one stops, all are paused; each study is scored once."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.journeys.process import PATIENCE_S, command, environment
from tests.journeys.workers import Fleet, WorkerProcess, fleet, wait_until
from tests.serving.service_in_process import photograph
from tests.serving.store.databases import postgres_server
from tests.tiny_model import write_tiny_artifact


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_artifact(folder, name="derm-lesion", classes=("nv", "mel"))
    return folder


@pytest.fixture
def workplace(tmp_path: Path, models: Path, postgresql_address: str) -> Iterator[Fleet]:
    with fleet(tmp_path, postgresql_address, models) as running:
        yield running


def send(workplace: Fleet, *reds: int) -> None:
    for red in reds:
        assert workplace.program.post((f"{red}.jpg", photograph(red)))[0] == 201


def hold(worker: WorkerProcess) -> None:
    """Stop its scoring processes, so that whatever it takes is under way for sure."""
    wait_until(worker.scoring_processes)
    for process in worker.scoring_processes():
        process.suspend()


def under_way(workplace: Fleet, worker: WorkerProcess) -> bool:
    return worker.name in workplace.scored_by().values()


def is_all_scored(workplace: Fleet, n_studies: int) -> bool:
    return workplace.states() == {"scored": n_studies}


def test_the_studies_of_a_worker_that_is_killed_are_scored_by_another_once(workplace: Fleet) -> None:
    dying = workplace.add_worker("dying")
    hold(dying)
    send(workplace, *range(0, 60, 10))
    wait_until(lambda: under_way(workplace, dying))
    family = dying.family()
    for process in family:
        process.kill()
    dying.process.wait()
    heir = workplace.add_worker("heir")
    wait_until(lambda: is_all_scored(workplace, 6), lambda: (workplace.states(), heir.log.read_text()))
    assert workplace.n_scores() == 6
    told = workplace.workers()
    assert (told[dying.name]["state"], told[heir.name]["state"]) == ("dead", "live")
    assert workplace.program.get("/healthz")["scoring"]["state"] == "running"


def test_a_worker_that_was_only_stopped_finds_its_work_done_and_goes_on(workplace: Fleet) -> None:
    slow, quick = workplace.add_worker("slow"), workplace.add_worker("quick")
    hold(slow)
    send(workplace, *range(0, 60, 10))
    wait_until(lambda: under_way(workplace, slow))
    stopped = slow.family()
    for process in stopped:
        process.suspend()
    wait_until(lambda: is_all_scored(workplace, 6), lambda: (workplace.states(), quick.log.read_text()))
    assert workplace.workers()[slow.name]["state"] == "dead"

    for process in stopped:
        process.resume()
    wait_until(lambda: workplace.workers()[slow.name]["state"] == "live", slow.log.read_text)
    wait_until(lambda: "came too late" in slow.log.read_text() or "taken for dead" in slow.log.read_text())
    assert workplace.n_scores() == 6  # its own late results were dropped
    quick.process.terminate()
    quick.process.wait(PATIENCE_S)
    send(workplace, 70, 80)
    wait_until(lambda: is_all_scored(workplace, 8), slow.log.read_text)
    assert workplace.n_scores() == 8


def test_a_worker_that_is_told_to_stop_hands_back_what_it_is_at(workplace: Fleet) -> None:
    leaving = workplace.add_worker("leaving")
    hold(leaving)
    send(workplace, 10, 20, 30)
    wait_until(lambda: under_way(workplace, leaving))
    children = leaving.scoring_processes()
    leaving.process.terminate()
    leaving.process.wait(PATIENCE_S)
    assert leaving.process.returncode == 0
    assert "Traceback" not in leaving.log.read_text()
    assert workplace.states() == {"received": 3}  # at once, and no attempt was counted
    _, alive = psutil.wait_procs(children, timeout=PATIENCE_S)
    assert not alive
    assert workplace.workers()[leaving.name]["state"] == "stopped"
    heir = workplace.add_worker("heir")
    wait_until(lambda: is_all_scored(workplace, 3), heir.log.read_text)


def run(workplace: Fleet, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(*arguments),
        env=environment(workplace.folder / "home", **workplace.settings),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_all_workers_heed_a_pause_and_its_end_and_the_operator_s_verbs_say_so(workplace: Fleet) -> None:
    first, second = workplace.add_worker("first"), workplace.add_worker("second")
    paused = run(workplace, "admin", "pause-scoring", "--reason", "a new driver")
    assert (paused.returncode, paused.stderr) == (0, "")
    send(workplace, 10, 20, 30, 40)
    assert workplace.states() == {"received": 4}
    assert workplace.program.get("/api/v1/operations/scoring")["reason"] == "a new driver"
    told = run(workplace, "admin", "workers").stdout
    assert "a new driver" in told
    assert first.name in told
    assert second.name in told
    assert run(workplace, "admin", "stuck").stdout == "nothing is stuck\n"
    assert workplace.states() == {"received": 4}
    assert run(workplace, "admin", "resume-scoring").returncode == 0
    wait_until(lambda: is_all_scored(workplace, 4), first.log.read_text)
    wrong = run(workplace, "admin", "retry-study", "0" * 32)
    assert (wrong.returncode, wrong.stderr) == (1, f"firstread: There is no study '{'0' * 32}'.\n")


def _refusal(home: Path, *arguments: str, **settings: str) -> str:
    done = subprocess.run(
        command(*arguments),
        env=environment(home, **settings),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done.stderr


def test_a_worker_without_a_database_to_share_says_so(tmp_path: Path) -> None:
    assert "set FIRSTREAD_DATABASE_URL" in _refusal(tmp_path / "home", "worker")


def test_a_worker_with_another_store_than_the_service_s_fails_no_study(workplace: Fleet) -> None:
    send(workplace, 10)
    settings = workplace.settings | {"FIRSTREAD_OBJECTS_URL": str(workplace.folder / "elsewhere")}
    told = _refusal(workplace.folder / "other", "worker", **settings)
    assert "has none of the images that the database speaks of" in told
    assert workplace.states() == {"received": 1}


def test_a_provider_that_is_not_there_is_refused(workplace: Fleet) -> None:
    told = _refusal(workplace.folder / "other", "worker", "--provider", "cuda", **workplace.settings)
    assert "FIRSTREAD_PROVIDER is cuda" in told
    assert "CUDAExecutionProvider" in told


def test_workers_and_service_go_on_by_themselves_when_the_database_comes_back(
    tmp_path: Path, models: Path
) -> None:
    with (
        postgres_server("max_connections=100") as server,
        fleet(tmp_path, server.new_database(), models) as workplace,
    ):
        worker = workplace.add_worker("worker")
        hold(worker)
        send(workplace, 10, 20, 30)
        wait_until(lambda: under_way(workplace, worker))
        server.stop()
        for process in worker.scoring_processes():
            process.resume()  # what is scored now cannot be written down
        wait_until(lambda: "cannot be used" in worker.log.read_text(), worker.log.read_text)
        assert worker.process.poll() is None
        server.start()
        wait_until(lambda: is_all_scored(workplace, 3), worker.log.read_text)
        assert workplace.n_scores() == 3
        send(workplace, 40)
        wait_until(lambda: is_all_scored(workplace, 4), worker.log.read_text)
