"""Puts a worker together that scores alone, beside the service that receives."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata

from models.registry import Registry
from serving.audit.appending import AppendingTrail
from serving.errors import StartError
from serving.hosting.assembling import assembling
from serving.hosting.scoring import RunningScoring, scoring
from serving.intake.completing import Completing
from serving.scoring.durable import JobQueue, make_tables
from serving.scoring.providers import execution_providers
from serving.settings import Settings
from serving.store.database import Database, open_database
from serving.store.objects import ObjectStore
from serving.store.opening import open_objects
from serving.store.references import newest_objects
from serving.store.times import now_us
from serving.telemetry.traces import opened_traces
from serving.worklist.placement import Placer
from serving.worklist.policy import PolicyError, read_policy

# Of the newest images: some may have been removed meanwhile.
_IMAGES_LOOKED_FOR = 20


@contextmanager
def working(settings: Settings) -> Iterator[RunningScoring]:
    """Score what the service receives; at the end, what is under way is finished or handed back.

    Raises
    ------
    StartError
        If it has no database that is shared, or its object store is not the one that the database speaks of.
    """
    if not settings.database_url:
        raise StartError(
            "a worker takes its work from the service's PostgreSQL database: set FIRSTREAD_DATABASE_URL. "
            "With the SQLite file of a home the service scores by itself, with FIRSTREAD_WORKERS processes."
        )
    if not settings.workers:
        raise StartError("a worker needs scoring processes: set FIRSTREAD_WORKERS to 1 or more.")
    execution_providers(settings.provider)
    try:
        placer = Placer(read_policy(settings.policy))
    except PolicyError as error:
        raise StartError(f"FIRSTREAD_POLICY: {error}") from error
    try:
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StartError(
            f"{settings.home} cannot be written ({error.strerror}): name another --home."
        ) from error
    database = open_database(settings.database)
    try:
        make_tables(settings.database)
        objects = open_objects(settings)
        _check_store(database, objects)
        trail, queue = AppendingTrail(database), JobQueue(database)
        with (
            # where the service is away, what it received before is scored all the same
            assembling(Completing(database, trail, queue, now_us)),
            opened_traces(settings.traces, version=metadata.version("firstread")) as traces,
            scoring(
                settings,
                database=database,
                objects=objects,
                trail=trail,
                queue=queue,
                registry=Registry(settings.model_folders),
                placer=placer,
                is_alone=False,
                traces=traces,
            ) as running,
        ):
            yield running
    finally:
        database.close()


def _check_store(database: Database, objects: ObjectStore) -> None:
    """Refuse a store that has none of the newest images: every study would fail for want of its files."""
    with database.reading() as connection:
        newest = newest_objects(connection, limit=_IMAGES_LOOKED_FOR)
    if newest and all(objects.head(sha256) is None for sha256 in newest):
        raise StartError(
            f"the object store at {objects.place} has none of the images that the database speaks of: set "
            "FIRSTREAD_OBJECTS_URL to the store of the service."
        )
