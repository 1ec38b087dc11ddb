"""Where a backup lies: a folder, to which the next adds what is new, or one file (tar)."""

import hashlib
import io
import os
import shutil
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from serving.backup.manifest import MANIFEST, Manifest, read_manifest
from serving.errors import StartError
from serving.store.objects import CHUNK_BYTES

_PARTIAL = ".partial"
_SETS = "sets"
_OBJECTS = "objects"


class Target(ABC):
    """Takes the files of a backup; nothing counts before :meth:`finish`."""

    @abstractmethod
    def has(self, name: str, n_bytes: int) -> bool:
        """Whether a file of this name and size is there from an earlier backup."""

    @abstractmethod
    def put(self, name: str, source: Path) -> tuple[str, int]:
        """Copy a file; gives the SHA-256 and size of what was read."""

    @abstractmethod
    def forget(self, name: str) -> None:
        """Remove a file that was put just now and is not what it should be."""

    @abstractmethod
    def finish(self, manifest: Manifest) -> None:
        """Make the backup count, durably and at once."""

    @abstractmethod
    def close(self) -> None:
        """Leave nothing open, and nothing half-written where it can be taken for a backup."""


class FolderTarget(Target):
    """A folder: images by their hashes, and one set of the other files."""

    def __init__(self, folder: Path) -> None:
        if folder.exists() and not folder.is_dir():
            raise StartError(f"{folder} is no folder: name one, or a file that ends with .tar.")
        known = {MANIFEST, _SETS, _OBJECTS}
        if folder.is_dir() and not {path.name.removesuffix(_PARTIAL) for path in folder.iterdir()} <= known:
            raise StartError(f"{folder} holds other things than a backup: name an empty folder.")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder

    def close(self) -> None:
        """Do nothing: what is half-written has a name of its own."""

    def has(self, name: str, n_bytes: int) -> bool:
        """Whether a file of this name and size is there."""
        path = self._folder / name
        return path.is_file() and path.stat().st_size == n_bytes

    def put(self, name: str, source: Path) -> tuple[str, int]:
        """Copy a file under a temporary name, flush it, and rename it."""
        target = self._folder / name
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = target.with_name(target.name + _PARTIAL)
        with source.open("rb") as read, _private(partial) as written:
            digest, n_bytes = _copy(read, written)
        partial.replace(target)
        return digest, n_bytes

    def forget(self, name: str) -> None:
        """Remove a file."""
        (self._folder / name).unlink(missing_ok=True)

    def finish(self, manifest: Manifest) -> None:
        """Put the manifest in place, then drop the sets of earlier backups."""
        for folder in {(self._folder / one.stored_as).parent for one in manifest.files}:
            flush_folder(folder)
        for folder in (self._folder / _OBJECTS).glob("*"):
            flush_folder(folder)
        partial = self._folder / f"{MANIFEST}{_PARTIAL}"
        with _private(partial) as written:
            written.write(manifest.encoded())
        partial.replace(self._folder / MANIFEST)
        flush_folder(self._folder)
        kept = {one.stored_as.split("/")[1] for one in manifest.files}
        for folder in (self._folder / _SETS).iterdir():
            if folder.name not in kept:
                shutil.rmtree(folder)


class TarTarget(Target):
    """One new file."""

    def __init__(self, file: Path) -> None:
        if file.exists():
            raise StartError(f"{file} is there already: name a new file, or a folder to add to.")
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = file
        self._partial = file.with_name(file.name + _PARTIAL)
        self._stream = _opened(self._partial)
        self._tar = tarfile.TarFile(fileobj=self._stream, mode="w", format=tarfile.PAX_FORMAT)

    def has(self, name: str, n_bytes: int) -> bool:
        """Nothing is there."""
        del name, n_bytes
        return False

    def put(self, name: str, source: Path) -> tuple[str, int]:
        """Append a file."""
        with source.open("rb") as read:
            member = tarfile.TarInfo(name)
            member.size = os.fstat(read.fileno()).st_size
            member.mode = 0o600
            hashing = _Hashing(read)
            self._tar.addfile(member, hashing)
        return hashing.digest.hexdigest(), member.size

    def forget(self, name: str) -> None:
        """Do nothing: nothing can be taken out of it, so :meth:`close` drops the whole."""
        del name

    def close(self) -> None:
        """Drop what was not finished."""
        self._stream.close()
        self._partial.unlink(missing_ok=True)

    def finish(self, manifest: Manifest) -> None:
        """Append the manifest, flush, and give the file its name."""
        content = manifest.encoded()
        member = tarfile.TarInfo(MANIFEST)
        member.size, member.mode = len(content), 0o600
        self._tar.addfile(member, io.BytesIO(content))
        self._tar.close()
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        self._partial.replace(self._file)
        flush_folder(self._file.parent)


class Source(ABC):
    """Gives the files of a backup."""

    place: str

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """Open a file; raises `StartError` if it is not there."""

    @abstractmethod
    def close(self) -> None:
        """Leave nothing open."""

    def manifest(self) -> Manifest:
        """Read what the backup says of itself."""
        with self.open(MANIFEST) as content:
            return read_manifest(content.read(), self.place)

    def copy(self, name: str, target: Path, sha256: str) -> None:
        """Copy a file out of the backup, durably; raises `StartError` if it is not what it was."""
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.open(name) as read, _private(target) as written:
            try:
                digest, _ = _copy(read, written)
            except (tarfile.TarError, EOFError) as error:
                raise _damaged(self.place, name) from error
        if digest != sha256:
            raise _damaged(self.place, name)


class FolderSource(Source):
    """A folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.place = str(folder)

    def close(self) -> None:
        """Do nothing: each file is closed by who opened it."""

    def open(self, name: str) -> BinaryIO:
        """Open a file."""
        try:
            return (self._folder / name).open("rb")
        except OSError as error:
            raise StartError(f"{self._folder / name} cannot be read: {error.strerror}.") from error


class TarSource(Source):
    """A file."""

    def __init__(self, file: Path) -> None:
        self.place = str(file)
        stream = file.open("rb")
        try:
            self._tar = tarfile.TarFile(fileobj=stream)
            self._members = {member.name: member for member in self._tar.getmembers()}
        except (OSError, tarfile.TarError) as error:
            stream.close()
            raise StartError(f"{file} is no backup, or is cut off: {error}.") from error
        self._stream = stream

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def open(self, name: str) -> BinaryIO:
        """Open a member."""
        member = self._members.get(name)
        stream = None if member is None else self._tar.extractfile(member)
        if stream is None:
            raise StartError(f"{self.place}: {name} is not in it, so it is no whole backup.")
        return stream  # type: ignore[return-value] # a buffered reader


def open_target(place: Path) -> Target:
    """Open the place of a backup that is to be made."""
    return TarTarget(place) if place.suffix == ".tar" else FolderTarget(place)


def open_source(place: Path) -> Source:
    """Open a backup.

    Raises
    ------
    StartError
        If there is none.
    """
    if place.is_dir():
        return FolderSource(place)
    if place.is_file():
        return TarSource(place)
    raise StartError(f"there is no backup {place}.")


class _Hashing:
    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        chunk = self._stream.read(size)
        self.digest.update(chunk)
        return chunk


def _copy(read: BinaryIO, written: BinaryIO) -> tuple[str, int]:
    digest, n_bytes = hashlib.sha256(), 0
    while chunk := read.read(CHUNK_BYTES):
        digest.update(chunk)
        n_bytes += len(chunk)
        written.write(chunk)
    return digest.hexdigest(), n_bytes


def _opened(path: Path) -> BinaryIO:
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


@contextmanager
def _private(path: Path) -> Iterator[BinaryIO]:
    """Write a file that its owner alone can read, and flush it."""
    with _opened(path) as written:
        yield written
        written.flush()
        os.fsync(written.fileno())


def flush_folder(folder: Path) -> None:
    """Have the names in a folder reach the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _damaged(place: str, name: str) -> StartError:
    return StartError(
        f"{place}/{name} is damaged: it has not the bytes that were backed up. Nothing was restored; take "
        "another copy of this backup."
    )
