"""Makes a backup of a home while the service runs on it.

Rows first, at one moment; then every image that those rows refer to. Images are never altered, and one that
nobody refers to any more lies aside for days before it goes: so whatever the copied rows refer to is there
to be copied. A backup counts from the moment its manifest has its name; until then the one before counts.
"""

import contextlib
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from filelock import FileLock, Timeout

from serving.audit.keys import PRIVATE_KEY
from serving.backup.manifest import DATABASE, OBJECTS, File, Manifest, ObjectLine
from serving.backup.places import Target, open_target
from serving.errors import StartError
from serving.settings import Settings
from serving.store.copying import copy_sqlite, end_of_trail, problem_of, referenced_objects, schema_of
from serving.store.local_objects import LocalObjects

# Of the home: what is elsewhere in the backup, made anew, or of this moment only.
_LEFT_OUT = frozenset({"objects", "cache", "spool", "uploads", "lock"})
_KEYS = frozenset({PRIVATE_KEY, "sealing.key"})
_HEAD = "audit/head"


@dataclass(frozen=True, slots=True)
class Made:
    """What a backup holds; `n_new_objects` were not there before."""

    manifest: Manifest
    n_new_objects: int
    n_new_bytes: int


def make_backup(settings: Settings, place: Path, *, with_keys: bool) -> Made:
    """Back up the home of `settings` to a folder or a new ``.tar`` file.

    Raises
    ------
    StartError
        If the home is none, keeps its rows or images elsewhere, or something cannot be copied.
    """
    _check(settings, place)
    lock = FileLock(settings.home / "backup.lock")
    try:
        with lock.acquire(timeout=0), contextlib.closing(open_target(place)) as target:
            return _make(settings, target, with_keys=with_keys)
    except Timeout as error:
        raise StartError(f"another backup of {settings.home} is being made: let it end.") from error
    except OSError as error:
        raise StartError(f"the backup could not be made: {error}.") from error


def _check(settings: Settings, place: Path) -> None:
    if settings.database_url:
        raise StartError("the rows are in PostgreSQL: back it up by pg_dump (docs/deployment.md).")
    if settings.objects_bucket:
        raise StartError("the images are in a bucket: have it keep versions (docs/deployment.md).")
    if not settings.database_file.is_file():
        raise StartError(f"there is no database {settings.database_file}: name the home by --home.")
    if place.absolute().is_relative_to(settings.home.absolute()):
        raise StartError(f"{place} lies in the home itself: a backup belongs on another disk.")


def _make(settings: Settings, target: Target, *, with_keys: bool) -> Made:
    moment = datetime.now(UTC)
    stored_in = f"sets/{moment:%Y%m%dT%H%M%S%fZ}"
    files: list[File] = []

    def put(path: str, source: Path) -> None:
        stored_as = f"{stored_in}/{path}"
        sha256, n_bytes = target.put(stored_as, source)
        files.append(File(path=path, stored_as=stored_as, sha256=sha256, n_bytes=n_bytes))

    with tempfile.TemporaryDirectory(dir=settings.home, prefix="backup-") as scratch:
        copy = Path(scratch) / DATABASE
        copy_sqlite(settings.database_file, copy)
        problem = problem_of(copy)
        if problem is not None:
            raise StartError(f"{settings.database_file} is damaged: {problem}. Restore an earlier backup.")
        schema = schema_of(copy)
        if schema is None:
            raise StartError(f"{settings.database_file} is no database of firstread.")
        put(DATABASE, copy)
        for path, source in _other_files(settings.home, Path(scratch), with_keys=with_keys):
            put(path, source)
        listed = Path(scratch) / OBJECTS
        n_objects, n_bytes, n_new, n_new_bytes = _objects(settings, copy, target, listed)
        put(OBJECTS, listed)
        end = end_of_trail(copy)
    manifest = Manifest(
        version=metadata.version("firstread"),
        schema_revision=schema,
        made_at=moment.isoformat(),
        has_keys=with_keys,
        files=tuple(files),
        n_objects=n_objects,
        object_bytes=n_bytes,
        audit_seq=None if end is None else end[0],
        audit_hash=None if end is None else end[1],
    )
    target.finish(manifest)
    return Made(manifest, n_new, n_new_bytes)


def _other_files(home: Path, scratch: Path, *, with_keys: bool) -> list[tuple[str, Path]]:
    found: list[tuple[str, Path]] = []
    for path in sorted(home.rglob("*")):
        name = path.relative_to(home).as_posix()
        top = name.split("/")[0]
        if top in _LEFT_OUT or top.startswith("backup") or not path.is_file() or path.is_symlink():
            continue
        if name in {DATABASE, _HEAD} or path.name.endswith(("-wal", "-shm", "-journal", ".lock")):
            continue  # the head is written by the restoring, as the copied rows end
        if path.name in _KEYS and not with_keys:
            continue
        if path.suffix in {".sqlite", ".db"}:
            copy = scratch / name.replace("/", "-")
            copy_sqlite(path, copy)
            path = copy  # noqa: PLW2901 - the copy stands for it
        found.append((name, path))
    return found


def _objects(settings: Settings, copy: Path, target: Target, listed: Path) -> tuple[int, int, int, int]:
    objects = LocalObjects(settings.objects_folder)
    n_objects = n_bytes = n_new = n_new_bytes = 0
    with listed.open("w", encoding="ascii") as lines:
        for sha256, size in referenced_objects(copy):
            line = ObjectLine(sha256, size)
            lines.write(f"{sha256} {size}\n")
            n_objects += 1
            n_bytes += size
            if target.has(line.stored_as, size):
                continue
            _put_object(objects, line, target)
            n_new += 1
            n_new_bytes += size
    return n_objects, n_bytes, n_new, n_new_bytes


def _put_object(objects: LocalObjects, line: ObjectLine, target: Target) -> None:
    source = objects.path_of(line.sha256)
    if not source.is_file():
        source = objects.path_of(line.sha256, aside=True)
    try:
        sha256, _ = target.put(line.stored_as, source)
    except FileNotFoundError as error:
        raise StartError(
            f"the image {line.sha256} is gone from {objects.place}: see /readyz, and restore it from the "
            "backup before; this one was not finished."
        ) from error
    if sha256 != line.sha256:
        target.forget(line.stored_as)
        raise StartError(
            f"{source} is damaged: restore it from the backup before; this one was not finished."
        )
