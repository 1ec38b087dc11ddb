"""Makes a home of a backup: each file is checked while it is copied; nothing counts before all are there."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from serving.audit.head import HeadFile
from serving.audit.keys import PRIVATE_KEY, PUBLIC_KEY
from serving.audit.opening import audit_folder
from serving.backup.manifest import DATABASE, OBJECTS, Manifest, ObjectLine
from serving.backup.places import Source, flush_folder, open_source
from serving.errors import StartError
from serving.store.audit_chain import Link
from serving.store.copying import end_of_trail, problem_of, referenced_objects
from serving.store.objects import check_name

# The key that signed the trail so far, where the backup was made without keys: hand it to `audit verify`.
EARLIER_KEY = "public-key-before-restore.pem"


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored."""

    manifest: Manifest
    n_objects: int


def restore(place: Path, home: Path) -> Restored:
    """Make a new home of a backup.

    Everything is copied beside `home` and checked; then it gets its name. A restoring that was cut off leaves
    no home, and the next one clears away what it left.

    Raises
    ------
    StartError
        If the home holds anything, or the backup is damaged; names the file.
    """
    with contextlib.closing(open_source(place)) as source:
        return _restore(source, home)


def _restore(source: Source, home: Path) -> Restored:
    manifest = source.manifest()
    if home.is_symlink() or (home.exists() and not home.is_dir()) or (home.is_dir() and any(home.iterdir())):
        raise StartError(f"{home} is not empty: a backup is restored into a new home; name another.")
    beside = home.with_name(f"{home.name}.restoring")
    try:
        if beside.exists():
            shutil.rmtree(beside)
        beside.mkdir(parents=True, mode=0o700)
        n_objects = _fill(source, manifest, beside)
        _flush_folders(beside)
        if home.exists():
            home.rmdir()
        beside.rename(home)
        flush_folder(home.parent)
    except OSError as error:
        raise StartError(f"{beside} cannot be written: {error.strerror}.") from error
    except StartError:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return Restored(manifest, n_objects)


def _fill(source: Source, manifest: Manifest, home: Path) -> int:
    for file in manifest.files:
        if file.path.startswith("/") or ".." in file.path.split("/"):
            raise StartError(f"{source.place}: {file.path} would lie outside of the home.")
        if file.path != OBJECTS:
            source.copy(file.stored_as, home / file.path, file.sha256)
    listed = home / OBJECTS
    source.copy(manifest.file(OBJECTS).stored_as, listed, manifest.file(OBJECTS).sha256)
    names = set()
    for line in _lines(listed):
        source.copy(line.stored_as, home / line.stored_as, line.sha256)
        (home / line.stored_as).chmod(0o440)
        names.add(line.sha256)
    listed.unlink()
    _check_rows(source, manifest, home / DATABASE, names)
    _write_head(home)
    if not manifest.has_keys and (audit_folder(home) / PUBLIC_KEY).exists():
        (audit_folder(home) / PRIVATE_KEY).unlink(missing_ok=True)
        (audit_folder(home) / PUBLIC_KEY).rename(audit_folder(home) / EARLIER_KEY)
    return len(names)


def _check_rows(source: Source, manifest: Manifest, database: Path, names: set[str]) -> None:
    problem = problem_of(database)
    if problem is not None:
        raise StartError(f"{source.place}: its database is damaged: {problem}.")
    missing = [sha256 for sha256, _ in referenced_objects(database) if sha256 not in names]
    if missing:
        raise StartError(f"{source.place}: {len(missing)} images are not in it, such as {missing[0]}.")
    end = end_of_trail(database)
    if (None if end is None else end[:2]) != (
        None if manifest.audit_seq is None else (manifest.audit_seq, manifest.audit_hash)
    ):
        raise StartError(f"{source.place}: its audit trail does not end where its manifest says.")


def _write_head(home: Path) -> None:
    end = end_of_trail(home / DATABASE)
    if end is not None:
        folder = audit_folder(home)
        folder.mkdir(exist_ok=True, mode=0o700)
        HeadFile(folder / "head").commit(Link(*end), is_forced=True)


def _lines(listed: Path) -> Iterator[ObjectLine]:
    with listed.open(encoding="ascii") as lines:
        for line in lines:
            sha256, _, n_bytes = line.strip().partition(" ")
            yield ObjectLine(check_name(sha256), int(n_bytes))


def _flush_folders(root: Path) -> None:
    for folder, _, _ in os.walk(root):
        flush_folder(Path(folder))
