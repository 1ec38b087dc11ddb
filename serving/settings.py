"""What an operator sets: read once from the environment and the command line, then handed on."""

import os
from pathlib import Path
from typing import Annotated

import platformdirs
from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

SHIPPED_MODELS = Path(__file__).resolve().parents[1] / "models" / "shipped"


def _default_home() -> Path:
    return Path(platformdirs.user_data_dir("firstread", appauthor=False))


class Settings(BaseSettings):
    """The service's settings; each is also an environment variable ``FIRSTREAD_<NAME>``.

    There is no global instance: a program reads the settings once and passes on what a part needs.

    Examples
    --------
    >>> Settings(home="/srv/firstread", models="/a:/b").models
    (PosixPath('/a'), PosixPath('/b'))
    >>> Settings(home="/srv/firstread", models="/a").model_folders
    (PosixPath('/a'), PosixPath('/srv/firstread/models'))
    """

    model_config = SettingsConfigDict(env_prefix="FIRSTREAD_", frozen=True, extra="ignore")

    home: Path = Field(
        default_factory=_default_home, description="Database and images; made if it does not exist."
    )
    datasets: Path | None = Field(
        default=None, description="Folder of real data sets that the demo takes its samples from."
    )
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535, description="0 asks the system for a free port.")
    host_names: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Names, comma-separated, under which browsers reach the service; localhost and plain "
        "addresses always do.",
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Scoring processes; each holds every model in use, about 100 MB with one.",
    )
    models: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(SHIPPED_MODELS,), description="Folders of models, separated as in PATH."
    )

    policy: Path | None = Field(
        default=None, description="A hospital's own times to reading; else serving/worklist/policy.toml."
    )

    # A head CT of 600 slices of 512 KB is 300 MB; the rest is room for a zip of a whole examination.
    max_upload_bytes: int = Field(default=2 * 1024**3, ge=1)
    # As many as one study may have: the largest routine CT has about 3,000 slices.
    max_upload_files: int = Field(default=4096, ge=1)
    # Stays free on the disk, so that the database can always finish what it has begun.
    min_free_bytes: int = Field(default=256 * 1024**2, ge=0)

    @field_validator("models", mode="before")
    @classmethod
    def _split_as_path(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(Path(part) for part in value.split(os.pathsep) if part)
        return value

    @field_validator("host_names", mode="before")
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @property
    def model_folders(self) -> tuple[Path, ...]:
        """Every folder that models are looked for in: those named, and that of models made on the spot."""
        return (*self.models, self.home / "models")

    @property
    def database_file(self) -> Path:
        """The SQLite file."""
        return self.home / "firstread.sqlite"

    @property
    def objects_folder(self) -> Path:
        """Where stored files lie, named by their SHA-256."""
        return self.home / "objects"

    @property
    def spool_folder(self) -> Path:
        """Where uploads are written until they are taken or refused; emptied at every start."""
        return self.home / "spool"

    @property
    def lock_file(self) -> Path:
        """Held by the one process that works on this home."""
        return self.home / "lock"
