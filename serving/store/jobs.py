"""The job that a study's scoring is: opened in the transaction that calls for it, fenced when it writes.

A study that waits for a score has exactly one job that counts, named by its revision and a number that
grows with every job of the study. Whoever works on another one, because the study was opened again or because
the worker was taken for dead and its work given to someone else, changes nothing any more. Only a study of
which more images may come has none (:mod:`serving.store.arrivals`).
"""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, select, update

from serving.store.arrivals import is_complete
from serving.store.studies import StoredStudy, find_by_id
from serving.store.tables import queue_entries, studies
from serving.store.tenancy import Scope, within

_WAITS_OR_RUNS = ("received", "scoring")

UNSCORED = frozenset({"failed", "abstained"})
"""The states of studies that ended without a score that counts, and may be tried again."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job of one study's revision; the sooner the study is due, the sooner it is its turn.

    `n_retries` counts the jobs before it that ended by something that may pass.
    """

    study_key: str
    revision: int
    number: int
    due_at_us: int
    n_retries: int = 0

    @property
    def id(self) -> str:
        """The same for the same work, so that nothing is queued twice.

        Examples
        --------
        >>> Job("0f", 2, 3, 0).id
        '0f.2.3'
        """
        return f"{self.study_key}.{self.revision}.{self.number}"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a study stands, for whoever wants it tried again."""

    id: int
    site: str
    uid: str
    state: str
    reason: str | None
    revision: int


Enqueue = Callable[[Connection, Job], None]
"""Puts a job into the queue in the transaction of the connection: both are committed, or neither."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A study that a worker may score now.

    `n_begun` says how often that was begun, this time among them; `was_interrupted` whether the last time had
    no end, for whoever was at it died.
    """

    study: StoredStudy
    n_begun: int
    was_interrupted: bool


def open_job(connection: Connection, study_id: int, *, n_retries: int = 0) -> Job:
    """Give a study a new job; any earlier one of it no longer counts."""
    row = connection.execute(
        update(studies)
        .where(studies.c.id == study_id)
        .values(job=studies.c.job + 1, worker=None)
        .returning(studies.c.key, studies.c.revision, studies.c.job)
    ).one()
    due_at_us = connection.execute(
        select(queue_entries.c.due_at).where(queue_entries.c.study_id == study_id)
    ).scalar_one()
    return Job(row.key, row.revision, row.job, due_at_us, n_retries)


def begin(connection: Connection, job: Job, *, worker: str, now_us: int) -> Begun | None:
    """Take a job up for a worker, whoever had it before; None if it no longer counts."""
    row = connection.execute(
        select(studies.c.id, studies.c.state, studies.c.n_attempts)
        .where(
            studies.c.key == job.study_key,
            studies.c.revision == job.revision,
            studies.c.job == job.number,
            studies.c.state.in_(_WAITS_OR_RUNS),
        )
        .with_for_update()
    ).one_or_none()
    if row is None:
        return None
    connection.execute(
        update(studies)
        .where(studies.c.id == row.id)
        .values(state="scoring", worker=worker, n_attempts=row.n_attempts + 1, state_since=now_us)
    )
    return Begun(find_by_id(connection, row.id), row.n_attempts + 1, row.state == "scoring")


def put_off(
    connection: Connection, job: Job, *, worker: str, now_us: int, problem: str | None, counts: bool
) -> Job | None:
    """Let a study that was begun wait again under a new job; None if that is no longer the worker's to say.

    It waits because something may pass, which `problem` names. Whether it `counts` as an attempt says
    whether the study itself may be to blame.
    """
    study_id = connection.execute(
        update(studies)
        .where(*_is_worked_on(job, worker))
        .values(
            state="received",
            problem=problem,
            n_attempts=studies.c.n_attempts - (0 if counts else 1),
            state_since=now_us,
        )
        .returning(studies.c.id)
    ).scalar_one_or_none()
    return None if study_id is None else open_job(connection, study_id, n_retries=job.n_retries + 1)


def hand_back(connection: Connection, job: Job, *, worker: str, now_us: int) -> None:
    """Let a study wait again under the same job, which its worker could not finish; it is no attempt."""
    connection.execute(
        update(studies)
        .where(*_is_worked_on(job, worker))
        .values(state="received", worker=None, n_attempts=studies.c.n_attempts - 1, state_since=now_us)
    )


def end(
    connection: Connection,
    job: Job,
    *,
    worker: str,
    state: str,
    reason: str | None,
    problem: str | None,
    now_us: int,
) -> str | None:
    """Set the state in which a job ended, and give the priority that its study has by now.

    None if the job no longer counts or is somebody else's: then nothing is set, and the result is dropped.
    """
    return connection.execute(
        update(studies)
        .where(*_is_worked_on(job, worker))
        .values(state=state, reason=reason, problem=problem, worker=None, state_since=now_us)
        .returning(studies.c.priority)
    ).scalar_one_or_none()


def jobless(connection: Connection, *, limit: int) -> list[int]:
    """Give studies that wait for a score and have no job: they came before there were jobs."""
    query = (
        select(studies.c.id)
        .where(studies.c.state.in_(_WAITS_OR_RUNS), studies.c.job == 0, is_complete())
        .order_by(studies.c.id)
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def long_unfinished(
    connection: Connection, *, before_us: int, after: int, limit: int
) -> list[tuple[int, str]]:
    """Give studies that came before a moment into a state that a job should end, each with its job's id."""
    query = (
        select(studies.c.id, studies.c.key, studies.c.revision, studies.c.job)
        .where(studies.c.state.in_(_WAITS_OR_RUNS), studies.c.state_since < before_us, studies.c.id > after)
        .where(is_complete())
        .order_by(studies.c.id)
        .limit(limit)
    )
    return [(row.id, Job(row.key, row.revision, row.job, 0).id) for row in connection.execute(query)]


def renew(connection: Connection, study_id: int, lost: str, *, now_us: int) -> Job | None:
    """Give a study a new job in the place of one that was lost; None if it has another by now."""
    row = connection.execute(
        select(studies.c.key, studies.c.revision, studies.c.job)
        .where(studies.c.id == study_id, studies.c.state.in_(_WAITS_OR_RUNS), is_complete())
        .with_for_update()
    ).one_or_none()
    if row is None or Job(row.key, row.revision, row.job, 0).id != lost:
        return None
    connection.execute(
        update(studies).where(studies.c.id == study_id).values(state="received", state_since=now_us)
    )
    return open_job(connection, study_id)


def modelless(connection: Connection, *, limit: int) -> list[int]:
    """Give studies that found no model for them; a later one may take them."""
    query = (
        select(studies.c.id)
        .where(studies.c.state == "abstained", studies.c.reason == "no-model")
        .order_by(studies.c.id)
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def find_ended(connection: Connection, *, scope: Scope, key: str) -> Standing | None:
    """Say where a study stands that is seen in `scope`, None if there is none; others wait to change it."""
    query = select(studies).where(within(scope, studies.c.site_id), studies.c.key == key).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return Standing(row.id, row.site_id, row.uid, row.state, row.reason, row.revision)


def let_wait_again(connection: Connection, study_id: int, *, now_us: int) -> Job:
    """Let a study that ended without a score wait for one again, as if it had never been begun."""
    connection.execute(
        update(studies)
        .where(studies.c.id == study_id)
        .values(state="received", reason=None, problem=None, n_attempts=0, state_since=now_us)
    )
    return open_job(connection, study_id)


def let_wait_for_score(connection: Connection, study_id: int, *, now_us: int) -> Job:
    """Let a study wait for a score from now on of which no more images are waited for."""
    connection.execute(update(studies).where(studies.c.id == study_id).values(state_since=now_us))
    return open_job(connection, study_id)


def _is_worked_on(job: Job, worker: str) -> tuple[ColumnElement[bool], ...]:
    return (
        studies.c.key == job.study_key,
        studies.c.revision == job.revision,
        studies.c.job == job.number,
        studies.c.state == "scoring",
        studies.c.worker == worker,
    )
