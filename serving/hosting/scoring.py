"""Puts a worker together out of its parts, for the service that scores by itself and for a worker alone."""

import os
import secrets
import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata

from models.registry import Registry
from serving.scoring.adoption import Mending, adopt
from serving.scoring.durable import JobQueue, Runner
from serving.scoring.heartbeat import Heartbeat
from serving.scoring.pipeline import Pipeline
from serving.scoring.pool import ScoringPool
from serving.scoring.providers import execution_providers
from serving.scoring.recording import Recorder, Trail
from serving.settings import Settings
from serving.store.database import Database
from serving.store.jobs import Job
from serving.store.objects import ObjectStore
from serving.store.times import now_us
from serving.store.workers import Worker
from serving.telemetry.naming import naming
from serving.telemetry.traces import NO_TRACES, Traces
from serving.worklist.placement import Placer

# What is under way at a stop is given this long to end; what has not is handed back.
_GRACE_S = 1.0

# A process that was killed takes no longer to be gone, and its thread to say so.
_SECONDS_TO_LET_GO = 5.0

# Where no other process can be at work, nobody watches: the beat is for people who look.
_SECONDS_A_ROUND_ALONE = 10.0
_SECONDS_A_ROUND = 2.0


@dataclass(frozen=True)
class RunningScoring:
    """A worker at work; `n_taken_up` studies waited for it from before."""

    worker: Worker
    pool: ScoringPool
    pipeline: Pipeline
    heartbeat: Heartbeat
    n_taken_up: int


@contextmanager
def scoring(
    settings: Settings,
    *,
    database: Database,
    objects: ObjectStore,
    trail: Trail,
    queue: JobQueue,
    registry: Registry,
    placer: Placer,
    is_alone: bool,
    traces: Traces = NO_TRACES,
) -> Iterator[RunningScoring]:
    """Score what waits, until the end; what is under way then is finished or handed back.

    Raises
    ------
    StartError
        If the execution provider that was asked for is not there.
    """
    providers = execution_providers(settings.provider)
    pool = ScoringPool(settings.model_folders, workers=settings.workers, providers=providers)
    worker = Worker(
        id=f"{socket.gethostname()[:32]}-{os.getpid()}-{secrets.token_hex(4)}",
        host=socket.gethostname(),
        process_id=os.getpid(),
        version=metadata.version("firstread"),
        started_at_us=now_us(),
        provider=providers[0],
        models=tuple(artifact.label for artifact in registry.artifacts()),
        n_processes=pool.n_at_once,
    )
    recorder = Recorder(
        trail=trail,
        artifacts={(one.card.name, one.card.version): one for one in registry.artifacts()},
        placer=placer,
        worker=worker.id,
        clock=now_us,
    )
    pipeline = Pipeline(
        database=database, objects=objects, queue=queue, pool=pool, recorder=recorder, clock=now_us
    )

    def work(job: Job) -> None:
        with naming(study=job.study_key), traces.span("scoring", study=job.study_key, worker=worker.id):
            pipeline.run(job)

    runner = Runner(settings.database, worker=worker.id, work=work)
    heartbeat = Heartbeat(
        database,
        queue,
        worker,
        clock=now_us,
        is_alone=is_alone,
        under_way=pipeline.under_way,
        mend=Mending(database, queue, clock=now_us).mend,
        seconds_a_round=_SECONDS_A_ROUND_ALONE if is_alone else _SECONDS_A_ROUND,
        on_others=_room_of_the_largest(runner, pool.n_at_once),
    )
    n_taken_up = heartbeat.start() + adopt(database, queue, clock=now_us)
    runner.start(n_processes=pool.n_at_once)
    try:
        yield RunningScoring(worker, pool, pipeline, heartbeat, n_taken_up)
    finally:
        pipeline.stop(grace_s=_GRACE_S)
        pool.close(finish=False)
        pipeline.wait_until_idle(_SECONDS_TO_LET_GO)
        runner.stop()
        heartbeat.stop()


def _room_of_the_largest(runner: Runner, n_processes: int) -> Callable[[Collection[Worker]], None]:
    """Keep the room for jobs, which is one for all workers, at what the largest of those that live needs."""
    known = n_processes

    def adjust(living: Collection[Worker]) -> None:
        nonlocal known
        largest = max(one.n_processes for one in living)
        if largest != known:
            runner.set_room(largest)
            known = largest

    return adjust
