"""What a backup says of itself: every file with its SHA-256, and where the audit trail ended."""

import hashlib
import json
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from serving.errors import StartError

MANIFEST: Final = "MANIFEST"
DATABASE: Final = "firstread.sqlite"
OBJECTS: Final = "objects.txt"


class File(BaseModel):
    """A file of a backup but the images: its place in the home, its place in the backup, its hash."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    stored_as: str
    sha256: str
    n_bytes: int


class Manifest(BaseModel):
    """The whole; images stand in a list of their own (:data:`OBJECTS`), which is one of the files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = 1
    version: str
    schema_revision: str
    made_at: str
    has_keys: bool
    files: tuple[File, ...]
    n_objects: int
    object_bytes: int
    audit_seq: int | None
    audit_hash: str | None

    def encoded(self) -> bytes:
        """Give the file's bytes: the SHA-256 of the rest in the first line, then JSON."""
        content = json.dumps(self.model_dump(mode="json"), indent=1).encode()
        return hashlib.sha256(content).hexdigest().encode("ascii") + b"\n" + content

    def file(self, path: str) -> File:
        """Give one of the files."""
        return next(one for one in self.files if one.path == path)


@dataclass(frozen=True, slots=True)
class ObjectLine:
    """An image of the list."""

    sha256: str
    n_bytes: int

    @property
    def stored_as(self) -> str:
        """Its place in the backup and, below its folder, in the home."""
        return f"objects/{self.sha256[:2]}/{self.sha256}"


def read_manifest(data: bytes, place: str) -> Manifest:
    """Read a manifest.

    Raises
    ------
    StartError
        If it is damaged, or of a later version.
    """
    digest, _, content = data.partition(b"\n")
    if hashlib.sha256(content).hexdigest().encode("ascii") != digest:
        raise StartError(f"{place}/{MANIFEST} is damaged: take another copy of this backup.")
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        raise StartError(f"{place}/{MANIFEST} is of another version: use that of firstread.") from error
    if manifest.format != 1:
        raise StartError(f"{place} is a backup of a later firstread (format {manifest.format}).")
    return manifest
