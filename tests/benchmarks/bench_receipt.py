"""Durable receipts a second (object, rows, job, audit row, flush, commit) beside bare flushed writes."""

import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

from serving.audit.opening import open_trail
from serving.audit.trail import AuditTrail
from serving.scoring.durable import JobQueue, make_tables
from serving.store.audit_chain import Action, ActorKind, AuditEvent, Who
from serving.store.database import Database, open_database
from serving.store.local_objects import LocalObjects
from serving.store.queue import Placement
from serving.store.receipt import ArrivedInstance, ArrivedStudy, hold, record
from serving.store.sites import LOCAL_SITE, ensure_local_site
from tests.benchmarks.measuring import Figure, in_turn
from tests.serving.store.databases import postgres_server

INSTANCE_BYTES = 500_000
N_A_ROUND = 300
# What one sender sends at a time where images come in studies of several: one transaction, one job.
IMAGES_A_STUDY = 10
ROUNDS = 5
SENDERS = 16


def measure() -> list[Figure]:
    """Receive on SQLite and on PostgreSQL."""
    figures = []
    for n_images in (1, IMAGES_A_STUDY):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "r.sqlite"
            figures.append(_measured("SQLite", Path(folder) / "sqlite", place, n_images, target=300))
    with tempfile.TemporaryDirectory() as folder, postgres_server("max_connections=100") as server:
        server.execute("CREATE DATABASE receipts")
        figures.append(_measured("PostgreSQL", Path(folder), server.address("receipts"), 1, target=None))
    return figures


def _measured(name: str, folder: Path, place: Path | str, n_images: int, *, target: int | None) -> Figure:
    for part in ("in", "bare"):
        (folder / part).mkdir(parents=True)
    database = open_database(place)
    with database.writing() as connection:
        ensure_local_site(connection)
    make_tables(place)
    queue = JobQueue(database)
    trail, objects, numbers = open_trail(database, folder), LocalObjects(folder / "objects"), count()
    body = os.urandom(INSTANCE_BYTES - 16)

    def receive_study(number: int) -> None:
        _receive(trail, objects, queue, folder / "in" / f"{number}", body=body, n_images=n_images)

    def write_one(number: int) -> None:
        with (folder / "bare" / f"{number}").open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())

    with ThreadPoolExecutor(SENDERS) as senders:

        def each(work: Callable[[int], None], n_times: int) -> Callable[[], object]:
            return lambda: list(senders.map(work, [next(numbers) for _ in range(n_times)]))

        cpu_s = time.process_time()
        pair = in_turn(each(receive_study, N_A_ROUND // n_images), each(write_one, N_A_ROUND), rounds=ROUNDS)
        cpu_s = time.process_time() - cpu_s
    _check(database, n_expected=(ROUNDS + 1) * N_A_ROUND)
    database.close()
    ours, bare = N_A_ROUND / pair.ours_median_s, N_A_ROUND / pair.peer_median_s
    cpu_ms = 1000 * cpu_s / ((ROUNDS + 1) * N_A_ROUND)
    return Figure(
        f"durable receipts of 0.5 MB, {n_images} a study, {name}, {SENDERS} senders",
        f"{ours:.0f}/s",
        f"bare write and fsync: {bare:.0f}/s, {100 * ours / bare:.0f} %; processor {cpu_ms:.1f} ms with both",
        "-" if target is None else f">= {target}/s",
        None if target is None else ours >= target,
    )


def _receive(
    trail: AuditTrail, objects: LocalObjects, queue: JobQueue, stem: Path, *, body: bytes, n_images: int
) -> None:
    number = int(stem.name)
    files = [stem.with_name(f"{number}-{place}") for place in range(n_images)]
    for place, file in enumerate(files):
        file.write_bytes((number * n_images + place).to_bytes(16, "big") + body)
    stored = objects.take(files)
    uid = f"2.25.{number}"
    images = tuple(
        ArrivedInstance(
            f"{uid}.{place}",
            None,
            "series",
            "XC",
            1,
            600,
            600,
            stored[file].sha256,
            stored[file].n_bytes,
            "mole.jpg",
        )
        for place, file in enumerate(files)
    )
    arrived = ArrivedStudy(uid=uid, modality="XC", priority="routine", instances=images)
    with trail.acting() as act:
        hold(act.connection, [arrived], site=LOCAL_SITE, now_us=number)
        record(
            act.connection,
            arrived,
            site=LOCAL_SITE,
            now_us=number,
            place_unscored=lambda at_us, _: Placement(at_us, "urgent", "not scored yet", "尚未评分", "1"),
            enqueue=queue.enqueue,
            max_images=10,
        )
        act.record(AuditEvent(Action.RECEIVED, _SENDER, LOCAL_SITE, number, study_uid=uid, details=_DETAILS))


_SENDER = Who(ActorKind.TOKEN, "site-token", address="192.0.2.7", request_id="0123456789abcdef")
_DETAILS = {"state": "received", "images": 1, "objects_sha256": "0" * 64}


def _check(database: Database, *, n_expected: int) -> None:
    with database.reading() as connection:
        found = connection.exec_driver_sql("SELECT count(*) FROM instances").scalar_one()
    assert found == n_expected, f"{found} of {n_expected} are there"
