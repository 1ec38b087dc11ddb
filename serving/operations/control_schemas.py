"""Scoring as an operator sees and steers it, as JSON."""

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, Field

from serving.scoring.watchdog import Stuck
from serving.store.switch import Switch
from serving.store.times import from_us
from serving.store.workers import Worker


class PauseRequest(BaseModel):
    """Why scoring is paused, for those who see the list without scores."""

    reason: str = Field(min_length=1, max_length=500)


class ScoringState(BaseModel):
    """Whether scoring runs, and who set it so."""

    paused: bool
    reason: str
    set_by: str
    set_at: datetime | None

    @classmethod
    def of(cls, switch: Switch) -> Self:
        """Say it of the database's switch."""
        set_at = None if switch.set_at_us is None else from_us(switch.set_at_us)
        return cls(paused=switch.is_paused, reason=switch.reason, set_by=switch.set_by, set_at=set_at)


class StuckStudy(BaseModel):
    """A study that has been in its state for longer than that allows, and why, in a sentence."""

    id: str
    state: str
    since: datetime
    seconds: float
    longest_seconds: float
    attempts: int
    worker: str | None
    reason: str | None
    problem: str | None
    why: str

    @classmethod
    def of(cls, stuck: Stuck) -> Self:
        """Say it of what the watchdog found."""
        study = stuck.study
        return cls(
            id=study.study_key,
            state=study.state,
            since=from_us(study.since_us),
            seconds=round(stuck.for_s, 1),
            longest_seconds=stuck.longest_s,
            attempts=study.n_attempts,
            worker=study.worker,
            reason=study.reason,
            problem=study.problem,
            why=stuck.why,
        )


class StuckStudies(BaseModel):
    """All that are stuck, those of longest standing first in each state."""

    studies: list[StuckStudy]


class WorkerView(BaseModel):
    """Who scores, or did of late."""

    id: str
    host: str
    process: int
    version: str
    started: datetime
    last_beat: datetime
    state: Literal["live", "dead", "stopped"]
    provider: str
    models: list[str]
    processes: int

    @classmethod
    def of(cls, worker: Worker) -> Self:
        """Say it of a worker's row."""
        return cls.model_validate(
            {
                "id": worker.id,
                "host": worker.host,
                "process": worker.process_id,
                "version": worker.version,
                "started": from_us(worker.started_at_us),
                "last_beat": from_us(worker.beat_at_us),
                "state": worker.state,
                "provider": worker.provider,
                "models": list(worker.models),
                "processes": worker.n_processes,
            }
        )


class WorkerList(BaseModel):
    """All of them, the oldest first."""

    workers: list[WorkerView]
