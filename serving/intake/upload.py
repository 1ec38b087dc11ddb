"""Writes a multipart upload to disk as it arrives, in bounded memory and within limits.

No part is held whole: a file's bytes go from the parser's buffer to a numbered file of the spool folder, so
that a file's name never becomes a path of ours.
"""

import contextlib
import hashlib
import shutil
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from serving.errors import Problem, ServiceError
from serving.intake.archive import FULL_DISK
from serving.intake.pace import Pace

# More than any context field needs: a clinical question of a few pages.
_MAX_FIELD_BYTES = 16 * 1024
_MAX_FIELDS = 32
_MAX_NAME = 255


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """How much one upload may hold, and how slowly it may come; `min_free_bytes` stays free on the disk."""

    max_bytes: int
    max_files: int
    min_free_bytes: int
    pace: Pace = field(default_factory=Pace)


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """One file of an upload: where it lies, and its name as the sender knows it."""

    path: Path
    name: str
    sha256: str


class Received(Protocol):
    """What the intake takes: files that are whole in a folder of the spool, by whatever way they came."""

    folder: Path
    files: list[UploadedFile]

    def scratch(self) -> Path:
        """Make a folder for what comes out of archives; it goes when the upload goes."""

    def fingerprint(self) -> str:
        """Give the SHA-256 of what was sent, by which a repeated request is known."""


@dataclass(slots=True)
class FilesAtHand:
    """An upload whose files are there already, in a folder that its owner removes."""

    folder: Path
    files: list[UploadedFile]

    def scratch(self) -> Path:
        """Make a folder for what comes out of archives."""
        return _scratch_in(self.folder)

    def fingerprint(self) -> str:
        """Give the SHA-256 of what is taken: names and bytes."""
        return _digest_of(self.files).hexdigest()


def _scratch_in(folder: Path) -> Path:
    scratch = folder / "scratch"
    scratch.mkdir()
    return scratch


def _digest_of(files: Iterable[UploadedFile]) -> "hashlib._Hash":
    digest = hashlib.sha256()
    for item in files:
        digest.update(f"{item.name}\0{item.sha256}\0".encode())
    return digest


@dataclass(slots=True)
class _Part:
    headers: dict[str, str] = field(default_factory=dict)
    name: str = ""
    file_name: str | None = None
    stream: BinaryIO | None = None
    path: Path | None = None
    value: bytearray = field(default_factory=bytearray)
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    n_bytes: int = 0


class Upload:
    """An upload on its way in; who opens it closes it.

    Parameters
    ----------
    spool : Path
        A folder on the disk of the object store, so that taking a file is a rename.
    content_type : str
        The request's header.
    limits : UploadLimits
        What is refused.
    declared_bytes : int or None
        The request's Content-Length, checked before a byte is read.

    Attributes
    ----------
    files : list of UploadedFile
        Those that are whole on disk.
    fields : dict of str to str
        The form's other fields; one that came several times has its values with commas between.

    Raises
    ------
    ServiceError
        If it is no multipart upload, or too large.
    """

    media = b"multipart/form-data"
    advice = "send the files as multipart/form-data"

    def __init__(
        self, spool: Path, *, content_type: str, limits: UploadLimits, declared_bytes: int | None = None
    ) -> None:
        kind, options = parse_options_header(content_type)
        if kind.lower() != self.media:
            raise ServiceError(
                Problem.UNSUPPORTED_MEDIA_TYPE,
                f"The request is {content_type[:200] or 'without a content type'}: {self.advice}.",
            )
        boundary = options.get(b"boundary", b"")
        if not boundary:
            raise _malformed("its Content-Type names no boundary")
        self._limits = limits
        self._n_bytes = 0
        self._check_size(declared_bytes or 0)
        self._check_room(spool, declared_bytes or 0)
        self.files: list[UploadedFile] = []
        self.fields: dict[str, str] = {}
        self._part = _Part()
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._is_ended = False
        self._n_begun = 0
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_part_data": self._take_data,
                    "on_part_end": self._end_part,
                    "on_header_field": self._take_header_name,
                    "on_header_value": self._take_header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise _malformed(str(error)) from error
        self.folder = Path(tempfile.mkdtemp(dir=spool))

    def close(self) -> None:
        """Leave nothing behind in the spool folder."""
        if self._part.stream is not None:
            with contextlib.suppress(OSError):  # what it still holds may not fit on the disk either
                self._part.stream.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        self.count(len(data))
        with self.saying_full():
            try:
                self._parser.write(data)
            except FormParserError as error:
                raise _malformed(str(error)) from error

    def count(self, n_bytes: int) -> None:
        """Count bytes that have come.

        Raises
        ------
        ServiceError
            `UPLOAD_TOO_LARGE` if they are too many.
        """
        self._n_bytes += n_bytes
        self._check_size(self._n_bytes)

    @contextlib.contextmanager
    def saying_full(self) -> Iterator[None]:
        """Turn a full disk into the problem that a sender is told."""
        try:
            yield
        except OSError as error:
            if error.errno not in FULL_DISK:
                raise
            raise no_room() from error

    def finish(self) -> None:
        """Check that the body is whole; call it after the last :meth:`feed`."""
        if not self._is_ended:
            raise _malformed(f"it ends within a part, after {self._n_bytes:,} bytes")

    def scratch(self) -> Path:
        """Make a folder for what comes out of archives; it goes when the upload goes."""
        return _scratch_in(self.folder)

    def fingerprint(self) -> str:
        """Give the SHA-256 of what was sent: names, bytes and fields."""
        digest = _digest_of(self.files)
        for name, value in sorted(self.fields.items()):
            digest.update(f"{name}\0{value}\0".encode())
        return digest.hexdigest()

    def _check_size(self, n_bytes: int) -> None:
        if n_bytes > self._limits.max_bytes:
            raise ServiceError(
                Problem.UPLOAD_TOO_LARGE,
                f"The upload is larger than {self._limits.max_bytes:,} bytes: send it in several parts.",
            )

    def _check_room(self, spool: Path, declared_bytes: int) -> None:
        if shutil.disk_usage(spool).free < self._limits.min_free_bytes + declared_bytes:
            raise no_room()

    def _begin_part(self) -> None:
        self._part = _Part()

    def _take_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _take_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        name = self._header_name.decode("latin-1").lower()
        self._part.headers[name] = self._header_value.decode("latin-1")
        self._header_name.clear()
        self._header_value.clear()

    def _end_headers(self) -> None:
        disposition, options = parse_options_header(self._part.headers.get("content-disposition", ""))
        if disposition != b"form-data" or b"name" not in options:
            raise _malformed("a part has no Content-Disposition: form-data with a name")
        self._part.name = options[b"name"].decode("utf-8", "replace")
        if b"filename" not in options:
            if len(self.fields) >= _MAX_FIELDS:
                raise _malformed(f"it has more than {_MAX_FIELDS} fields")
            return
        self._begin_file(readable(options[b"filename"].decode("utf-8", "replace")))

    def _begin_file(self, name: str) -> None:
        self._part.file_name = name
        self._n_begun += 1
        if self._n_begun > self._limits.max_files:
            raise ServiceError(
                Problem.UPLOAD_TOO_LARGE,
                f"The upload has more than {self._limits.max_files:,} files: send fewer at a time, and the "
                "series that matter of a larger study.",
            )
        self._part.path = self.folder / f"{self._n_begun:06d}"
        self._part.stream = self._part.path.open("wb")

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        part.n_bytes += end - start
        if part.stream is not None:
            view = memoryview(data)[start:end]
            part.stream.write(view)
            part.digest.update(view)
        elif part.n_bytes > _MAX_FIELD_BYTES:
            raise _malformed(f"the field {part.name!r} is longer than {_MAX_FIELD_BYTES:,} bytes")
        else:
            part.value += data[start:end]

    def _end_part(self) -> None:
        part = self._part
        if part.stream is None or part.path is None:
            value = part.value.decode("utf-8", "replace").strip()
            known = self.fields.get(part.name)  # boxes of one name that were ticked
            self.fields[part.name] = f"{known},{value}" if known and value else value or known or ""
            return
        part.stream.close()
        part.stream = None
        if not part.file_name and not part.n_bytes:
            part.path.unlink()  # what a browser sends for a file field that was left empty
            return
        name = part.file_name or f"file {len(self.files) + 1}"
        self.files.append(UploadedFile(part.path, name, part.digest.hexdigest()))

    def _end(self) -> None:
        self._is_ended = True


def readable(name: str) -> str:
    """Drop what cannot be shown of a sender's file name; it is text, never a path."""
    return "".join(letter for letter in name if unicodedata.category(letter)[0] != "C")[:_MAX_NAME]


def no_room() -> ServiceError:
    """Make the error of a disk that is full, or would be."""
    return ServiceError(
        Problem.STORAGE_FULL,
        "The server's disk has no room for the upload: nothing was taken; tell its operator.",
    )


def _malformed(problem: str) -> ServiceError:
    return ServiceError(
        Problem.MALFORMED_UPLOAD,
        f"The upload cannot be read: {problem}; send it again as multipart/form-data.",
    )
