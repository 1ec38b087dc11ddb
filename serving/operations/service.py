"""Whether the service lives, whether it can work, and how much it has to do."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from models.artifact import Artifact
from models.registry import Registry
from serving.operations.control import ScoringControl
from serving.operations.dicom import DicomFigures
from serving.operations.storage import StorageCheck
from serving.store.database import Database
from serving.store.schema import NEWEST, revision_of, write_as_it_is
from serving.store.studies import count_by_state
from serving.store.switch import Switch
from serving.store.workers import Worker
from serving.telemetry.faults import describe

# Each write is a flush of the disk, and whoever comes along may ask whether the service is ready.
_WRITTEN_FOR_S = 2.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold for the service to be ready."""

    name: str
    is_good: bool
    detail: str


@dataclass
class LastWrite:
    """When the database was last seen to take a change, in seconds that only grow."""

    at_s: float = float("-inf")


@dataclass(frozen=True)
class Operations:
    """Answers an operator.

    `control` knows the workers of all processes; `n_workers` says how many scoring processes run in this one,
    `is_scoring` whether this one's worker lives, which is None where others score; `database_file` is that of
    SQLite.
    """

    version: str
    provider: str
    database: Database
    registry: Registry
    storage: StorageCheck
    control: ScoringControl
    is_scoring: Callable[[], bool | None]
    n_workers: Callable[[], int]
    rejections: Callable[[], dict[str, int]]
    started_at_s: float
    database_file: Path | None = None
    dicom: Callable[[], DicomFigures] | None = None
    last_write: LastWrite = field(default_factory=LastWrite)

    def models(self) -> tuple[Artifact, ...]:
        """Give the models that may score."""
        return self.registry.artifacts()

    def refused_models(self) -> list[str]:
        """Say which models may not score, and why."""
        return [str(error) for error in self.registry.refused]

    def seconds_up(self) -> float:
        """Give for how long the service has been up."""
        return time.monotonic() - self.started_at_s

    @property
    def checks(self) -> dict[str, Callable[[], Check]]:
        """What must hold for the service to be ready, by name; a check may hang with what it checks."""
        checks = {
            "database": self._database_check,
            "storage": self._storage_check,
            "scoring": self._scoring_check,
            "models": self._models_check,
        }
        return checks if self.dicom is None else {**checks, "dicom": self._dicom_check}

    def studies_by_state(self) -> dict[str, int]:
        """Give how many studies are in each state."""
        with self.database.reading() as connection:
            return count_by_state(connection)

    def _database_check(self) -> Check:
        file = self.database_file
        if file is not None and not file.is_file():  # one that is open goes on in a file that has no name
            return Check(
                "database", is_good=False, detail=f"{file} is gone: stop the service, restore the backup"
            )
        try:
            with self.database.writing() as connection:
                stands_at = revision_of(connection)
                is_written = time.monotonic() - self.last_write.at_s >= _WRITTEN_FOR_S
                if is_written:
                    write_as_it_is(connection)
            if is_written:
                self.last_write.at_s = time.monotonic()
        except self.database.failures as error:
            return Check("database", is_good=False, detail=f"cannot be written: {describe(error)}")
        if stands_at != NEWEST:
            return Check("database", is_good=False, detail=f"stands at {stands_at}, not at {NEWEST}")
        return Check("database", is_good=True, detail=f"writable, at migration {NEWEST}")

    def _storage_check(self) -> Check:
        problem = self.storage.problem()
        return Check(
            "storage", is_good=problem is None, detail=problem or f"writable, at {self.storage.place}"
        )

    def scoring_switch(self) -> Switch | None:
        """Say whether scoring is paused, None if the database cannot be asked."""
        try:
            return self.control.switch()
        except self.database.failures:
            return None

    def live_workers(self) -> list[Worker]:
        """Give who scores now, nobody if the database cannot be asked."""
        try:
            return [worker for worker in self.control.workers() if worker.state == "live"]
        except self.database.failures:
            return []

    def stuck_by_state(self) -> dict[str, int]:
        """Give how many studies are stuck in each state."""
        return self.control.watchdog.counts()

    def _scoring_check(self) -> Check:
        is_scoring = self.is_scoring()
        if is_scoring is False:
            return Check(
                "scoring", is_good=False, detail="this process's worker is gone; restart the service"
            )
        switch = self.scoring_switch()
        if switch is not None and switch.is_paused:  # studies are taken and read all the same
            return Check("scoring", is_good=True, detail="paused by an operator")
        if is_scoring:
            return Check("scoring", is_good=True, detail=f"{self.n_workers()} processes")
        n_live = len(self.live_workers())
        detail = f"{n_live} workers" if n_live else "no worker lives: studies are queued unscored"
        return Check("scoring", is_good=True, detail=detail)

    def _dicom_check(self) -> Check:
        assert self.dicom is not None
        figures = self.dicom()
        if not figures.is_listening:
            return Check("dicom", is_good=False, detail="nobody listens for devices; restart the service")
        return Check("dicom", is_good=True, detail=f"{figures.title} listens on port {figures.port}")

    def _models_check(self) -> Check:
        labels = [artifact.label for artifact in self.models()]
        if self.registry.refused:
            return Check("models", is_good=False, detail="; ".join(self.refused_models()))
        if not labels:
            return Check("models", is_good=True, detail="none: studies are queued unscored")
        return Check("models", is_good=True, detail=", ".join(labels))
