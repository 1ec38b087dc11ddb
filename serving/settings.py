"""What an operator sets: read once from the environment and the command line, then handed on."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import unquote, urlsplit

import platformdirs
from pydantic import Field, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from serving.dicom_settings import DicomSettings
from serving.reading_settings import ReadingSettings
from serving.settings_file import given_elsewhere
from serving.sign_in_settings import SignInSettings

# Those of serving.identity.caller; a test holds the two together.
RoleName = Literal["uploader", "reader", "supervisor", "operator", "auditor", "service"]

SHIPPED_MODELS = Path(__file__).resolve().parents[1] / "models" / "shipped"


class Provider(StrEnum):
    """On what models may run."""

    CPU = "cpu"
    CUDA = "cuda"
    TENSORRT = "tensorrt"


def _default_home() -> Path:
    return Path(platformdirs.user_data_dir("firstread", appauthor=False))


class _Files(PydanticBaseSettingsSource):
    """The files of :mod:`serving.settings_file`, as a source of settings."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        """Give nothing field by field: :meth:`__call__` gives all."""
        del field
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Give the settings that stand in files."""
        found = given_elsewhere(self.settings_cls.model_fields)
        return {name: given.value for name, given in found.items()}


class Settings(SignInSettings, ReadingSettings, DicomSettings, BaseSettings):
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

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - none are read
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read what the program gives, then the environment, then files (:mod:`serving.settings_file`)."""
        return init_settings, env_settings, _Files(settings_cls)

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
    session_idle_minutes: float = Field(
        default=30.0, gt=0, description="After so long without an act of the person a session ends."
    )
    session_hours: float = Field(default=12.0, gt=0, description="After so long it ends in any case.")
    second_factor_roles: Annotated[tuple[RoleName, ...], NoDecode] = Field(
        default=("operator",), description="Roles, comma-separated, whose people need a second factor."
    )
    workers: int = Field(
        default=1,
        ge=0,
        le=64,
        description="Scoring processes; each holds every model in use, about 100 MB with one. 0: the service "
        "scores nothing itself, `firstread worker` does.",
    )
    provider: Provider = Field(
        default=Provider.CPU,
        description="On what models run: cpu, cuda or tensorrt; refused where it is absent.",
    )
    models: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(SHIPPED_MODELS,), description="Folders of models, separated as in PATH."
    )

    log_format: Literal["auto", "json", "text"] = Field(
        default="auto", description="Of the log on stderr; auto: text at a terminal, JSON elsewhere."
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    traces: str = Field(
        default="",
        description="Address of a collector of OpenTelemetry spans, such as http://127.0.0.1:4318/v1/traces; "
        "'off'; empty: as OTEL_EXPORTER_OTLP_ENDPOINT says, else none.",
    )

    requests_per_s: float = Field(
        default=200.0, ge=0, description="From one address, or by one account; 0: no limit."
    )
    requests_at_once: int = Field(default=2000, ge=1, description="So many may come in a burst.")
    max_body_bytes: int = Field(
        default=1024 * 1024, ge=1024, description="Of a request that brings no images."
    )

    seconds_to_stop: int = Field(
        default=25,
        ge=1,
        description="How long requests under way are given when the service is told to stop.",
    )

    hl7_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Orders are taken there by HL7 v2 over MLLP; unset: none are. 0 asks for a free port.",
    )
    hl7_host: str = "127.0.0.1"
    hl7_tls: bool = Field(
        default=False, description="Speak TLS there, with FIRSTREAD_TLS_CERTIFICATE and its client CA."
    )
    hl7_max_message_bytes: int = Field(default=256 * 1024, ge=1024)
    hl7_max_connections: int = Field(default=100, ge=1, le=500)

    policy: Path | None = Field(
        default=None, description="A hospital's own times to reading; else serving/worklist/policy.toml."
    )

    audit_head: Path | None = Field(
        default=None,
        description="File that knows the end of the audit trail; best on another disk. Else in the home.",
    )

    # A head CT of 600 slices of 512 KB is 300 MB; the rest is room for a zip of a whole examination.
    max_upload_bytes: int = Field(default=2 * 1024**3, ge=1)
    # As many as one study may have: the largest routine CT has about 3,000 slices.
    max_upload_files: int = Field(default=4096, ge=1)
    admission: Path | None = Field(
        default=None,
        description="A hospital's own rules for what comes in: doors and modalities whose images must name a "
        "patient, issuers of identifiers by site (docs/quarantine.md); else nothing is demanded.",
    )
    # What a site's refused files may take; over it a refusal is listed without its bytes.
    quarantine_bytes: int = Field(default=10 * 1024**3, ge=0)
    quarantine_files: int = Field(default=10_000, ge=1)
    quarantine_days: float = Field(
        default=90.0, gt=0, description="What came last before so many days goes when somebody purges."
    )

    # Stays free on the disk, so that the database can always finish what it has begun.
    min_free_bytes: int = Field(default=256 * 1024**2, ge=0)

    objects_url: str = Field(
        default="",
        description="Where images are kept: a folder (a path, or file://), s3://bucket/prefix, gs:// or "
        "az://; by default the folder `objects` of the home. Keys come from the environment.",
    )
    objects_endpoint: str = Field(
        default="", description="Address of a store of one's own that speaks like S3, such as MinIO."
    )
    objects_encryption: Literal["", "AES256", "aws:kms", "aws:kms:dsse"] = Field(
        default="", description="How S3 encrypts what it keeps; empty: as the bucket says."
    )
    objects_kms_key: str = Field(default="", description="The key for aws:kms; empty: the account's own.")
    objects_request_s: float = Field(default=60.0, gt=0, description="Time-out of one request to a bucket.")
    objects_retry_s: float = Field(
        default=180.0, ge=0, le=290, description="For how long a request that failed is tried again."
    )
    # A day of a busy department: 100 CTs of 300 slices are 15 GB; what is pushed out is fetched again.
    objects_cache_bytes: int = Field(default=4 * 1024**3, ge=0)
    # 2 GiB in this time are 0.8 Mbit/s. The collection's grace is longer (serving.store.collection).
    max_upload_s: float = Field(default=6 * 3600.0, gt=0, description="The longest that one upload may take.")

    # Of one site: a day's CTs of 300 MB, should every line be cut in the middle of one.
    max_unfinished_bytes: int = Field(
        default=20 * 1024**3, ge=1, description="Of resumable uploads of one site that are on their way."
    )
    unfinished_hours: float = Field(
        default=48.0, gt=0, description="After so long without another byte a resumable upload is given up."
    )

    database_url: str = Field(
        default="",
        repr=False,
        description="A PostgreSQL database (15 or later): postgresql://user@host/name, as libpq takes it; "
        "the password better by PGPASSFILE. Empty: an SQLite file in the home.",
    )

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: str) -> str:
        if value and not value.startswith(("postgresql://", "postgres://")):
            raise ValueError("it must begin with postgresql://; leave it empty for SQLite in the home")
        return value

    @field_validator("traces")
    @classmethod
    def _check_collector(cls, value: str) -> str:
        if value and value != "off" and not value.startswith(("http://", "https://")):
            raise ValueError("it must be 'off' or begin with http:// or https://")
        return value

    @field_validator("objects_url")
    @classmethod
    def _check_objects_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if "://" not in value:
            return value
        if parts.scheme not in {"file", "s3", "gs", "az"}:
            raise ValueError("it must be a folder, or begin with file://, s3://, gs:// or az://")
        if parts.username or parts.password or parts.query:
            raise ValueError("keys belong into the environment (AWS_..., GOOGLE_..., AZURE_...), not here")
        if parts.scheme == "file" and (parts.netloc or not parts.path.strip("/")):
            raise ValueError("a folder is written file:///path/of/the/folder")
        if parts.scheme != "file" and not parts.netloc:
            raise ValueError(f"it names no bucket: {parts.scheme}://bucket/prefix")
        return value

    @model_validator(mode="after")
    def _check_objects_options(self) -> Self:
        is_s3 = self.objects_url.startswith("s3://")
        if not is_s3 and (self.objects_endpoint or self.objects_encryption or self.objects_kms_key):
            raise ValueError("FIRSTREAD_OBJECTS_ENDPOINT, _ENCRYPTION and _KMS_KEY are for s3:// alone")
        if self.objects_kms_key and not self.objects_encryption.startswith("aws:kms"):
            raise ValueError("FIRSTREAD_OBJECTS_KMS_KEY needs FIRSTREAD_OBJECTS_ENCRYPTION=aws:kms")
        return self

    @model_validator(mode="after")
    def _check_hl7(self) -> Self:
        if self.hl7_tls and self.tls_certificate is None:
            raise ValueError("FIRSTREAD_HL7_TLS needs FIRSTREAD_TLS_CERTIFICATE and FIRSTREAD_TLS_KEY")
        return self

    @field_validator("models", mode="before")
    @classmethod
    def _split_as_path(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(Path(part) for part in value.split(os.pathsep) if part)
        return value

    @field_validator("host_names", "second_factor_roles", mode="before")
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
    def database(self) -> Path | str:
        """The SQLite file, or the address of a PostgreSQL database."""
        return self.database_url or self.database_file

    @property
    def database_file(self) -> Path:
        """The SQLite file, if it is one."""
        return self.home / "firstread.sqlite"

    @property
    def objects_folder(self) -> Path:
        """Where stored files lie, named by their SHA-256, unless they lie in a bucket."""
        if self.objects_url.startswith("file://"):
            return Path(unquote(urlsplit(self.objects_url).path))
        return Path(self.objects_url) if self.objects_url else self.home / "objects"

    @property
    def objects_bucket(self) -> str:
        """The bucket's address, empty if stored files lie in a folder."""
        return self.objects_url if self.objects_url.startswith(("s3://", "gs://", "az://")) else ""

    @property
    def cache_folder(self) -> Path:
        """Where files of a bucket lie for as long as they are used; may be emptied at any time."""
        return self.home / "cache"

    @property
    def spool_folder(self) -> Path:
        """Where uploads are written until they are taken or refused; emptied at every start.

        Beside a PostgreSQL database, each process has a folder of its own in it.
        """
        return self.home / "spool"

    @property
    def uploads_folder(self) -> Path:
        """Where resumable uploads lie until they are taken; kept over a start.

        On the disk of the spool, so that they are taken without being copied.
        """
        return self.home / "uploads"

    @property
    def lock_file(self) -> Path:
        """Held by the one process that works on this home with an SQLite database."""
        return self.home / "lock"
