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


class Health(BaseModel):
    """That the service lives, and what it is."""

    status: Literal["alive"] = "alive"
    version: str
    provider: str
    models: list[ModelHealth]
    refused_models: list[str]
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
