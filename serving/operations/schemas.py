"""What an operator is told, as JSON."""

from typing import Literal

from pydantic import BaseModel


class ModelHealth(BaseModel):
    """A model that may score, and its files; a result names the one that made it."""

    name: str
    version: str
    onnx_sha256: str
    int8_sha256: str | None = None
    modalities: list[str]


class WorkerHealth(BaseModel):
    """A worker that lives, and on what it runs."""

    provider: str
    processes: int


class ScoringHealth(BaseModel):
    """Whether studies are being scored.

    `paused` by a person; `none`: nobody scores; `unknown`: the database does not say.
    """

    state: Literal["running", "paused", "none", "unknown"]
    workers: list[WorkerHealth]


class DicomHealth(BaseModel):
    """Where DICOM devices call."""

    title: str
    port: int
    tls: bool
    listening: bool
    associations: int


class Health(BaseModel):
    """That the service lives, and what it is."""

    status: Literal["alive"] = "alive"
    version: str
    provider: str
    scoring: ScoringHealth
    models: list[ModelHealth]
    refused_models: list[str]
    dicom: DicomHealth | None = None
    seconds_up: float


class ReadyCheck(BaseModel):
    """One thing that must hold."""

    name: str
    good: bool
    detail: str


class Readiness(BaseModel):
    """Whether the service can work."""

    status: Literal["ready", "not ready"]
    checks: list[ReadyCheck]
