"""Studies that arrive in parts, through real processes that are killed while they wait for more."""

import io
import time
from collections.abc import Sequence
from pathlib import Path

from pydicom import dcmread
from sqlalchemy import func, select, update

from serving.store.assembly_tables import arrivals
from serving.store.database import Database, open_database, open_existing
from serving.store.events import events_after
from serving.store.quiet_times import QuietTime, set_quiet_time
from serving.store.sites import ensure_local_site
from serving.store.tables import scores, studies
from serving.store.tenancy import Scope
from tests.journeys.process import PATIENCE_S, Program, started
from tests.journeys.workers import fleet, wait_until
from tests.serving.dicomweb.sent import ct
from tests.serving.service_in_process import photograph
from tests.tiny_model import write_tiny_artifact

# Longer than any of this takes, on any machine.
QUIET_S = 1500


def set_quiet_times(database: Database) -> None:
    with database.writing() as connection:
        ensure_local_site(connection)
        set_quiet_time(connection, QuietTime("*", "*", QUIET_S, "test", 0))


def let_quiet_times_pass(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(update(arrivals).values(until=1))


def kinds(database: Database, key: str) -> list[str]:
    with database.reading() as connection:
        every = events_after(connection, scope=Scope(None), since=0, limit=999)
    return [str(one.kind) for one in every if one.study_key == key]


def n_waiting(database: Database) -> int:
    with database.reading() as connection:
        return connection.execute(select(func.count()).select_from(arrivals)).scalar_one()


def n_scores(database: Database) -> int:
    with database.reading() as connection:
        return connection.execute(select(func.count()).select_from(scores)).scalar_one()


def slices(folder: Path, n: int) -> Sequence[tuple[str, bytes]]:
    files: list[tuple[str, bytes]] = []
    for path in ct(folder, n_slices=n):
        dataset = dcmread(path)
        dataset.NumberOfStudyRelatedInstances = str(n)
        written = io.BytesIO()
        dataset.save_as(written)
        files.append((path.name, written.getvalue()))
    return files


def post_part(program: Program, *files: tuple[str, bytes]) -> str:
    status, answer = program.post(*files, arrival="part")
    assert status in {200, 201}, answer
    key: str = answer["studies"][0]["id"]
    return key


def state_of(database: Database, key: str) -> str:
    with database.reading() as connection:
        state: str = connection.execute(select(studies.c.state).where(studies.c.key == key)).scalar_one()
    return state


def wait_for_end(database: Database, key: str) -> None:
    wait_until(lambda: state_of(database, key) in {"scored", "abstained", "failed"})


def test_a_wait_outlives_the_service_and_a_count_and_a_late_image_do_what_they_should(tmp_path: Path) -> None:
    home, models = tmp_path / "home", tmp_path / "models"
    write_tiny_artifact(models, name="derm-lesion", classes=("nv", "mel"))
    made = open_database(home / "firstread.sqlite")
    set_quiet_times(made)
    made.close()
    settings = {"FIRSTREAD_MODELS": str(models), "FIRSTREAD_WORKERS": "1"}
    with started("serve", home=home, log=tmp_path / "first.log", **settings) as program:
        key = post_part(program, ("mole.jpg", photograph(200)))
        assert program.get("/api/v1/worklist")["entries"][0]["arriving_until"] is not None
        program.process.kill()  # in the middle of the quiet time
        program.process.wait(PATIENCE_S)
    database = open_existing(home / "firstread.sqlite")
    assert (state_of(database, key), n_waiting(database)) == ("received", 1)
    let_quiet_times_pass(database)
    with started("serve", home=home, log=tmp_path / "second.log", **settings) as program:
        wait_for_end(database, key)
        assert (state_of(database, key), n_scores(database), n_waiting(database)) == ("scored", 1, 0)
        assert kinds(database, key) == ["received", "complete", "scored"]

        *first, last = slices(tmp_path / "ct", 4)
        for file in first:
            of_ct = post_part(program, file)
        assert n_waiting(database) == 1
        post_part(program, last)  # the announced number: nobody waits for a quarter of an hour
        wait_for_end(database, of_ct)
        late = ct(tmp_path / "more", n_slices=5)[-1]
        status, _ = program.post((late.name, late.read_bytes()))
        assert status == 201
        wait_until(lambda: kinds(database, of_ct).count("unscored") == 2)
        told = program.get(f"/api/v1/studies/{of_ct}")["late"]
        assert (told["images"], told["is_in_score"]) == (1, True)
        assert kinds(database, of_ct) == [
            "received",
            "complete",
            "unscored",
            "late-image",
            "complete",
            "unscored",
        ]
    database.close()


def test_the_workers_score_what_a_dead_service_was_waiting_for_once(
    tmp_path: Path, postgresql_address: str
) -> None:
    models = tmp_path / "models"
    write_tiny_artifact(models, name="derm-lesion", classes=("nv", "mel"))
    made = open_database(postgresql_address)
    set_quiet_times(made)
    made.close()
    with fleet(tmp_path, postgresql_address, models) as running:
        running.add_worker("one", "--processes", "1")
        running.add_worker("two", "--processes", "1")
        keys = [post_part(running.program, (f"{red}.jpg", photograph(red))) for red in range(40, 240, 40)]
        running.program.process.kill()
        running.program.process.wait(PATIENCE_S)
        assert n_waiting(running.database) == len(keys)
        let_quiet_times_pass(running.database)
        for key in keys:
            wait_for_end(running.database, key)
        time.sleep(1.5)  # longer than a look of each worker: who would do it twice has done so
        assert running.n_scores() == len(keys)
        assert {tuple(kinds(running.database, key)) for key in keys} == {("received", "complete", "scored")}
