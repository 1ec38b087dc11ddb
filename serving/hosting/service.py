"""Puts the running service together out of its parts, and takes it apart again."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import metadata

from fastapi import FastAPI

from models.registry import Registry
from serving.administration.devices.service import Devices
from serving.administration.people.service import People
from serving.administration.quiet.service import QuietTimes
from serving.administration.service import Administration
from serving.administration.sites.service import Sites
from serving.app import Manners, create_app
from serving.audit.opening import open_trail
from serving.bodies import RequestLimits
from serving.consents.service import Consents
from serving.dicomweb.service import DicomWeb
from serving.errors import StartError
from serving.hosting.assembling import assembling
from serving.hosting.dicom import DicomDoor, dicom_door
from serving.hosting.home import occupied
from serving.hosting.quarantine import quarantine_of
from serving.hosting.scoring import scoring
from serving.hosting.watching import watching
from serving.identity.caller import Role
from serving.identity.openid.opening import open_openid
from serving.identity.opening import Identity, open_identity, open_links
from serving.identity.other_ways import ways_beside_sessions
from serving.identity.presence import Terms
from serving.identity.proxies import TrustedProxies
from serving.identity.tokens import Tokens
from serving.intake.interrupted import clear_spool
from serving.intake.pace import Pace
from serving.intake.service import Intake
from serving.intake.upload import UploadLimits
from serving.operations.control import ScoringControl
from serving.operations.service import Operations
from serving.operations.storage import StorageCheck
from serving.orders.fhir import FhirOrders
from serving.orders.service import Orders
from serving.quarantine.admission import read_admission
from serving.quarantine.keeping import Quota
from serving.reading.claims import Claims
from serving.reading.codes import ValueSet
from serving.reading.learning import Learning
from serving.reading.overriding import Overriding
from serving.reading.reads import Reads
from serving.reading.terms import ReadingTerms
from serving.scoring.durable import JobQueue, make_tables
from serving.scoring.providers import execution_providers
from serving.scoring.watchdog import Watchdog
from serving.settings import Settings
from serving.store.database import open_database
from serving.store.opening import open_objects
from serving.store.sites import ensure_local_site
from serving.store.times import now_us
from serving.studies.rendering import Renderer
from serving.studies.service import Studies
from serving.telemetry.traces import opened_traces
from serving.throttling import Buckets
from serving.uploads.keeping import keeping
from serving.uploads.kept import KeptFiles
from serving.uploads.service import Uploads, UploadTerms
from serving.worklist.placement import Placer
from serving.worklist.policy import PolicyError, read_policy
from serving.worklist.service import Worklist


def reading_terms(settings: Settings) -> ReadingTerms:
    """Give what the settings say about reading."""
    return ReadingTerms(
        lease_s=settings.claim_minutes * 60,
        most_claims=settings.claims_at_once,
        second_tiers=frozenset(settings.second_read_tiers),
        read_elsewhere=frozenset(settings.read_elsewhere_sites),
        proof_s=settings.signature_proof_minutes * 60 or None,
    )


@dataclass(frozen=True)
class RunningService:
    """A service at work: the application to be served, and the parts that a program asks."""

    app: FastAPI
    intake: Intake
    orders: Orders
    operations: Operations
    n_taken_up: int
    identity: Identity
    dicom: DicomDoor | None = None


@contextmanager
def running(settings: Settings, *, with_sign_in: bool = True) -> Iterator[RunningService]:
    """Run everything but the HTTP server; at the end, unfinished scoring is handed back.

    Raises
    ------
    StartError
        If the home is taken, cannot be written or was made by a later version, or the policy is refused.
    """
    try:
        placer = Placer(read_policy(settings.policy))
    except PolicyError as error:
        raise StartError(f"FIRSTREAD_POLICY: {error}") from error
    admission = read_admission(settings.admission)
    with occupied(settings) as spool, ExitStack() as parts:
        traces = parts.enter_context(opened_traces(settings.traces, version=metadata.version("firstread")))
        database = open_database(settings.database)
        parts.callback(database.close)
        with database.writing() as connection:
            ensure_local_site(connection)
        trail = open_trail(database, settings.home, head_file=settings.audit_head)
        trail.start(version=metadata.version("firstread"))
        parts.callback(trail.stop)
        objects = open_objects(settings)
        renderer = Renderer(objects)
        make_tables(settings.database)
        queue = JobQueue(database)
        clear_spool(spool, database, objects)
        registry = Registry(settings.model_folders)
        watchdog = Watchdog(database, clock=now_us)
        parts.enter_context(watching(watchdog))
        control = ScoringControl(database, trail, queue, watchdog, clock=now_us)
        scorers = None
        if settings.workers:
            scorers = parts.enter_context(
                scoring(
                    settings,
                    database=database,
                    objects=objects,
                    trail=trail,
                    queue=queue,
                    registry=registry,
                    placer=placer,
                    is_alone=not settings.database_url,
                    traces=traces,
                )
            )
        intake = Intake(
            database=database,
            trail=trail,
            objects=objects,
            spool=spool,
            limits=UploadLimits(
                max_bytes=settings.max_upload_bytes,
                max_files=settings.max_upload_files,
                min_free_bytes=settings.min_free_bytes,
                pace=Pace(max_s=settings.max_upload_s),
            ),
            placer=placer,
            queue=queue,
            traces=traces,
            quota=Quota(settings.quarantine_bytes, settings.quarantine_files),
            admission=admission,
        )
        parts.enter_context(assembling(intake.completing))
        uploads = Uploads(
            intake,
            KeptFiles(settings.uploads_folder),
            UploadTerms(max_unfinished_bytes=settings.max_unfinished_bytes, keep_h=settings.unfinished_hours),
        )
        parts.enter_context(keeping(uploads))
        dicomweb = DicomWeb(database, objects, trail, renderer)
        dicom = parts.enter_context(dicom_door(settings, intake=intake, dicomweb=dicomweb, trail=trail))
        orders = Orders(database, trail, placer, queue)
        operations = Operations(
            version=metadata.version("firstread"),
            provider=execution_providers(settings.provider)[0],
            database=database,
            registry=registry,
            storage=StorageCheck(objects, spool, min_free_bytes=settings.min_free_bytes),
            control=control,
            is_scoring=lambda: None if scorers is None else scorers.heartbeat.is_beating,
            n_workers=lambda: 0 if scorers is None else len(scorers.pool.process_ids),
            rejections=lambda: dict(intake.rejections),
            started_at_s=time.monotonic(),
            database_file=None if settings.database_url else settings.database_file,
            dicom=None if dicom is None else dicom.figures,
        )
        terms = reading_terms(settings)
        claims = Claims(database, trail, terms)
        identity = (
            open_identity(
                database,
                trail,
                settings.home,
                terms=Terms(
                    idle_s=settings.session_idle_minutes * 60, longest_s=settings.session_hours * 3600
                ),
                factor_roles=[Role(name) for name in settings.second_factor_roles],
                besides=ways_beside_sessions(settings, database, trail),
                leaving=claims.leave,
            )
            if with_sign_in
            else Identity.without_sign_in(trail)
        )
        app = create_app(
            intake=intake,
            uploads=uploads,
            worklist=Worklist(database, trail),
            consents=Consents(database, trail),
            claims=claims,
            overriding=Overriding(trail, placer.policy),
            learning=Learning(database, trail),
            reads=Reads(
                database,
                trail,
                ValueSet.of(artifact.card for artifact in registry.artifacts()),
                terms,
            ),
            studies=Studies(database, renderer, trail),
            dicomweb=dicomweb,
            quarantine=quarantine_of(intake, days=settings.quarantine_days),
            orders=FhirOrders(orders),
            operations=operations,
            control=control,
            administration=Administration(
                Tokens(database, trail),
                Sites(database, trail),
                People(database, trail, open_links(trail)),
                Devices(database, trail),
                QuietTimes(database, trail),
            ),
            gate=identity.gate,
            accounts=identity.accounts,
            openid=None if identity.accounts is None else open_openid(settings, identity.accounts.signing_in),
            host_names=settings.host_names,
            manners=Manners(
                limits=RequestLimits(body_bytes=settings.max_body_bytes),
                buckets=Buckets(per_s=settings.requests_per_s, burst=settings.requests_at_once),
                caller_buckets=Buckets(per_s=settings.requests_per_s, burst=settings.requests_at_once),
                proxies=TrustedProxies.parse(",".join(settings.trusted_proxies)),
                traces=traces,
            ),
        )
        n_taken_up = 0 if scorers is None else scorers.n_taken_up
        yield RunningService(app, intake, orders, operations, n_taken_up, identity, dicom)
