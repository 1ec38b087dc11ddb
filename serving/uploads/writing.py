"""Writes the bytes of one request behind those that have come, and tells none before they are on the disk."""

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import BinaryIO, Final

from filelock import FileLock

from serving.errors import Problem, ServiceError
from serving.intake.archive import FULL_DISK
from serving.intake.upload import no_room
from serving.store.audit_chain import ActorKind, Who
from serving.store.database import Database
from serving.store.objects import hash_file
from serving.store.uploads import StoredUpload, say_received
from serving.uploads.kept import KeptFiles
from serving.uploads.protocol import Checksum

# So often what has come of a long request is made certain: that much is sent again if the server dies, and on
# a poor line no more than came in some seconds.
BYTES_AT_RISK: Final = 8 * 1024 * 1024
SECONDS_AT_RISK: Final = 5.0


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends: `owner` is the name by which alone what they send is found again."""

    site: str
    who: Who
    owner: str

    @classmethod
    def of(cls, site: str, who: Who, account: str | None) -> "Sender":
        """Give the sender of a caller: an account is one, whatever it is called meanwhile."""
        return cls(site, who, f"account:{account}" if account else f"{who.kind}:{who.name}")


def as_row(who: Who) -> dict[str, object]:
    """Write down who said something, for a later process to say so in the trail."""
    return asdict(who)


def as_who(row: Mapping[str, object]) -> Who:
    """Read what :func:`as_row` wrote."""
    texts = {name: None if value is None else str(value) for name, value in row.items()}
    return Who(
        ActorKind(str(texts["kind"])),
        str(texts["name"]),
        texts["verified_identity"],
        texts["address"],
        texts["request_id"],
    )


class Writer:
    """One request at one file; who opens it closes it.

    Parameters
    ----------
    upload : StoredUpload
        As its row is now; the lock is held.
    checksum : Checksum or None
        What all bytes of the request must have; then none of them counts before the last has come.
    """

    def __init__(
        self,
        upload: StoredUpload,
        sender: Sender,
        lock: FileLock,
        *,
        kept: KeptFiles,
        database: Database,
        checksum: Checksum | None,
        clock: Callable[[], int],
        keep_us: int,
    ) -> None:
        self._upload = upload
        self._sender = sender
        self._lock = lock
        self._kept = kept
        self._database = database
        self._clock = clock
        self._keep_us = keep_us
        self._checksum = checksum
        self._digest = None if checksum is None else checksum.begin()
        # Whoever sends a file in one go spares it a second reading.
        self._whole = hashlib.sha256() if upload.n_received == 0 else None
        self._stream: BinaryIO | None = None
        self._n_written = upload.n_received
        self._kept_at_s = time.monotonic()
        self.n_received = upload.n_received
        self.expires_at_us = upload.batch.expires_at_us

    @property
    def is_whole(self) -> bool:
        """Whether all of the file has come."""
        return self.n_received == self._upload.n_bytes

    def feed(self, data: bytes) -> None:
        """Take the next bytes.

        Raises
        ------
        ServiceError
            `UPLOAD_TOO_LARGE` if they are more than were announced; `STORAGE_FULL`.
        """
        if not data:
            return
        if self._n_written + len(data) > self._upload.n_bytes:
            raise too_long(self._upload)
        try:
            if self._stream is None:
                self._stream = self._kept.open_at(self._upload.key, self._upload.n_received)
            self._stream.write(data)
        except OSError as error:
            if error.errno not in FULL_DISK:
                raise
            raise no_room() from error
        self._n_written += len(data)
        if self._whole is not None:
            self._whole.update(data)
        if self._digest is not None:
            self._digest.update(data)
        elif (
            self._n_written - self.n_received >= BYTES_AT_RISK
            or time.monotonic() - self._kept_at_s >= SECONDS_AT_RISK
        ):
            self._keep()

    def finish(self) -> None:
        """Make certain what has come; call it after the last :meth:`feed`.

        Raises
        ------
        ServiceError
            `CHECKSUM_MISMATCH` if it is not what was said; then nothing of the request is kept.
        """
        if (
            self._checksum is not None
            and self._digest is not None
            and self._digest.digest() != self._checksum.digest
        ):
            raise ServiceError(
                Problem.CHECKSUM_MISMATCH,
                f"The bytes have not the {self._checksum.algorithm} that Upload-Checksum says: nothing of "
                "them was kept; send them again.",
                headers={"Upload-Offset": str(self.n_received)},
            )
        self._keep()

    def cut(self) -> None:
        """Make certain what has come of a request that was cut off, unless it can no longer be checked."""
        if self._checksum is None:
            self._keep()

    def close(self) -> None:
        """Let the next request at the file."""
        try:
            if self._stream is not None:
                self._stream.close()
        finally:
            self._lock.release()

    def _keep(self) -> None:
        upload = self._upload
        if self._n_written == self.n_received and (upload.n_bytes or upload.state != "open"):
            return
        try:
            if self._stream is not None:
                self._stream.flush()
                os.fsync(self._stream.fileno())
        except OSError as error:
            if error.errno not in FULL_DISK:
                raise
            raise no_room() from error
        if self._n_written < upload.n_bytes:
            self._say(self._n_written)
            return
        sha256 = self._sha256()
        if upload.said_sha256 not in {None, sha256}:
            self._say(0)
            raise ServiceError(
                Problem.CHECKSUM_MISMATCH,
                f"The file has the SHA-256 {sha256}, and {upload.said_sha256} was announced: something was "
                "changed on its way, or the file itself was while it was sent; send it from the beginning.",
                headers={"Upload-Offset": "0"},
            )
        self._say(self._n_written, sha256)

    def _sha256(self) -> str:
        if self._whole is not None:
            return self._whole.hexdigest()
        return hash_file(self._kept.path_of(self._upload.key)).sha256

    def _say(self, n_received: int, sha256: str | None = None) -> None:
        now_us = self._clock()
        expires_at_us = now_us + self._keep_us
        with self._database.writing() as connection:
            is_open = say_received(
                connection,
                self._upload,
                n_received,
                sha256=sha256,
                said_by=as_row(self._sender.who),
                now_us=now_us,
                expires_at_us=expires_at_us,
            )
        if not is_open:
            raise gone()
        self.n_received, self.expires_at_us = n_received, expires_at_us
        self._kept_at_s = time.monotonic()


def too_long(upload: StoredUpload) -> ServiceError:
    """Make the error of a file that is longer than was announced."""
    return ServiceError(
        Problem.UPLOAD_TOO_LARGE,
        f"The file was announced with {upload.n_bytes:,} bytes, and more come: end this upload and announce "
        "it with its true Upload-Length.",
        headers={"Upload-Offset": str(upload.n_received)},
    )


def gone() -> ServiceError:
    """Make the error of an upload that was ended, or that nobody went on with in time."""
    return ServiceError(
        Problem.UPLOAD_GONE,
        "This upload was ended, or not gone on with in time, and its bytes are gone: send the file anew.",
    )
