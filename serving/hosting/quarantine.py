"""Opens the quarantine: for the running service, and for a program beside it."""

from pathlib import Path

from serving.audit.trail import AuditTrail
from serving.errors import StartError
from serving.intake.again import TakingAgain
from serving.intake.service import Intake
from serving.intake.upload import UploadLimits
from serving.quarantine.admission import read_admission
from serving.quarantine.keeping import Quota
from serving.quarantine.service import Quarantine
from serving.scoring.durable import JobQueue
from serving.settings import Settings
from serving.store.opening import open_objects
from serving.studies.rendering import Renderer
from serving.worklist.placement import Placer
from serving.worklist.policy import PolicyError, read_policy


def quarantine_of(intake: Intake, *, days: float) -> Quarantine:
    """Give the quarantine of what an intake refuses."""
    return Quarantine(
        intake.database, intake.trail, intake.objects, Renderer(intake.objects), TakingAgain(intake), days
    )


def open_quarantine(settings: Settings, trail: AuditTrail, spool: Path) -> Quarantine:
    """Open the quarantine of a home for a program; `spool` is a folder of its own on the objects' disk.

    Raises
    ------
    StartError
        If the rules of reading or of admission cannot be read.
    """
    try:
        placer = Placer(read_policy(settings.policy))
    except PolicyError as error:
        raise StartError(f"FIRSTREAD_POLICY: {error}") from error
    intake = Intake(
        database=trail.database,
        trail=trail,
        objects=open_objects(settings),
        spool=spool,
        limits=UploadLimits(
            max_bytes=settings.max_upload_bytes,
            max_files=settings.max_upload_files,
            min_free_bytes=settings.min_free_bytes,
        ),
        placer=placer,
        queue=JobQueue(trail.database),
        quota=Quota(settings.quarantine_bytes, settings.quarantine_files),
        admission=read_admission(settings.admission),
    )
    return quarantine_of(intake, days=settings.quarantine_days)
