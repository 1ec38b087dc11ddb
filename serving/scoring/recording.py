"""Writes down how the scoring of a study ended: its score, its new place and the trail's row, or nothing.

Each is one transaction under the job's fence (:func:`serving.store.jobs.end`): what a worker says that lost
its job meanwhile is dropped, so that there is one result whoever comes first.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from data.errors import Reason
from data.quality.finding import Finding
from models.artifact import Artifact
from serving.audit.trail import Act
from serving.scoring.record import stored_score
from serving.scoring.result import Status, StudyScore
from serving.scoring.traces import scored_study, unscored_study
from serving.store.events import Happening, StudyEvent, add_events
from serving.store.jobs import Job, end
from serving.store.quality import keep_series_findings
from serving.store.queue import Placement, place, place_no_later, placement_of
from serving.store.scores import record_score
from serving.store.studies import StoredStudy
from serving.worklist.placement import Placer
from serving.worklist.reasons import NoScore

if TYPE_CHECKING:  # the database has one home, the store
    from sqlalchemy import Connection

log = logging.getLogger(__name__)


class Trail(Protocol):
    """Opens a transaction whose acts are written down (:class:`serving.audit.trail.AuditTrail`)."""

    def acting(self) -> AbstractContextManager[Act]:
        """Open it."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a study's scoring ended that gave no score."""

    state: str
    reason: str
    problem: str | None
    why: NoScore


@dataclass(frozen=True)
class Recorder:
    """Writes down what came of a worker's jobs.

    `artifacts` are the models by name and version, for the names and severities of their classes.
    """

    trail: Trail
    artifacts: Mapping[tuple[str, str], Artifact]
    placer: Placer
    worker: str
    clock: Callable[[], int]

    def record(
        self, job: Job, stored: StoredStudy, score: StudyScore, of_series: Sequence[Finding] | None = None
    ) -> None:
        """Keep what a model said, or why none said anything, and what is amiss with the whole series."""
        if score.status is Status.REJECTED or score.model is None:
            reason = score.error.reason if score.error else Reason.MODEL_FAILED
            problem = score.error.problem if score.error else score.reason
            if reason is Reason.NO_MODEL:
                self._settle(job, stored, Ending("abstained", reason, problem, NoScore.NO_MODEL), of_series)
            else:
                self._settle(job, stored, Ending("failed", reason, problem, NoScore.FAILED), of_series)
            return
        artifact = self.artifacts.get((score.model.name, score.model.version))
        if artifact is None:
            problem = f"was scored by {score.model.name}/{score.model.version}, which came after the start"
            self.fail(job, stored, Reason.MODEL_FAILED, problem)
            return
        self._keep(job, stored, score, artifact, of_series)

    def fail(self, job: Job, stored: StoredStudy, reason: str, problem: str | None) -> None:
        """Leave a study to a person: nothing that would pass keeps it from being scored."""
        self._settle(job, stored, Ending("failed", reason, problem, NoScore.FAILED))

    def _settle(
        self, job: Job, stored: StoredStudy, ending: Ending, of_series: Sequence[Finding] | None = None
    ) -> None:
        """Keep a study without a score in the queue, saying why it has none."""
        # The problem may quote the file; it stands in the database, where patients' data may be.
        log.warning("a study is %s", ending.state, extra={"study": stored.key, "reason": str(ending.reason)})
        now_us = self.clock()
        with self.trail.acting() as act:
            priority = end(
                act.connection,
                job,
                worker=self.worker,
                state=ending.state,
                reason=ending.reason,
                problem=ending.problem,
                now_us=now_us,
            )
            if priority is None:
                log.info("a result came too late and is dropped", extra={"study": stored.key})
                return
            _keep_series_findings(act.connection, stored, of_series, now_us)
            unscored = self.placer.unscored(stored.received_at_us, priority, ending.why)
            place_no_later(act.connection, site=stored.site, study_id=stored.id, placement=unscored)
            standing = placement_of(act.connection, site=stored.site, study_id=stored.id)
            act.record(unscored_study(stored, standing, ending.state, ending.reason, at_us=now_us))
            facts = {"state": ending.state, "reason": str(ending.reason)}
            add_events(act.connection, _events(stored, standing, Happening.UNSCORED, facts, at_us=now_us))

    def _keep(
        self,
        job: Job,
        stored: StoredStudy,
        score: StudyScore,
        artifact: Artifact,
        of_series: Sequence[Finding] | None,
    ) -> None:
        now_us = self.clock()
        kept = stored_score(score, stored, artifact.card, scored_at_us=now_us)
        with self.trail.acting() as act:
            connection = act.connection
            priority = end(
                connection,
                job,
                worker=self.worker,
                state=score.status,
                reason=None,
                problem=score.reason,
                now_us=now_us,
            )
            # One that got another image meanwhile is scored again whole; this result is of the past.
            if priority is None:
                log.info("a result came too late and is dropped", extra={"study": stored.key})
                return
            _keep_series_findings(connection, stored, of_series, now_us)
            record_score(connection, kept, site=stored.site, study_id=stored.id, revision=stored.revision)
            if score.status is Status.ABSTAINED:
                placement = self.placer.unscored(stored.received_at_us, priority, NoScore.NOVEL)
                place_no_later(connection, site=stored.site, study_id=stored.id, placement=placement)
            else:
                placement = self.placer.scored(
                    stored.received_at_us,
                    priority,
                    model=artifact.card.name,
                    classes=artifact.card.classes,
                    probabilities=score.probabilities,
                )
                place(connection, site=stored.site, study_id=stored.id, placement=placement)
            standing = placement_of(connection, site=stored.site, study_id=stored.id)
            act.record(scored_study(stored, kept, standing))
            facts = {"state": str(score.status), "model": f"{kept.model_name}/{kept.model_version}"}
            add_events(connection, _events(stored, standing, Happening.SCORED, facts, at_us=now_us))


def _keep_series_findings(
    connection: "Connection", stored: StoredStudy, of_series: Sequence[Finding] | None, now_us: int
) -> None:
    """Keep what only the whole can tell: a study that came in parts was looked over part by part."""
    if of_series is not None:
        keep_series_findings(
            connection,
            of_series,
            site=stored.site,
            study_id=stored.id,
            revision=stored.revision,
            n_images=len(stored.instances),
            now_us=now_us,
        )


def _events(
    stored: StoredStudy, standing: Placement, kind: Happening, facts: Mapping[str, object], *, at_us: int
) -> list[StudyEvent]:
    """Say how it ended and, of a study that was opened again, whether it stands at another place for that."""
    place = {"due_at_us": standing.due_at_us, "tier": standing.tier}
    events = [
        StudyEvent(stored.id, stored.site, kind, at_us, {**facts, **place, "revision": stored.revision})
    ]
    if stored.revision > 1 and standing.due_at_us != stored.placement.due_at_us:
        moved = {**place, "due_before_us": stored.placement.due_at_us}
        events.append(StudyEvent(stored.id, stored.site, Happening.RE_RANKED, at_us, moved))
    return events
