"""Unpacks zip archives that strangers send, within limits.

Nothing an archive says of itself is believed: its members are written to numbered files, so that a member's
name never becomes a path of ours, and the bytes that count against the limits are those that come out of the
decompressor. An archive that is hostile as a whole (a bomb, a path that leaves its folder, a link) is refused
whole; a member that is damaged is refused alone, and the others are taken.
"""

import errno
import io
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from data.errors import ImageError, Reason

MEBIBYTE = 1 << 20
CHUNK_BYTES = 1 << 16

# The local header of a first member, or the end record of an archive without members (APPNOTE 4.3.7, 4.3.16).
SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")

# Deflate bounds how much one packed byte can become (1,032); LZMA may ask for a dictionary of 4 GiB at once.
ACCEPTED_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# These refuse an archive whole, also from inside another.
WHOLE = (Reason.ARCHIVE_BOMB, Reason.TOO_MANY_BYTES)

FLAG_ENCRYPTED = 0x1  # APPNOTE 4.4.4, bit 0
FLAG_UTF8_NAME = 0x800  # APPNOTE 4.4.4, bit 11

# What `zipfile` raises on an archive that is not one; each becomes a coded reason.
MALFORMED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
)

# What one entry of a central directory may weigh: 46 bytes, a name and extra fields.
DIRECTORY_BYTES_PER_ENTRY = 512


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """How much an archive may become; archives inside an archive count against the same budget.

    `max_ratio` is checked once `ratio_from_bytes` have come out: an empty CT slice may shrink a thousandfold,
    a whole study does not.
    """

    max_entries: int = 20_000
    max_bytes: int = 4096 * MEBIBYTE
    max_ratio: float = 100.0
    ratio_from_bytes: int = 64 * MEBIBYTE
    max_depth: int = 2


@dataclass(frozen=True, slots=True)
class Member:
    """A file that came out of an archive: where it lies now, and its name as the sender knows it."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What came out of an archive, and the members that could not be taken."""

    members: tuple[Member, ...]
    rejected: tuple[ImageError, ...]


def is_archive(path: Path) -> bool:
    """Whether the file starts as a zip archive does, whatever its name."""
    with path.open("rb") as file:
        return file.read(4) in SIGNATURES


def is_hidden(parts: tuple[str, ...]) -> bool:
    """Whether a file is one that systems leave behind: below a dotted name or macOS's resource forks."""
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def unpack(archive: Path, scratch: Path, *, name: str, limits: ArchiveLimits) -> Unpacked:
    """Unpack an archive into numbered files below `scratch`.

    Hidden members are left out. On a refusal nothing of the archive stays on disk.

    Parameters
    ----------
    archive : Path
        The zip file.
    scratch : Path
        An existing folder; who owns it removes it.
    name : str
        The archive as the sender knows it; members are called ``name/member``.
    limits : ArchiveLimits
        What it may become.

    Raises
    ------
    ImageError
        With `ARCHIVE_BOMB`, `ARCHIVE_UNSAFE_PATH` or `ARCHIVE_CORRUPT` if the archive is refused whole.
    """
    budget = _Budget(name=name, limits=limits, packed_bytes=archive.stat().st_size)
    written: list[Path] = []
    try:
        return _unpack(archive, scratch, name=name, depth=1, budget=budget, written=written)
    except ImageError:
        for path in written:
            path.unlink(missing_ok=True)
        raise


@dataclass
class _Budget:
    """What has come out so far, of the archive and of those inside it."""

    name: str
    limits: ArchiveLimits
    packed_bytes: int
    n_entries: int = 0
    n_bytes: int = 0

    def take_entries(self, n_entries: int) -> None:
        self.n_entries += n_entries
        if self.n_entries > self.limits.max_entries:
            raise self._bomb(f"holds more than {self.limits.max_entries:,} files")

    def take_bytes(self, n_bytes: int) -> None:
        self.n_bytes += n_bytes
        if self.n_bytes > self.limits.max_bytes:
            raise self._bomb(f"unpacks to more than {self.limits.max_bytes:,} bytes")
        if self.n_bytes > max(self.limits.ratio_from_bytes, self.limits.max_ratio * self.packed_bytes):
            raise self._bomb(f"unpacks to more than {self.limits.max_ratio:g} times its size")

    def enter(self, depth: int) -> None:
        if depth > self.limits.max_depth:
            raise self._bomb(f"holds archives nested deeper than {self.limits.max_depth}")

    def _bomb(self, problem: str) -> ImageError:
        return ImageError(self.name, Reason.ARCHIVE_BOMB, problem, "send the images in smaller archives")


class _DirectoryReader(io.BufferedReader):
    """Refuses the one large read of `zipfile`: that of a central directory, whose size a stranger chose."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        super().__init__(io.FileIO(path))
        self._size_bytes = path.stat().st_size
        self._limit_bytes = limit_bytes

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = self._size_bytes - self.tell() if size is None or size < 0 else size
        if wanted > self._limit_bytes:
            raise _DirectoryTooLargeError
        return super().read(size)


class _DirectoryTooLargeError(Exception):
    pass


def _unpack(
    archive: Path, scratch: Path, *, name: str, depth: int, budget: _Budget, written: list[Path]
) -> Unpacked:
    budget.enter(depth)
    # A comment (64 KiB at most) is read together with the end record.
    limit_bytes = budget.limits.max_entries * DIRECTORY_BYTES_PER_ENTRY + (1 << 17)
    with _DirectoryReader(archive, limit_bytes) as file:
        try:
            bundle = zipfile.ZipFile(file)
        except _DirectoryTooLargeError:
            budget.take_entries(budget.limits.max_entries + 1)
            raise
        except (*MALFORMED, OSError) as error:
            raise ImageError(
                name, Reason.ARCHIVE_CORRUPT, f"cannot be opened as a zip archive ({error})", "pack it again"
            ) from error
        with bundle:
            return _take_members(bundle, scratch, name=name, depth=depth, budget=budget, written=written)


def _take_members(
    bundle: zipfile.ZipFile, scratch: Path, *, name: str, depth: int, budget: _Budget, written: list[Path]
) -> Unpacked:
    entries = [entry for entry in bundle.infolist() if not entry.orig_filename.endswith(("/", "\\"))]
    budget.take_entries(len(entries))
    named = [(entry, _member_parts(entry, archive=name)) for entry in entries]
    members: list[Member] = []
    rejected: list[ImageError] = []
    seen: set[str] = set()
    for number, (entry, parts) in enumerate(named, start=1):
        if is_hidden(parts):
            continue
        member = "/".join((name, *parts))
        if member in seen:  # two members of one name are two files; neither may replace the other
            member = f"{member} (entry {number})"
        seen.add(member)
        path = scratch / f"{len(written):06d}"
        written.append(path)
        try:
            _copy(bundle, entry, path, member=member, budget=budget)
        except ImageError as error:
            if error.reason in WHOLE:
                raise
            path.unlink(missing_ok=True)
            rejected.append(error)
            continue
        if not is_archive(path):
            members.append(Member(path, member))
            continue
        try:
            inner = _unpack(path, scratch, name=member, depth=depth + 1, budget=budget, written=written)
        except ImageError as error:
            if error.reason in WHOLE:
                raise
            rejected.append(error)
        else:
            members.extend(inner.members)
            rejected.extend(inner.rejected)
        finally:
            path.unlink(missing_ok=True)
    return Unpacked(tuple(members), tuple(rejected))


def _copy(
    bundle: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, *, member: str, budget: _Budget
) -> None:
    if entry.flag_bits & FLAG_ENCRYPTED:
        raise ImageError(member, Reason.ARCHIVE_CORRUPT, "is encrypted", "pack it again without a password")
    if entry.compress_type not in ACCEPTED_METHODS:
        raise ImageError(
            member,
            Reason.ARCHIVE_CORRUPT,
            f"is packed with method {entry.compress_type}, which is not taken",
            "pack it again with Deflate, the usual method",
        )
    try:
        with bundle.open(entry) as packed, path.open("wb") as plain:
            while chunk := packed.read(CHUNK_BYTES):
                budget.take_bytes(len(chunk))
                plain.write(chunk)
    except OSError as error:
        if error.errno in FULL_DISK:
            raise ImageError(
                budget.name,
                Reason.TOO_MANY_BYTES,
                "does not fit on the disk",
                "free space or send it in parts",
            ) from error
        raise _damaged(member, error) from error
    except MALFORMED as error:
        raise _damaged(member, error) from error


def _damaged(member: str, error: Exception) -> ImageError:
    return ImageError(
        member, Reason.ARCHIVE_CORRUPT, f"is damaged in its archive ({error})", "pack and send it again"
    )


def _member_parts(entry: zipfile.ZipInfo, *, archive: str) -> tuple[str, ...]:
    """Give the folders and the name of a member, or refuse the archive for a path that leaves it."""
    name = _decoded_name(entry)
    parts = PurePosixPath(name.replace("\\", "/")).parts
    mode = entry.external_attr >> 16
    kind = stat.S_IFMT(mode)
    if kind and not stat.S_ISREG(mode):
        problem = f"holds {name!r}, which is a link or a device"
    elif not parts or "\0" in name:
        problem = f"holds a file without a usable name ({name!r})"
    elif parts[0] == "/" or PureWindowsPath(name).drive:
        problem = f"holds {name!r}, an absolute path"
    elif ".." in parts:
        problem = f"holds {name!r}, which leads out of the archive"
    else:
        return parts
    raise ImageError(archive, Reason.ARCHIVE_UNSAFE_PATH, problem, "pack the images themselves again")


def _decoded_name(entry: zipfile.ZipInfo) -> str:
    """Give a member's name, mended where `zipfile` took Chinese bytes for code page 437.

    Windows in Chinese writes names in GBK without saying so; UTF-8 is tried first because random GBK text
    is hardly ever valid UTF-8.
    """
    name = entry.orig_filename
    if entry.flag_bits & FLAG_UTF8_NAME or name.isascii():
        return name
    stored = name.encode("cp437")
    for encoding in ("utf-8", "gb18030"):
        try:
            return stored.decode(encoding)
        except UnicodeDecodeError:
            continue
    return name
