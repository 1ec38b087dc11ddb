"""The same studies sent by many at once are there once each, and nobody is refused for it."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

from sqlalchemy import func, select

from serving.store.database import Database
from serving.store.tables import instances, objects, patients, queue_entries, series, studies
from tests.serving.store.crowd import N_IMAGES, N_PATIENTS, N_STUDIES, arrivals, send_in_threads
from tests.serving.store.databases import Place
from tests.serving.store.stored import opened

ROOT = Path(__file__).resolve().parents[3]


def _check_each_is_there_once(database: Database) -> None:
    with database.reading() as connection:
        counted = {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (studies, instances, patients, queue_entries, series, objects)
        }
        n_images = connection.execute(select(studies.c.uid, studies.c.n_images)).all()
        stored = connection.execute(select(instances.c.sop_instance_uid)).scalars().all()
    assert counted == {
        "studies": N_STUDIES,
        "instances": N_STUDIES * N_IMAGES,
        "patients": N_PATIENTS,
        "queue_entries": N_STUDIES,
        "series": N_STUDIES,
        "objects": 7,
    }
    assert {tuple(row) for row in n_images} == {(f"1.2.{number}", N_IMAGES) for number in range(N_STUDIES)}
    assert Counter(stored) == Counter(item.instances[0].sop_instance_uid for item in arrivals())


def test_many_threads_send_the_same_studies(place: Place) -> None:
    with opened(place) as database:
        assert send_in_threads(database, n_threads=12, first_seed=0) == []
        _check_each_is_there_once(database)


def test_two_processes_send_the_same_studies(place: Place) -> None:
    with opened(place) as database:
        command = [sys.executable, "-m", "tests.serving.store.crowd", str(place)]
        senders = [
            subprocess.Popen([*command, seed], cwd=ROOT, stderr=subprocess.PIPE, text=True)
            for seed in ("100", "200")
        ]
        ends = [(sender.communicate()[1], sender.returncode) for sender in senders]
        assert ends == [("", 0), ("", 0)]
        _check_each_is_there_once(database)
