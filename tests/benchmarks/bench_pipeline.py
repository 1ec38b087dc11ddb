"""What scoring as durable jobs costs: processor time beyond the model's, and what a second worker adds.

The overhead is that of the worker's own process, with a pool that answers at once: a job is taken, begun, its
files are checked and their headers read, its result kept, the job ended. A database's server works beside.
"""

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from sqlalchemy import func, select

from data.dicom.grouping import read_studies
from data.photo import read_photo
from data.sources.ct_ich import read_images
from data.study import LabelledImage, Study
from models.registry import Registry, shipped_folder
from serving.audit.opening import open_trail
from serving.scoring.durable import JobQueue, Runner, make_tables
from serving.scoring.pipeline import Pipeline
from serving.scoring.pool import ScoringPool
from serving.scoring.result import StudyScore
from serving.scoring.scorer import Scorer
from serving.store.database import Database, open_database
from serving.store.jobs import Job
from serving.store.local_objects import LocalObjects
from serving.store.receipt import ArrivedInstance, ArrivedStudy, record
from serving.store.sites import LOCAL_SITE, ensure_local_site
from serving.store.tables import studies
from serving.store.times import now_us
from serving.worklist.placement import Placer
from serving.worklist.policy import read_policy
from tests.benchmarks.material import datasets, ham_photographs
from tests.benchmarks.measuring import Figure
from tests.ct_ich_series import write_patient
from tests.journeys.workers import WorkerProcess, start_worker
from tests.serving.service_in_process import recorder_of
from tests.serving.store.databases import Place, PostgresServer, postgres_server

N_STUDIES = 150
N_CTS = 24
N_ROUNDS = 3
GIVE_UP_S = 240.0


def measure() -> list[Figure]:
    """Measure on both databases, a server with its usual durability."""
    photographs = ham_photographs(N_STUDIES)
    figures = []
    with postgres_server("max_connections=100") as server:
        for name in ("SQLite", "PostgreSQL"):
            with tempfile.TemporaryDirectory() as folder:
                place: Place = Path(folder) / "firstread.sqlite"
                if name == "PostgreSQL":
                    place = server.new_database()
                cpu_ms, idle_share = _overhead(Path(folder), place, photographs)
            figures.append(
                Figure(
                    f"pipeline on {name}: processor time a study beyond the model's",
                    f"{cpu_ms:.1f} ms",
                    f"idle, looking for jobs: {100 * idle_share:.1f} % of a core",
                    "<= 25 ms",
                    cpu_ms <= 25,
                )
            )
        figures.append(_gain(server, "photographs", [read_photo(path) for path in photographs]))
        with tempfile.TemporaryDirectory() as folder:
            figures.append(_gain(server, "head CTs of 24 to 57 slices", _head_cts(Path(folder))))
    return figures


def _gain(server: PostgresServer, what: str, arriving: list[Study]) -> Figure:
    gains, limits, rates = [], [], []
    for _ in range(N_ROUNDS):
        one, two = (_rate_of_workers(server.new_database(), n, arriving) for n in (1, 2))
        limits.append(_rate_of_pool(2, arriving) / _rate_of_pool(1, arriving))
        gains.append(two / one)
        rates.append((one, two))
    gain, limit = statistics.median(gains), statistics.median(limits)
    one, two = (statistics.median(column) for column in zip(*rates, strict=True))
    return Figure(
        f"two workers on PostgreSQL beside one, {what}, studies a second",
        f"{gain:.2f} ({one:.1f} -> {two:.1f}/s)",
        f"the pool alone, two processes beside one: {limit:.2f}; {os.cpu_count()} cores",
        ">= 1.7",
        gain >= 1.7,
    )


def _head_cts(folder: Path) -> list[Study]:
    """Write patients of CT-ICH as CT series."""
    of_patient: dict[str, list[LabelledImage]] = {}
    for image in read_images(datasets() / "ct_ich_256"):
        of_patient.setdefault(image.group, []).append(image)
    studies_found: list[Study] = []
    for patient in sorted(of_patient)[:N_CTS]:
        files = sorted(write_patient(folder / patient, of_patient[patient]))
        found, _ = read_studies(files)
        studies_found.extend(found)
    return studies_found


class _Answered:
    """A pool that knows each study's score already."""

    def __init__(self, score: StudyScore) -> None:
        self._score = score

    def submit(
        self, study: Study, model: str | None = None, *, due_at_us: int = 0, is_alone: bool = False
    ) -> Future[StudyScore]:
        del model, due_at_us, is_alone
        future: Future[StudyScore] = Future()
        (instance,) = study.series[0].instances
        images = tuple(
            replace(image, path=instance.path, sop_instance_uid=instance.sop_instance_uid)
            for image in self._score.key_images
        )
        future.set_result(replace(self._score, study_uid=study.uid, paths=study.paths, key_images=images))
        return future


def _overhead(folder: Path, place: Place, photographs: list[Path]) -> tuple[float, float]:
    """Give ms of processor time a study, and the share of a core while nothing is to be done."""
    registry = Registry([shipped_folder()])
    score = Scorer(registry).score(read_photo(photographs[0]))
    database = open_database(place)
    try:
        make_tables(place)
        with database.writing() as connection:
            ensure_local_site(connection)
        objects = LocalObjects(folder / "objects")
        queue = JobQueue(database)
        done = threading.Semaphore(0)
        pipeline = Pipeline(
            database=database,
            objects=objects,
            queue=queue,
            pool=_Answered(score),
            recorder=recorder_of(open_trail(database, folder), registry, Placer(read_policy())),
            clock=now_us,
        )

        def work(job: Job) -> None:
            pipeline.run(job)
            done.release()

        _receive(database, queue, objects, [read_photo(path) for path in photographs])
        runner = Runner(place, worker="benchmark", work=work)
        runner.start(n_processes=2)
        try:
            started = time.process_time()
            for _ in photographs:
                assert done.acquire(timeout=GIVE_UP_S)
            time.sleep(0.5)  # until the last outcome is written
            busy_s = time.process_time() - started
            started, at = time.process_time(), time.perf_counter()
            time.sleep(4.0)
            idle_share = (time.process_time() - started) / (time.perf_counter() - at)
        finally:
            runner.stop()
    finally:
        database.close()
    return 1000 * busy_s / len(photographs), idle_share


def _receive(database: Database, queue: JobQueue, objects: LocalObjects, arriving: list[Study]) -> None:
    placer = Placer(read_policy())
    for study in arriving:
        images = []
        for series in study.series:
            for instance in series.instances:
                with instance.path.open("rb") as stream:
                    stored = objects.put(stream)
                images.append(
                    ArrivedInstance(
                        instance.sop_instance_uid,
                        instance.sop_class_uid,
                        series.uid,
                        series.modality,
                        instance.n_frames,
                        instance.rows,
                        instance.columns,
                        stored.sha256,
                        stored.n_bytes,
                        instance.path.name,
                    )
                )
        with database.writing() as connection:
            record(
                connection,
                ArrivedStudy(study.uid, study.series[0].modality, "routine", tuple(images)),
                site=LOCAL_SITE,
                now_us=now_us(),
                place_unscored=placer.unscored,
                enqueue=queue.enqueue,
                max_images=len(images),
            )


def _rate_of_workers(address: str, n_workers: int, arriving: list[Study]) -> float:
    """Give studies a second, of workers that run already when the first study comes."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        database = open_database(address)
        stack.callback(database.close)
        make_tables(address)
        with database.writing() as connection:
            ensure_local_site(connection)
        objects = LocalObjects(folder / "objects")
        settings = {
            "FIRSTREAD_DATABASE_URL": address,
            "FIRSTREAD_OBJECTS_URL": str(folder / "objects"),
            "FIRSTREAD_WORKERS": "1",
        }
        queue, n_first = JobQueue(database), 2 * n_workers
        workers = [start_worker(stack, folder, f"worker-{n}", settings) for n in range(n_workers)]
        _receive(database, queue, objects, arriving[:n_first])  # opens the model everywhere
        _wait_for_scored(database, n_first)
        with _held(workers):
            _receive(database, queue, objects, arriving[n_first:])
        started = time.perf_counter()
        _wait_for_scored(database, len(arriving))
        return (len(arriving) - n_first) / (time.perf_counter() - started)


@contextmanager
def _held(workers: list[WorkerProcess]) -> Iterator[None]:
    """Stop the workers while studies are received: what is timed is scoring alone."""
    family = [process for worker in workers for process in worker.family()]
    for process in family:
        process.suspend()
    try:
        yield
    finally:
        for process in family:
            process.resume()


def _wait_for_scored(database: Database, n_studies: int) -> None:
    until = time.monotonic() + GIVE_UP_S
    while time.monotonic() < until:
        with database.reading() as connection:
            query = select(func.count()).where(studies.c.state.in_(["scored", "abstained"]))
            if connection.execute(query).scalar_one() >= n_studies:
                return
        time.sleep(0.05)
    raise TimeoutError(f"not all of {n_studies} studies were scored")


def _rate_of_pool(n_processes: int, arriving: list[Study]) -> float:
    with ScoringPool([shipped_folder()], workers=n_processes) as pool:
        for future in [pool.submit(study) for study in arriving[: 2 * n_processes]]:
            future.result(GIVE_UP_S)
        started = time.perf_counter()
        futures = [pool.submit(study) for study in arriving]
        for future in futures:
            future.result(GIVE_UP_S)
        return len(arriving) / (time.perf_counter() - started)
