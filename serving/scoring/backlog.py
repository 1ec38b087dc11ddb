"""Scores in the background whatever waits for a score, the first due first.

The database is the only list of what is to be done, so nothing is forgotten by a crash: a study that was
being scored when the process died waits again at the next start. A result is written in one transaction
with the study's new place, under a key that makes a second score of the same images by the same model
version impossible.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from data.errors import ImageError, Reason
from data.study import Study
from models.artifact import Artifact
from models.registry import Registry
from serving.audit.trail import AuditTrail
from serving.errors import Problem, ServiceError
from serving.scoring.record import stored_score
from serving.scoring.result import Status, StudyScore
from serving.scoring.traces import scored_study, unscored_study
from serving.store.database import Database
from serving.store.objects import ObjectStore
from serving.store.queue import place, place_no_later, placement_of
from serving.store.scores import record_score
from serving.store.studies import StoredStudy, claim_next, hand_back, mark, recover
from serving.store.times import now_us
from serving.studies.assembly import assemble
from serving.worklist.placement import Placer
from serving.worklist.reasons import NoScore

log = logging.getLogger(__name__)

# A study whose scoring process died this often is left to the reader.
_MAX_ATTEMPTS = 3

# Should a call to `wake` be missed, the backlog looks by itself.
_SECONDS_BETWEEN_LOOKS = 2.0


class Pool(Protocol):
    """Scores studies in other processes (:class:`serving.scoring.pool.ScoringPool`)."""

    def submit(self, study: Study, model: str | None = None) -> Future[StudyScore]:
        """Queue a study."""


@dataclass(frozen=True, slots=True)
class _Result:
    study: StoredStudy
    score: StudyScore


class Backlog:
    """Keeps a pool busy with the studies that wait for a score.

    Parameters
    ----------
    database, objects : Database, ObjectStore
        Where the studies are.
    trail : AuditTrail
        Where it is written down what was scored.
    pool : Pool
        Who scores; its owner closes it, after :meth:`stop`.
    registry : Registry
        The models' cards, for names and severities of classes.
    placer : Placer
        Who places a study once its score is known.
    n_at_once : int
        Studies handed to the pool at a time; a few more than it has processes keep these busy, while an
        urgent study that comes in is still the next to be handed over.
    clock : callable
        Gives the time in microseconds since 1970 UTC.
    """

    def __init__(
        self,
        *,
        database: Database,
        trail: AuditTrail,
        objects: ObjectStore,
        pool: Pool,
        registry: Registry,
        placer: Placer,
        n_at_once: int,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self._database = database
        self._trail = trail
        self._objects = objects
        self._pool = pool
        self._placer = placer
        self._n_at_once = n_at_once
        self._clock = clock
        self._artifacts: Mapping[tuple[str, str], Artifact] = {
            (artifact.card.name, artifact.card.version): artifact for artifact in registry.artifacts()
        }
        self._changed = threading.Condition()
        self._is_awake = True
        self._stopping = threading.Event()
        self._in_flight: dict[int, StoredStudy] = {}
        self._results: list[_Result] = []
        self._thread = threading.Thread(target=self._run, name="backlog", daemon=True)

    def start(self) -> int:
        """Take up what an earlier process left, and go on from there; gives the number taken up."""
        with self._database.writing() as connection:
            n_taken_up = recover(connection)
        self._thread.start()
        return n_taken_up

    def wake(self) -> None:
        """Say that there is something new to score."""
        with self._changed:
            self._is_awake = True
            self._changed.notify_all()

    @property
    def is_running(self) -> bool:
        """Whether anybody works on the backlog."""
        return self._thread.is_alive() and not self._stopping.is_set()

    def stop(self) -> None:
        """Hand over nothing more, and let what is under way wait again for the next start."""
        with self._changed:
            self._stopping.set()
            self._changed.notify_all()
        self._thread.join()
        self._record_results()
        with self._changed:
            under_way = list(self._in_flight)
            self._in_flight.clear()
        with self._database.writing() as connection:
            hand_back(connection, under_way)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._has_something_to_do, _SECONDS_BETWEEN_LOOKS)
                if self._stopping.is_set():
                    return
                self._is_awake = False
            try:
                self._record_results()
                while not self._stopping.is_set() and self._has_room() and self._hand_over():
                    pass
            except Exception:
                log.exception("the backlog could not go on; it tries again")
                self._stopping.wait(_SECONDS_BETWEEN_LOOKS)

    def _has_room(self) -> bool:
        return len(self._in_flight) < self._n_at_once

    def _has_something_to_do(self) -> bool:
        return self._stopping.is_set() or self._is_awake or bool(self._results)

    def _hand_over(self) -> bool:
        with self._database.writing() as connection:
            stored = claim_next(connection, max_attempts=_MAX_ATTEMPTS)
        if stored is None:
            return False
        try:
            study = assemble(stored, self._objects)
        except ImageError as error:
            self._settle(stored, "failed", error.reason, error.problem, NoScore.FAILED)
            return True
        except ServiceError as error:
            if error.problem is Problem.STORAGE_UNAVAILABLE:  # this passes: it waits, and is no attempt
                with self._database.writing() as connection:
                    hand_back(connection, [stored.id])
                raise
            self._settle(stored, "failed", error.problem, error.detail, NoScore.FAILED)
            return True
        except Exception as error:
            log.exception("a study could not be put together", extra={"study": stored.key})
            self._settle(stored, "failed", Reason.MODEL_FAILED, repr(error), NoScore.FAILED)
            return True
        with self._changed:
            self._in_flight[stored.id] = stored
        self._pool.submit(study).add_done_callback(lambda future: self._take_result(stored, future))
        return True

    def _take_result(self, stored: StoredStudy, future: Future[StudyScore]) -> None:
        with self._changed:
            if self._stopping.is_set() or future.cancelled():
                return  # a worker that was ended says that its study failed; `stop` hands it back
            self._in_flight.pop(stored.id, None)
            self._results.append(_Result(stored, future.result()))
            self._changed.notify_all()

    def _record_results(self) -> None:
        while self._results:
            result = self._results[0]
            try:
                self._record(result.study, result.score)
            except self._database.failures:
                raise  # the result is kept, and written once the database can be written again
            except Exception as error:
                log.exception("a result could not be kept", extra={"study": result.study.key})
                self._settle(result.study, "failed", Reason.MODEL_FAILED, repr(error), NoScore.FAILED)
            with self._changed:
                self._results.pop(0)

    def _record(self, stored: StoredStudy, score: StudyScore) -> None:
        if score.status is Status.REJECTED or score.model is None:
            reason = score.error.reason if score.error else Reason.MODEL_FAILED
            problem = score.error.problem if score.error else score.reason
            if reason is Reason.NO_MODEL:
                self._settle(stored, "abstained", reason, problem, NoScore.NO_MODEL)
            else:
                self._settle(stored, "failed", reason, problem, NoScore.FAILED)
            return
        artifact = self._artifacts.get((score.model.name, score.model.version))
        if artifact is None:
            problem = f"was scored by {score.model.name}/{score.model.version}, which came after the start"
            self._settle(stored, "failed", Reason.MODEL_FAILED, problem, NoScore.FAILED)
            return
        is_abstained = score.status is Status.ABSTAINED
        kept = stored_score(score, stored, artifact.card, scored_at_us=self._clock())

        with self._trail.acting() as act:
            connection = act.connection
            priority = mark(connection, stored, state=score.status, reason=None, problem=score.reason)
            # One that got another image meanwhile is scored again whole; this result is of the past.
            if priority is None:
                return
            record_score(connection, kept, site=stored.site, study_id=stored.id, revision=stored.revision)
            if is_abstained:
                placement = self._placer.unscored(stored.received_at_us, priority, NoScore.NOVEL)
                place_no_later(connection, site=stored.site, study_id=stored.id, placement=placement)
            else:
                placement = self._placer.scored(
                    stored.received_at_us,
                    priority,
                    model=artifact.card.name,
                    classes=artifact.card.classes,
                    probabilities=score.probabilities,
                )
                place(connection, site=stored.site, study_id=stored.id, placement=placement)
            standing = placement_of(connection, site=stored.site, study_id=stored.id)
            act.record(scored_study(stored, kept, standing))

    def _settle(
        self, stored: StoredStudy, state: str, reason: str, problem: str | None, why: NoScore
    ) -> None:
        """Keep a study without a score in the queue, saying why it has none."""
        # The problem may quote the file; it stands in the database, where patients' data may be.
        log.warning("a study is %s", state, extra={"study": stored.key, "reason": str(reason)})
        with self._trail.acting() as act:
            priority = mark(act.connection, stored, state=state, reason=reason, problem=problem)
            if priority is not None:
                unscored = self._placer.unscored(stored.received_at_us, priority, why)
                place_no_later(act.connection, site=stored.site, study_id=stored.id, placement=unscored)
                standing = placement_of(act.connection, site=stored.site, study_id=stored.id)
                act.record(unscored_study(stored, standing, state, reason, at_us=self._clock()))
