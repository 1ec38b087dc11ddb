"""Objects in a folder of this machine, at ``<first two digits>/<SHA-256>``.

A file is written under a temporary name, flushed to the disk, renamed to the hash of its bytes, and the
folder that now lists it is flushed as well (a rename alone does not survive a power cut). So a process may
end at any moment: either the whole object is there, or no object is.
"""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from serving.errors import Problem, ServiceError
from serving.store.objects import (
    ASIDE,
    KeptObject,
    ObjectStore,
    StoredObject,
    check_name,
    chunks_of,
    damaged,
    gone,
    hash_file,
    is_name,
    note_down,
    verified,
)

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PREFIX = ".writing-"
_PROBE_BYTES = 4096


class LocalObjects(ObjectStore):
    """Objects in a folder.

    Parameters
    ----------
    folder : Path
        Made if it does not exist.
    is_durable : bool
        Whether to flush to the disk; a cache need not.
    min_free_bytes : int
        :meth:`check_writable` finds a disk with less than this full.
    """

    def __init__(self, folder: Path, *, is_durable: bool = True, min_free_bytes: int = 0) -> None:
        self.folder = folder
        self._is_durable = is_durable
        self._min_free_bytes = min_free_bytes
        self._seen_whole: dict[str, tuple[int, int]] = {}
        self._listed: set[Path] = set()
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def place(self) -> str:
        """The folder."""
        return str(self.folder)

    def path_of(self, sha256: str, *, aside: bool = False) -> Path:
        """Give the place of an object, whether or not it is there."""
        check_name(sha256)
        return self.folder / ASIDE / sha256 if aside else self.folder / sha256[:2] / sha256

    def put(self, stream: BinaryIO) -> StoredObject:
        """Store what `stream` gives; when this returns, it is durable."""
        with self._saying_full(), _temporary(self.folder) as written:
            with written.open("wb") as file:
                for chunk in chunks_of(stream):
                    file.write(chunk)
            return self.take([written])[written]

    def get(self, sha256: str) -> Iterator[bytes]:
        """Give an object's bytes; raises at the end if they are not those that were stored."""
        try:
            stream = self._found(sha256).open("rb")
        except FileNotFoundError as error:
            raise gone(sha256) from error
        with stream:
            yield from verified(chunks_of(stream), sha256)

    def head(self, sha256: str, *, aside: bool = False) -> KeptObject | None:
        """Give an object's size and age, None if it is not there."""
        return _kept(self.path_of(sha256, aside=aside))

    def each(self, *, aside: bool = False) -> Iterator[KeptObject]:
        """Give every object, a folder at a time."""
        folders = [self.folder / ASIDE] if aside else sorted(self.folder.glob("[0-9a-f][0-9a-f]"))
        for folder in folders:
            for path in folder.iterdir() if folder.is_dir() else ():
                kept = _kept(path) if is_name(path.name) else None
                if kept is not None:
                    yield kept

    def remove(self, sha256: str, *, aside: bool = False) -> None:
        """Remove an object that nobody refers to; one that is not there is no error."""
        self.path_of(sha256, aside=aside).unlink(missing_ok=True)

    def set_aside(self, sha256: str, *, back: bool = False) -> bool:
        """Hide an object, or bring it `back`, by a rename; says whether there was one."""
        source, target = self.path_of(sha256, aside=back), self.path_of(sha256, aside=not back)
        target.parent.mkdir(exist_ok=True)
        try:
            source.replace(target)
        except FileNotFoundError:
            return False
        os.utime(target)
        self._flush_folders({source.parent, target.parent, self.folder})
        return True

    def take(self, files: Iterable[Path], *, note: Path | None = None) -> dict[Path, StoredObject]:
        """Move files into the store, by a rename where they are of the same disk.

        A file whose bytes are already stored stays where it is; the stored one counts as put now.
        """
        stored: dict[Path, StoredObject] = {}
        touched: set[Path] = set()
        with self._saying_full():
            for file in files:
                item = hash_file(file)
                target = self.path_of(item.sha256)
                note_down(note, item.sha256)
                target.parent.mkdir(exist_ok=True)
                was_there = target.is_file()
                if not self._touched_whole(item, target):
                    self._move(file, target)
                # Also for what is there already: another upload may have put it there and not flushed it yet.
                touched.add(target.parent)
                stored[file] = StoredObject(item.sha256, item.n_bytes, was_there)
            # That the store lists a folder of objects is flushed once: no such folder is ever taken away.
            unlisted = touched - self._listed
            self._flush_folders(touched | ({self.folder} if unlisted else set()))
            self._listed |= unlisted
        return stored

    def checked(self, sha256: str) -> Path:
        """Give the path of an object whose bytes are what its name says.

        A file is hashed at its first reading and again only if its size or time of change is new.

        Raises
        ------
        ServiceError
            `OBJECT_DAMAGED` if the bytes are not those that were stored, or are gone.
        """
        path = self._found(sha256)
        try:
            status = path.stat()
            mark = (status.st_size, status.st_mtime_ns)
            if self._seen_whole.get(sha256) != mark:
                if hash_file(path).sha256 != sha256:
                    raise damaged(sha256)
                self._remember(sha256, mark)
        except FileNotFoundError as error:
            raise gone(sha256) from error
        return path

    def check_writable(self) -> int:
        """Write a block to the disk and remove it; gives the time that the disk's clock shows."""
        free = shutil.disk_usage(self.folder).free
        if free < self._min_free_bytes:
            raise ServiceError(
                Problem.STORAGE_FULL,
                f"The disk of {self.folder} has {free:,} bytes free, fewer than {self._min_free_bytes:,}: "
                "make room, or run `firstread admin collect`.",
            )
        try:
            with self._saying_full(), _temporary(self.folder) as probe:
                probe.write_bytes(bytes(_PROBE_BYTES))
                self._flush_file(probe)
                return probe.stat().st_mtime_ns // 1000
        except OSError as error:
            raise ServiceError(
                Problem.STORAGE_UNAVAILABLE,
                f"The folder {self.folder} cannot be written ({error.strerror}): mend its disk or rights.",
            ) from error

    def clear_unfinished(self, *, before_us: int) -> int:
        """Remove the temporary files of processes that ended while they wrote."""
        n_removed = 0
        for path in self.folder.glob(f"{_PREFIX}*"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime_ns // 1000 < before_us:
                    path.unlink()
                    n_removed += 1
        return n_removed

    def _found(self, sha256: str) -> Path:
        path = self.path_of(sha256)
        if not path.exists():  # someone still asks for it: if it was set aside, then by mistake
            self.set_aside(sha256, back=True)
        return path

    def _move(self, file: Path, target: Path) -> None:
        file.chmod(0o440)
        self._flush_file(file)
        os.utime(file)  # its age counts from now, not from when the sender began
        try:
            file.replace(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            with _temporary(self.folder) as copied:  # of another disk
                shutil.copyfile(file, copied)
                copied.chmod(0o440)
                self._flush_file(copied)
                copied.replace(target)
            file.unlink()

    def _touched_whole(self, item: StoredObject, target: Path) -> bool:
        # A damaged object is replaced by the good bytes that have just come in.
        try:
            os.utime(target)
            return target.stat().st_size == item.n_bytes and hash_file(target).sha256 == item.sha256
        except FileNotFoundError:
            return False

    def _remember(self, sha256: str, mark: tuple[int, int]) -> None:
        if len(self._seen_whole) >= 100_000:  # about 20 MB of marks
            self._seen_whole.clear()
        self._seen_whole[sha256] = mark

    def _flush_file(self, file: Path) -> None:
        if self._is_durable:
            with file.open("rb") as stream:
                os.fsync(stream.fileno())

    def _flush_folders(self, folders: Iterable[Path]) -> None:
        if not self._is_durable or os.name == "nt":
            return  # Windows has no handle on a folder; NTFS journals the rename itself
        for folder in folders:
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    @contextlib.contextmanager
    def _saying_full(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise ServiceError(
                Problem.STORAGE_FULL,
                "The server's disk has no room for the images: nothing was taken; tell its operator.",
            ) from error


def _kept(path: Path) -> KeptObject | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return KeptObject(path.name, status.st_size, status.st_mtime_ns // 1000)


@contextlib.contextmanager
def _temporary(folder: Path) -> Iterator[Path]:
    """Give a file that is gone at the end, unless it was moved."""
    handle, name = tempfile.mkstemp(prefix=_PREFIX, dir=folder)
    os.close(handle)
    path = Path(name)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
