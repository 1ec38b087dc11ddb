"""Makes stored studies for tests, by hand and with times a reader can check."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from serving.store.database import Database, open_database
from serving.store.jobs import Job
from serving.store.queue import Placement
from serving.store.receipt import ArrivedInstance, ArrivedStudy, Receipt, record
from serving.store.sites import LOCAL_SITE, ensure_local_site
from serving.store.tenancy import Scope
from tests.serving.store.databases import Place

MINUTE_US = 60_000_000

LOCAL = Scope.of(LOCAL_SITE)


@contextmanager
def opened(place: Place) -> Iterator[Database]:
    database = open_database(place)
    with database.writing() as connection:
        ensure_local_site(connection)
    try:
        yield database
    finally:
        database.close()


def image(name: str, *, content: str = "") -> ArrivedInstance:
    digest = (content or name).encode().hex().ljust(64, "0")[:64]
    return ArrivedInstance(
        sop_instance_uid=name,
        sop_class_uid=None,
        series_uid="series",
        modality="XC",
        n_frames=1,
        rows=10,
        columns=20,
        sha256=digest,
        n_bytes=3,
        file_name=f"{name}.jpg",
    )


def study(uid: str, *images: ArrivedInstance, priority: str = "routine") -> ArrivedStudy:
    return ArrivedStudy(
        uid=uid, modality="XC", priority=priority, instances=images or (image(f"{uid}-image"),)
    )


def in_four_hours(received_at_us: int, priority: str) -> Placement:
    minutes = {"stat": 15, "urgent": 60, "routine": 240}[priority]
    return Placement(received_at_us + minutes * MINUTE_US, "urgent", "not scored yet", "尚未评分", "test")


def receive(
    connection: Connection,
    arrived: ArrivedStudy,
    *,
    now_us: int = 0,
    max_images: int = 100,
    jobs: list[Job] | None = None,
    quiet_us: int | None = None,
    site: str = LOCAL_SITE,
) -> Receipt:
    """Write a study down; the job that it gets, if any, is put into `jobs`."""
    kept: list[Job] = [] if jobs is None else jobs
    return record(
        connection,
        arrived,
        site=site,
        now_us=now_us,
        place_unscored=in_four_hours,
        enqueue=lambda _connection, job: kept.append(job),
        max_images=max_images,
        quiet_us=quiet_us,
    )
