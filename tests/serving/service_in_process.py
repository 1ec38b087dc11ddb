"""A whole service without processes or a server: the real parts, scored in the thread that asks."""

import io
import zipfile
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from sqlalchemy import Connection
from starlette.testclient import TestClient

from data.study import Study
from models.registry import Registry
from serving.administration.devices.service import Devices
from serving.administration.people.service import People
from serving.administration.quiet.service import QuietTimes
from serving.administration.service import Administration
from serving.administration.sites.service import Sites
from serving.app import Manners, create_app
from serving.audit.opening import open_trail
from serving.audit.trail import AuditTrail
from serving.consents.service import Consents
from serving.dicomweb.service import DicomWeb
from serving.hosting.quarantine import quarantine_of
from serving.identity.caller import Role
from serving.identity.gate import Gate
from serving.identity.openid.service import OpenIdSignIn
from serving.identity.opening import Identity, open_identity, open_links
from serving.identity.signing_in import SigningIn
from serving.identity.tokens import Tokens
from serving.intake.gather import Limits
from serving.intake.service import Intake
from serving.intake.upload import UploadLimits
from serving.operations.control import ScoringControl
from serving.operations.service import Operations
from serving.operations.storage import StorageCheck
from serving.orders.fhir import FhirOrders
from serving.orders.service import Orders
from serving.reading.claims import Claims
from serving.reading.codes import ValueSet
from serving.reading.learning import Learning
from serving.reading.overriding import Overriding
from serving.reading.reads import Reads
from serving.reading.terms import ReadingTerms
from serving.scoring.pipeline import Pipeline
from serving.scoring.recording import Recorder
from serving.scoring.result import StudyScore
from serving.scoring.scorer import Scorer
from serving.scoring.watchdog import Watchdog
from serving.store.database import Database, open_database
from serving.store.jobs import Job
from serving.store.local_objects import LocalObjects
from serving.store.sites import ensure_local_site
from serving.store.times import now_us
from serving.studies.rendering import Renderer
from serving.studies.service import Studies
from serving.uploads.kept import KeptFiles
from serving.uploads.service import Uploads, UploadTerms
from serving.worklist.placement import Placer
from serving.worklist.policy import read_policy
from serving.worklist.service import Worklist
from tests.tiny_model import write_tiny_artifact

MEBIBYTE = 1024 * 1024


class PoolInThread:
    """Scores at once."""

    def __init__(self, models: Path) -> None:
        self._scorer = Scorer([models])

    def submit(
        self, study: Study, model: str | None = None, *, due_at_us: int = 0, is_alone: bool = False
    ) -> Future[StudyScore]:
        del due_at_us, is_alone
        future: Future[StudyScore] = Future()
        future.set_result(self._scorer.score(study, model))
        return future


class JobsInMemory:
    """Keeps jobs until the test has them done; one whose transaction was rolled back counts for nothing."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Job, float]] = []

    def enqueue(self, connection: Connection, job: Job, *, delay_s: float = 0.0) -> None:
        assert connection.in_transaction()
        self.jobs.append((job, delay_s))

    def take(self) -> list[Job]:
        """Give all that wait, the first due first, however long they should have been put off."""
        taken = sorted((job for job, _ in self.jobs), key=lambda job: job.due_at_us)
        self.jobs.clear()
        return taken


@dataclass
class Service:
    client: TestClient
    pipeline: Pipeline
    queue: JobsInMemory
    control: ScoringControl
    database: Database
    objects: LocalObjects
    intake: Intake
    trail: AuditTrail
    identity: Identity
    operations: Operations
    uploads: Uploads

    def score_all(self) -> None:
        """Score whatever waits, as a worker does."""
        while jobs := self.queue.take():
            for job in jobs:
                self.pipeline.run(job)


@contextmanager
def in_process(
    folder: Path,
    *,
    limits: UploadLimits = UploadLimits(64 * MEBIBYTE, 60, 0),
    found_limits: Limits = Limits(),
    with_novelty: bool = False,
    make_gate: Callable[[AuditTrail], Gate] | None = None,
    with_sign_in: bool = False,
    factor_roles: Collection[Role] = (),
    make_openid: Callable[[SigningIn], OpenIdSignIn | None] | None = None,
    manners: Manners | None = None,
    clock: Callable[[], int] = now_us,
    place: Path | str | None = None,
    reading_terms: ReadingTerms = ReadingTerms(),
    upload_terms: UploadTerms = UploadTerms(),
) -> Iterator[Service]:
    models = folder / "models"
    write_tiny_artifact(models, name="derm-lesion", classes=("nv", "mel"), with_novelty=with_novelty)
    spool = folder / "spool"
    spool.mkdir()
    database = open_database(place or folder / "test.sqlite")
    with database.writing() as connection:
        ensure_local_site(connection)
    trail = open_trail(database, folder)
    trail.clock = clock
    trail.start(version="test")
    objects = LocalObjects(folder / "objects")
    renderer = Renderer(objects)
    registry = Registry([models])
    placer = Placer(read_policy())
    queue = JobsInMemory()
    pipeline = Pipeline(
        database=database,
        objects=objects,
        queue=queue,
        pool=PoolInThread(models),
        recorder=recorder_of(trail, registry, placer, clock=clock),
        clock=clock,
    )
    control = ScoringControl(database, trail, queue, Watchdog(database, clock=clock), clock=clock)
    intake = Intake(
        database=database,
        trail=trail,
        objects=objects,
        spool=spool,
        limits=limits,
        found_limits=found_limits,
        placer=placer,
        clock=clock,
        queue=queue,
    )
    operations = Operations(
        version="test",
        provider="CPUExecutionProvider",
        database=database,
        registry=registry,
        storage=StorageCheck(objects, spool, min_free_bytes=0),
        control=control,
        is_scoring=lambda: True,
        n_workers=lambda: 1,
        rejections=lambda: dict(intake.rejections),
        started_at_s=0.0,
        database_file=folder / "test.sqlite",
    )
    claims = Claims(database, trail, reading_terms)
    identity = (
        open_identity(database, trail, folder, factor_roles=factor_roles, leaving=claims.leave)
        if with_sign_in
        else Identity.without_sign_in(trail)
    )
    uploads = Uploads(intake, KeptFiles(folder / "uploads"), upload_terms)
    app = create_app(
        intake=intake,
        uploads=uploads,
        worklist=Worklist(database, trail),
        consents=Consents(database, trail),
        claims=claims,
        overriding=Overriding(trail, placer.policy),
        learning=Learning(database, trail),
        reads=Reads(database, trail, ValueSet.of(one.card for one in registry.artifacts()), reading_terms),
        studies=Studies(database, renderer, trail),
        dicomweb=DicomWeb(database, objects, trail, renderer),
        quarantine=quarantine_of(intake, days=90.0),
        orders=FhirOrders(Orders(database, trail, placer, queue, clock)),
        operations=operations,
        administration=Administration(
            Tokens(database, trail),
            Sites(database, trail),
            People(database, trail, open_links(trail)),
            Devices(database, trail),
            QuietTimes(database, trail),
        ),
        control=control,
        gate=identity.gate if make_gate is None else make_gate(trail),
        accounts=identity.accounts,
        openid=None
        if make_openid is None or identity.accounts is None
        else make_openid(identity.accounts.signing_in),
        host_names=["testserver"],
        manners=manners,
    )
    with TestClient(app, raise_server_exceptions=False) as client:
        yield Service(
            client, pipeline, queue, control, database, objects, intake, trail, identity, operations, uploads
        )
    trail.stop()
    database.close()


def recorder_of(
    trail: AuditTrail,
    registry: Registry,
    placer: Placer,
    *,
    worker: str = "a-worker",
    clock: Callable[[], int] = now_us,
) -> Recorder:
    artifacts = {(one.card.name, one.card.version): one for one in registry.artifacts()}
    return Recorder(trail=trail, artifacts=artifacts, placer=placer, worker=worker, clock=clock)


def photograph(red: int, *, blue: int = 0, side: int = 64, coding: str = "JPEG") -> bytes:
    """Make a photograph of one colour: the redder, the worse for the tiny model; very blue, it is novel."""
    pixels = np.zeros((side, side, 3), np.uint8)
    pixels[..., 0] = red
    pixels[..., 2] = blue
    pixels[: side // 2, :, 1] = 30
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, coding)
    return buffer.getvalue()


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in members.items():
            bundle.writestr(name, content)
    return buffer.getvalue()
