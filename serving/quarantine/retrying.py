"""Takes a refused file in again, corrected if somebody said how."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from data.dicom.correcting import Corrections, corrected_stream
from data.dicom.transcoding import TranscodingError
from data.errors import ImageError
from serving.errors import Problem, Rejection, ServiceError
from serving.store.audit_chain import Who
from serving.store.objects import ObjectStore, hash_file
from serving.store.quarantine import Entry
from serving.store.times import from_us


@dataclass(frozen=True, slots=True)
class Retaken:
    """What became of a file taken in again: key and UID of its studies, and what was refused of it."""

    studies: tuple[tuple[str, str], ...]
    rejected: tuple[Rejection, ...]

    @property
    def is_whole(self) -> bool:
        """Whether all of it was taken."""
        return bool(self.studies) and not self.rejected


class Retake(Protocol):
    """Takes a file as every upload is taken (:class:`serving.intake.again.TakingAgain`)."""

    def __call__(self, fill: Callable[[Path], None], *, name: str, site: str, who: Who) -> Retaken:
        """Have a file written by `fill` and taken in for a site."""


def corrections_of(kept: Mapping[str, Any]) -> Corrections:
    """Read corrections as they are kept in a row."""
    return Corrections(
        edits={keyword: tuple(values) for keyword, values in kept.get("edits", {}).items()},
        character_set=kept.get("character_set"),
        has_new_uid=bool(kept.get("new_uid")),
    )


def as_kept(corrections: Corrections, *, at_us: int) -> dict[str, object]:
    """Give corrections as they are kept in a row, with the time when somebody made them."""
    if not corrections:
        return {}
    return {
        "edits": {keyword: list(values) for keyword, values in corrections.edits.items()},
        "character_set": corrections.character_set,
        "new_uid": corrections.has_new_uid,
        "at_us": at_us,
    }


class Filling:
    """Writes an entry's file, corrected or as it came, and knows afterwards what it wrote.

    A corrected file names the time when its corrections were made: another try makes the same bytes.
    """

    def __init__(self, entry: Entry, objects: ObjectStore) -> None:
        self._entry = entry
        self._objects = objects
        self.corrected_sha256: str | None = None

    def __call__(self, path: Path) -> None:
        """Write the file.

        Raises
        ------
        ServiceError
            `CONFLICT` if its bytes are not kept; `INVALID_REQUEST` if it cannot be corrected.
        """
        entry = self._entry
        if entry.object_sha256 is None:
            raise ServiceError(
                Problem.CONFLICT,
                f"The bytes of {entry.key} are not kept: have its sender send it again.",
            )
        corrections = corrections_of(entry.corrections)
        if not corrections:
            _write(path, self._objects.get(entry.object_sha256))
            return
        original = self._objects.checked(entry.object_sha256)
        pieces = corrected_stream(
            original,
            corrections,
            digest=bytes.fromhex(entry.sha256),
            source=f"{entry.arrived.door} {entry.arrived.sender}",
            at=from_us(int(entry.corrections["at_us"])),
        )
        try:
            _write(path, pieces)
        except (ImageError, TranscodingError) as error:
            said = error.problem if isinstance(error, ImageError) else str(error)
            raise ServiceError(
                Problem.INVALID_REQUEST,
                f"{entry.file_name} cannot be corrected: it {said}; have it sent again from its source.",
            ) from error
        self.corrected_sha256 = hash_file(path).sha256


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    with path.open("wb") as file:
        for piece in pieces:
            file.write(piece)
