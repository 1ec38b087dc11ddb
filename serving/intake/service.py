"""Takes uploads: what is good is stored and queued, what is not is kept in quarantine with a code.

The order of things is the promise: the bytes are durable first, then one transaction writes studies,
images, places, refusals and the answer, and only then is the sender told. A crash before the commit leaves
at most bytes that nobody refers to; the sender, not having been told, sends again, and the same bytes give
the same study.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from pydantic import TypeAdapter

from data.errors import ImageError
from data.photo import PhotoReader
from data.quality.finding import Finding
from data.study import Instance, Series, Study, StudyListing
from serving.audit.trail import AuditTrail
from serving.errors import Problem, Rejection, ServiceError
from serving.intake.arrival import Arrival
from serving.intake.completing import Completed, Completing
from serving.intake.context import SenderContext
from serving.intake.door import Door
from serving.intake.gather import Accepted, Limits, Rejected, find_studies, too_many_files
from serving.intake.interrupted import NOTE
from serving.intake.quality import look_over_each
from serving.intake.quiet import quiet_s
from serving.intake.refused import (
    Refused,
    duplicates_of,
    found_refused,
    lines_of,
    refused_late,
    without,
)
from serving.intake.traces import received_studies, refused_upload
from serving.intake.upload import Received, Upload, UploadLimits
from serving.intake.whole import WholeStudies
from serving.quarantine.admission import Admission
from serving.quarantine.keeping import Quota, keep, with_room
from serving.store.audit_chain import Who
from serving.store.consent import Statement, say_on_arrival
from serving.store.database import Database
from serving.store.events import add_events
from serving.store.idempotency import GivenAnswer, find_answer, keep_answer
from serving.store.jobs import Job
from serving.store.objects import ObjectStore, StoredObject
from serving.store.quality import keep_findings
from serving.store.quarantine import Arrived
from serving.store.queue import Placement
from serving.store.quiet_times import quiet_times_at
from serving.store.receipt import (
    ArrivedInstance,
    ArrivedPatient,
    ArrivedStudy,
    Receipt,
    StudyFullError,
    hold,
    record,
)
from serving.store.references import unreferenced
from serving.store.tenancy import Scope
from serving.store.times import from_us, now_us, to_us
from serving.store.uses import Consent
from serving.telemetry.traces import NO_TRACES, Traces

if TYPE_CHECKING:  # the database has one home, the store
    from sqlalchemy import Connection

log = logging.getLogger(__name__)

# Of thousands of refused files a sender reads the first; the count is always told.
_MAX_NAMED = 1000


class Queue(Protocol):
    """Takes the jobs of studies that are to be scored (:class:`serving.scoring.durable.JobQueue`)."""

    def enqueue(self, connection: "Connection", job: Job) -> None:
        """Put a job into the queue in the connection's transaction."""


class UnscoredPlacer(Protocol):
    """Gives a study its place before it has a score (:class:`serving.worklist.placement.Placer`)."""

    def unscored(self, received_at_us: int, priority: str) -> Placement:
        """Place a study from when it was received and what its doctor asked for."""


@dataclass(frozen=True, slots=True)
class TakenStudy:
    """A study that an upload made or added to.

    `consent` is what counts now, None if nothing was said; `findings` is what is amiss with its images;
    `waits_until_us` is the moment until which more are waited for, None if it is complete.
    """

    key: str
    uid: str
    state: str
    n_images: int
    n_new_images: int
    files: tuple[str, ...]
    consent: Consent | None = None
    findings: tuple[Finding, ...] = ()
    waits_until_us: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an upload: every file of it stands in one of the two, or is counted."""

    studies: tuple[TakenStudy, ...]
    rejected: tuple[Rejection, ...]
    n_rejected: int
    is_repeat: bool = False

    @property
    def is_new(self) -> bool:
        """Whether it added anything to what was known."""
        return any(study.n_new_images for study in self.studies)


_OUTCOME = TypeAdapter(Outcome)


@dataclass(frozen=True)
class Intake:
    """Takes uploads into one database and one object store.

    The job of each study that is to be scored goes into `queue` in the transaction that writes it down.
    """

    database: Database
    trail: AuditTrail
    objects: ObjectStore
    spool: Path
    limits: UploadLimits
    placer: UnscoredPlacer
    queue: Queue
    clock: Callable[[], int] = now_us
    traces: Traces = NO_TRACES
    rejections: Counter[str] = field(default_factory=Counter)
    found_limits: Limits = field(default_factory=Limits)
    quota: Quota = field(default_factory=Quota)
    admission: Admission = field(default_factory=Admission)

    def begin(self, *, content_type: str, declared_bytes: int | None) -> Upload:
        """Open a place for an upload that is about to arrive."""
        return Upload(
            self.spool, content_type=content_type, limits=self.limits, declared_bytes=declared_bytes
        )

    def take(
        self,
        upload: Received,
        context: SenderContext,
        *,
        site: str,
        who: Who,
        door: str = Door.UPLOAD,
        arrival: Arrival = Arrival.WHOLE,
        idempotency_key: str | None = None,
        refused: Mapping[Path, ImageError] = MappingProxyType({}),
    ) -> Outcome:
        """Store what can be read of an upload, keep apart what cannot be taken, and say which.

        `refused` are known not to be taken. `door` is the way by which it came
        (:class:`serving.intake.door.Door`); what comes out of the quarantine is not written down anew.

        If `arrival` or the context says that more may come, the studies are listed and placed at once, and
        scored when they are complete.

        Raises
        ------
        ServiceError
            `NOTHING_TAKEN` if no file could be taken; `IDEMPOTENCY_KEY_REUSED` if the key came before with
            another request.
        """
        is_told = False
        try:
            with self.traces.span("receipt", site=site, files=len(upload.files)) as span:
                outcome = self._take(
                    upload,
                    context if arrival is Arrival.WHOLE else replace(context, arrival=arrival),
                    refused,
                    site=site,
                    who=who,
                    door=door,
                    idempotency_key=idempotency_key,
                )
                span.say(studies=len(outcome.studies), refused=outcome.n_rejected)
                if not outcome.studies:
                    is_told = True  # it stands in the trail already, beside what was kept
                    raise _nothing_taken(outcome)
                return outcome
        except ServiceError as error:
            if not is_told:
                self.trail.note(refused_upload(error, site=site, who=who, door=door, at_us=self.clock()))
            raise

    def complete(self, study: str, *, scope: Scope, who: Who, site: str | None = None) -> Completed:
        """Take a study for complete, by its key or UID; see :meth:`Completing.complete`."""
        return self.completing.complete(study, scope=scope, who=who, site=site)

    def look_over_whole(self, key: str, *, scope: Scope) -> tuple[Finding, ...]:
        """Give what is amiss with a study as a whole; see :class:`serving.intake.whole.WholeStudies`."""
        return WholeStudies(self.database, self.objects).look_over(key, scope=scope, now_us=self.clock())

    def expect(
        self, study_uid: str, step_uid: str, n_images: int | None, *, site: str, who: Who
    ) -> Completed | None:
        """Hear of a performed procedure step how many images it made; see :meth:`Completing.expect`."""
        return self.completing.expect(study_uid, step_uid, n_images, site=site, who=who)

    @property
    def completing(self) -> Completing:
        """Ends the wait for more images, over the same database and queue."""
        return Completing(self.database, self.trail, self.queue, self.clock)

    def _take(
        self,
        upload: Received,
        context: SenderContext,
        refused: Mapping[Path, ImageError],
        *,
        site: str,
        who: Who,
        door: str,
        idempotency_key: str | None,
    ) -> Outcome:
        fingerprint = upload.fingerprint()
        if idempotency_key is not None:
            with self.database.reading() as connection:
                given = find_answer(connection, site=site, key=idempotency_key)
            if given is not None:
                return _repeated(given, fingerprint, key=idempotency_key)
        if not upload.files:
            raise ServiceError(Problem.NOTHING_TAKEN, "The upload holds no file: choose at least one image.")
        found = list(
            find_studies(
                [item.path for item in upload.files if item.path not in refused],
                scratch=upload.scratch(),
                limits=self.found_limits,
                context=context.patient,
                names={item.path: item.name for item in upload.files},
                refuses_duplicates=True,
            )
        )
        accepted, unwelcome = self._admitted(found, site=site, door=door)
        known = [Rejected((path,), (str(error.source),), error) for path, error in refused.items()]
        rejected = [*known, *(item for item in found if isinstance(item, Rejected)), *unwelcome]
        # Before the store has the files: it may move them.
        held = found_refused(rejected, {item.path: item.name for item in upload.files})
        are_parts = context.arrival is Arrival.PART
        findings = look_over_each([item.study for item in accepted], are_parts=are_parts)
        images = [path for item in accepted for path in item.study.paths]
        kept = self._to_keep(held, site=site, door=door)
        stored = self.objects.take([*images, *kept], note=upload.folder / NOTE)
        outcome = self._commit(
            accepted,
            findings,
            stored,
            held,
            context,
            site=site,
            who=who,
            door=door,
            key=idempotency_key,
            fingerprint=fingerprint,
        )
        self._count(outcome.rejected)
        log.info(
            "took %d studies, refused %d files",
            len(outcome.studies),
            outcome.n_rejected,
            extra={"site": site},
        )
        return outcome

    def _admitted(
        self, found: Sequence[Accepted | Rejected], *, site: str, door: str
    ) -> tuple[list[Accepted], list[Rejected]]:
        """Divide what can be read into what the site takes and what it does not."""
        accepted: list[Accepted] = []
        unwelcome: list[Rejected] = []
        for item in found:
            if isinstance(item, Rejected):
                continue
            error = self.admission.refusal_of(
                item.study, item.names[0], is_dicom=not _is_photograph(item.study), site=site, door=door
            )
            if error is None:
                accepted.append(item)
            else:
                unwelcome.append(Rejected(item.study.paths, item.names + item.copies, error))
        return accepted, unwelcome

    def _to_keep(self, refused: Sequence[Refused], *, site: str, door: str) -> list[Path]:
        """Give the refused files whose bytes are to be kept."""
        if not refused or door == Door.QUARANTINE:
            return []
        with self.database.reading() as connection:
            chosen = with_room(connection, [one.refusal for one in refused], self.quota, site=site)
        return [refusal.path for refusal in chosen]

    def _commit(
        self,
        accepted: Sequence[Accepted],
        findings: Sequence[tuple[Finding, ...]],
        stored: dict[Path, StoredObject],
        refused: Sequence[Refused],
        context: SenderContext,
        *,
        site: str,
        who: Who,
        door: str,
        key: str | None,
        fingerprint: str,
    ) -> Outcome:
        with self.trail.acting() as act:
            connection = act.connection
            moment = self.clock()
            arriving = [_arrived(item, stored, context.priority, moment) for item in accepted]
            kept = [stored[one.refusal.path] for one in refused if one.refusal.path in stored]
            beside = {item.sha256: item.n_bytes for item in kept}
            hold(connection, arriving, site=site, now_us=moment, beside=beside)
            # What was there already may have been collected since, if nobody referred to it.
            there = [item.sha256 for item in stored.values() if item.was_there]
            self.objects.confirm(stored, unreferenced(connection, there))
            given = find_answer(connection, site=site, key=key) if key is not None else None
            if key is not None and given is not None:  # the same request, which came in at the same time
                return _repeated(given, fingerprint, key=key)
            quiet_times = quiet_times_at(connection, site=site) if context.arrival is Arrival.PART else None
            said = None if context.consent is None else Statement(context.consent, who.name, moment)
            taken: dict[str, TakenStudy] = {}
            receipts: list[tuple[ArrivedStudy, Receipt, Consent | None]] = []
            for item, arrived, found in zip(accepted, arriving, findings, strict=True):
                try:
                    receipt = record(
                        connection,
                        arrived,
                        site=site,
                        now_us=moment,
                        place_unscored=self.placer.unscored,
                        enqueue=self.queue.enqueue,
                        max_images=self.found_limits.max_files_per_study,
                        quiet_us=None
                        if quiet_times is None
                        else 1_000_000 * quiet_s(_modalities(arrived), site=site, settings=quiet_times),
                    )
                except StudyFullError as error:
                    full = too_many_files(item.names[0], error.n_images, self.found_limits)
                    refused = [*refused, *refused_late(item, full, stored)]
                    continue
                names = item.names + item.copies
                if receipt.duplicates:
                    refused = [*refused, *duplicates_of(item, receipt.duplicates, stored)]
                    arrived, names = without(arrived, item, receipt.duplicates)  # noqa: PLW2901
                    if not names:
                        continue
                consent = say_on_arrival(connection, said, site=site, key=receipt.study_key)
                receipts.append((arrived, receipt, consent))
                known = keep_findings(
                    connection,
                    found,
                    site=site,
                    key=receipt.study_key,
                    instances=frozenset(image.sop_instance_uid for image in arrived.instances),
                    is_whole=len(arrived.instances) == receipt.n_images,
                    now_us=moment,
                )
                taken[receipt.study_key] = replace(
                    _together(taken.get(receipt.study_key), receipt, names),
                    consent=consent,
                    findings=known,
                )
            rejected = self._keep(connection, refused, stored, site=site, who=who, door=door, at_us=moment)
            outcome = Outcome(tuple(taken.values()), tuple(rejected[:_MAX_NAMED]), len(rejected))
            if key is not None and taken:
                given = GivenAnswer(fingerprint, _OUTCOME.dump_python(outcome, mode="json"))
                keep_answer(connection, given, site=site, key=key, now_us=moment)
            act.record(
                *received_studies(receipts, outcome.rejected, site=site, who=who, door=door, at_us=moment)
            )
            add_events(connection, [event for _, receipt, _ in receipts for event in receipt.events])
            if not taken:
                nothing = _nothing_taken(outcome)
                act.record(refused_upload(nothing, site=site, who=who, door=door, at_us=moment))
        return outcome

    def _keep(
        self,
        connection: "Connection",
        refused: Sequence[Refused],
        stored: Mapping[Path, StoredObject],
        *,
        site: str,
        who: Who,
        door: str,
        at_us: int,
    ) -> list[Rejection]:
        """Write down what is refused, and give a line for each file of it."""
        if door == Door.QUARANTINE:
            return lines_of(refused, {})
        arrived = Arrived(door, who.name, who.address, at_us)
        refusals = [one.refusal for one in refused]
        return lines_of(refused, keep(connection, refusals, stored, self.quota, arrived, site=site))

    def _count(self, rejected: Sequence[Rejection]) -> None:
        self.rejections.update(line.reason for line in rejected)


def _repeated(given: GivenAnswer, fingerprint: str, *, key: str) -> Outcome:
    if given.request_sha256 != fingerprint:
        raise ServiceError(
            Problem.IDEMPOTENCY_KEY_REUSED,
            f"The Idempotency-Key {key!r} came before with other files or fields: use a new key.",
        )
    return replace(_OUTCOME.validate_python(given.answer), is_repeat=True)


def _nothing_taken(outcome: Outcome) -> ServiceError:
    n_rejected = outcome.n_rejected
    named = "each" if n_rejected <= _MAX_NAMED else f"the first {_MAX_NAMED:,} of {n_rejected:,}"
    return ServiceError(
        Problem.NOTHING_TAKEN,
        f"No file of the upload could be taken; {named} is named with its reason.",
        outcome.rejected,
    )


def _together(before: TakenStudy | None, receipt: Receipt, names: tuple[str, ...]) -> TakenStudy:
    """Join what one upload did to one study: the same photograph may be in it twice."""
    return TakenStudy(
        key=receipt.study_key,
        uid=receipt.uid,
        state=receipt.state,
        n_images=receipt.n_images,
        n_new_images=receipt.n_new + (before.n_new_images if before else 0),
        files=(before.files if before else ()) + names,
        waits_until_us=receipt.waits_until_us,
    )


def _modalities(arrived: ArrivedStudy) -> set[str]:
    return {arrived.modality, *(image.modality for image in arrived.instances)}


def _arrived(item: Accepted, stored: dict[Path, StoredObject], priority: str, moment_us: int) -> ArrivedStudy:
    study = item.study
    name_of = dict(zip(study.paths, item.names, strict=True))
    patient = study.patient
    return ArrivedStudy(
        uid=study.uid,
        modality=study.series[0].modality,
        priority=priority,
        instances=tuple(
            _arrived_instance(instance, series, stored[instance.path], name_of[instance.path])
            for series in study.series
            for instance in series.instances
        ),
        patient=ArrivedPatient(patient.issuer, patient.identifier, patient.name) if patient else None,
        accession=study.accession,
        description=study.description,
        performed_at_us=to_us(study.performed_at) if study.performed_at else None,
        age_years=study.context.age_years,
        sex=study.context.sex,
        body_site=study.context.body_site,
        skin_type=study.context.skin_type,
        clinical_question=study.context.clinical_question,
        duration=study.context.duration,
        changes=",".join(study.context.changes) or None,
        change_note=study.context.change_note,
        listing=_listing(study, moment_us),
        announced=study.announced,
    )


def _listing(study: Study, moment_us: int) -> StudyListing:
    """Give what a study is searched for by; a photograph is of the time when it came in."""
    if not _is_photograph(study):
        return study.listing
    moment = from_us(moment_us)
    return StudyListing(moment.strftime("%Y%m%d"), moment.strftime("%H%M%S.%f"), "+0000")


def _is_photograph(study: Study) -> bool:
    return all(isinstance(frame.instance.reader, PhotoReader) for frame in study.frames)


def _arrived_instance(instance: Instance, series: Series, item: StoredObject, name: str) -> ArrivedInstance:
    return ArrivedInstance(
        sop_instance_uid=instance.sop_instance_uid,
        sop_class_uid=instance.sop_class_uid,
        series_uid=series.uid,
        modality=series.modality,
        n_frames=instance.n_frames,
        rows=instance.rows,
        columns=instance.columns,
        sha256=item.sha256,
        n_bytes=item.n_bytes,
        file_name=name,
        number=instance.number,
        series_number=series.number,
        series_description=series.description,
        body_part=series.body_part,
    )
