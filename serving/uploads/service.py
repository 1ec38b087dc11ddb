"""Takes files in pieces, each piece certain before it is told, and ends in the intake as every door does.

A file that is announced with a batch waits until its sender calls the batch whole; one without is a batch by
itself, whole with its last byte. Whatever happens to the line, the page or the server in between, the sender
asks how much has come and goes on from there.
"""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from serving.errors import Problem, ServiceError
from serving.intake.context import read_context
from serving.intake.service import Intake, Outcome
from serving.intake.upload import no_room
from serving.store.tenancy import Scope
from serving.store.uploads import (
    StoredBatch,
    StoredUpload,
    Unfinished,
    add_fields,
    begin_batch,
    begin_upload,
    close_batch,
    closing_batches,
    end_upload,
    expire,
    files_of,
    find_batch,
    find_upload,
    forget,
    hold_site,
    needed,
    unfinished_of,
)
from serving.uploads.announced import Announced, check_batch, joined, read_announced
from serving.uploads.kept import KeptFiles
from serving.uploads.protocol import Checksum, read_metadata
from serving.uploads.taking import Taking, told
from serving.uploads.writing import Sender, Writer, as_row, gone, too_long

if TYPE_CHECKING:  # the database has one home, the store
    from sqlalchemy import Connection

log = logging.getLogger(__name__)

_HOUR_US = 3600 * 1_000_000

# Nobody lists a batch of more.
_MOST_NAMED = 20
_FILES_A_LOOK = 500
_BATCHES_A_LOOK = 100


@dataclass(frozen=True, slots=True)
class UploadTerms:
    """How much may be on its way, and for how long.

    Parameters
    ----------
    max_unfinished_bytes, max_unfinished_files : int
        Of one site, as announced.
    keep_h : float, h
        So long after the last piece an upload is given up.
    told_h : float, h
        So long the answer to one that ended is known.
    idle_s : float, s
        A request that brings nothing for so long is ended, and what came of it counts: its line is dead,
        and its sender comes again on another one.
    """

    max_unfinished_bytes: int = 20 * 1024**3
    max_unfinished_files: int = 20_000
    keep_h: float = 48.0
    told_h: float = 7 * 24.0
    idle_s: float = 20.0


@dataclass(frozen=True)
class Uploads:
    """The uploads of one intake."""

    intake: Intake
    kept: KeptFiles
    terms: UploadTerms = field(default_factory=UploadTerms)

    @property
    def taking(self) -> Taking:
        """What hands whole batches on."""
        return Taking(self.intake, self.kept)

    def announce(self, n_bytes: int, metadata: str, *, sender: Sender) -> StoredUpload:
        """Open a place for a file of which nothing has come yet.

        Raises
        ------
        ServiceError
            If it is too large, says of itself what cannot be, or too much is on its way already.
        """
        announced = read_announced(read_metadata(metadata))
        self._check_room(n_bytes)
        now_us = self.intake.clock()
        with self.intake.database.writing() as connection:
            hold_site(connection, site=sender.site)
            self._check_site(unfinished_of(connection, site=sender.site), n_bytes)
            batch = self._batch_of(connection, announced, n_bytes, sender=sender, now_us=now_us)
            return begin_upload(
                connection,
                batch,
                name=announced.name,
                metadata=metadata,
                n_bytes=n_bytes,
                said_sha256=announced.sha256,
                now_us=now_us,
            )

    def find(self, key: str, *, sender: Sender) -> StoredUpload:
        """Give a file that is on its way, or has come.

        Raises
        ------
        ServiceError
            `NOT_FOUND` if this sender has none of that key; `UPLOAD_GONE` if it was ended or given up.
        """
        with self.intake.database.reading() as connection:
            found = find_upload(connection, scope=Scope.of(sender.site), owner=sender.owner, key=key)
        if found is None:
            raise ServiceError(Problem.NOT_FOUND, "There is no such upload, or it is another sender's.")
        if found.state == "ended" or self._is_over(found.batch, self.intake.clock()):
            raise gone()
        return found

    def find_files(self, key: str, *, sender: Sender) -> tuple[StoredBatch, list[StoredUpload]]:
        """Give a batch by its sender's word for it, and its files.

        Raises
        ------
        ServiceError
            `NOT_FOUND` if this sender has none of that name.
        """
        check_batch(key)
        with self.intake.database.reading() as connection:
            batch = find_batch(connection, scope=Scope.of(sender.site), owner=sender.owner, key=key)
            if batch is None:
                raise ServiceError(Problem.NOT_FOUND, "There is no such batch, or it is another sender's.")
            return batch, files_of(connection, batch)

    def write(
        self,
        key: str,
        *,
        sender: Sender,
        offset: int,
        n_declared: int | None = None,
        checksum: Checksum | None = None,
    ) -> Writer:
        """Let one request at a file, if it goes on where the last one ended.

        Raises
        ------
        ServiceError
            `OFFSET_MISMATCH` if it does not; `UPLOAD_BUSY` if another one is at it; `UPLOAD_TOO_LARGE` if it
            declares more than is missing; as :meth:`find` does.
        """
        self.find(key, sender=sender)
        lock = self.kept.locked(key)
        try:
            upload = self.find(key, sender=sender)  # as the request before left it
            if offset != upload.n_received:
                raise ServiceError(
                    Problem.OFFSET_MISMATCH,
                    f"{upload.n_received:,} bytes of this upload have come, and the request goes on at "
                    f"{offset:,}: ask for the offset (HEAD), and go on from there.",
                    headers={"Upload-Offset": str(upload.n_received)},
                )
            if n_declared is not None and offset + n_declared > upload.n_bytes:
                raise too_long(upload)
        except ServiceError:
            lock.release()
            raise
        return Writer(
            upload,
            sender,
            lock,
            kept=self.kept,
            database=self.intake.database,
            checksum=checksum,
            clock=self.intake.clock,
            keep_us=self._keep_us,
        )

    def end(self, key: str, *, sender: Sender) -> None:
        """End a file that its sender no longer wants.

        Raises
        ------
        ServiceError
            `CONFLICT` if it was taken already; as :meth:`write` does.
        """
        with self.kept.alone_at(self.find(key, sender=sender).key):
            upload = self.find(key, sender=sender)
            with self.intake.database.writing() as connection:
                is_ended = end_upload(connection, upload, now_us=self.intake.clock())
            if not is_ended:
                raise ServiceError(
                    Problem.CONFLICT, "This upload was called whole already: it is taken, or about to be."
                )
            self.kept.path_of(key).unlink(missing_ok=True)

    def settle(self, key: str, *, sender: Sender) -> Outcome | None:
        """Take a file that is a batch by itself and has come whole; None for one of a sender's batch."""
        upload = self.find(key, sender=sender)
        return self.taking.take(upload.batch) if upload.batch.is_single else None

    def complete(
        self, key: str, *, sender: Sender, n_files: int | None, fields: Mapping[str, object]
    ) -> Outcome:
        """Take all files of a batch, as its sender says that there will be no more.

        Parameters
        ----------
        n_files : int or None
            How many the sender counts.
        fields : mapping of str to object
            The study's context; counts before what was said with the files.

        Raises
        ------
        ServiceError
            `CONFLICT` if a file is not whole, or they are not so many; `INVALID_REQUEST` if a field is not
            one that can be; `NOTHING_TAKEN` if no file could be taken.
        """
        batch, _ = self.find_files(key, sender=sender)
        now_us = self.intake.clock()
        if batch.state in {"taken", "refused"} or self._is_over(batch, now_us):
            return told(batch)
        said = {**batch.fields, **fields}
        read_context(said)
        with self.intake.database.writing() as connection:
            hold_site(connection, site=sender.site)  # nobody announces another file meanwhile
            _check_whole(files_of(connection, batch), n_files)
            close_batch(connection, batch, fields=said, said_by=as_row(sender.who), now_us=now_us)
        return self.taking.take(batch)

    def keep_house(self) -> None:
        """Take what was called whole and is not taken, give up what nobody goes on with, and clear away."""
        now_us = self.intake.clock()
        database = self.intake.database
        with database.reading() as connection:
            closing = closing_batches(connection, scope=Scope(None), at_most=_BATCHES_A_LOOK)
        for batch in closing:
            try:
                self.taking.take(batch)
            except ServiceError as error:
                if error.problem in {Problem.UPLOAD_BUSY, Problem.NOTHING_TAKEN}:
                    continue
                log.warning(
                    "a batch of uploads cannot be taken: %s", error.problem, extra={"site": batch.site}
                )
                if batch.expires_at_us <= now_us:
                    self.taking.give_up(batch, error)
        with database.writing() as connection:
            n_expired = expire(connection, now_us=now_us)
            forget(connection, before_us=now_us - int(self.terms.told_h * _HOUR_US))
        if n_expired:
            log.info("%d uploads were given up: nobody went on with them", n_expired)
        self._clear(now_us)

    @property
    def _keep_us(self) -> int:
        return int(self.terms.keep_h * _HOUR_US)

    @staticmethod
    def _is_over(batch: StoredBatch, now_us: int) -> bool:
        return batch.state == "expired" or (batch.state == "open" and batch.expires_at_us <= now_us)

    def _check_room(self, n_bytes: int) -> None:
        limits = self.intake.limits
        if n_bytes > limits.max_bytes:
            raise ServiceError(
                Problem.UPLOAD_TOO_LARGE,
                f"The file has {n_bytes:,} bytes, more than {limits.max_bytes:,}: send less at a time.",
            )
        if shutil.disk_usage(self.kept.folder).free < limits.min_free_bytes + n_bytes:
            raise no_room()

    def _check_site(self, unfinished: Unfinished, n_bytes: int) -> None:
        terms = self.terms
        if (
            unfinished.n_bytes + n_bytes > terms.max_unfinished_bytes
            or unfinished.n_files >= terms.max_unfinished_files
        ):
            raise ServiceError(
                Problem.TOO_MUCH_UNFINISHED,
                f"{unfinished.n_files:,} files of {unfinished.n_bytes:,} bytes of this site are on their way "
                "and not finished, and no more may be: finish them, or end those that nobody goes on with.",
            )

    def _batch_of(
        self, connection: "Connection", announced: Announced, n_bytes: int, *, sender: Sender, now_us: int
    ) -> StoredBatch:
        batch: StoredBatch | None = None
        if announced.batch is not None:
            scope = Scope.of(sender.site)
            batch = find_batch(connection, scope=scope, owner=sender.owner, key=announced.batch)
        if batch is None:
            return begin_batch(
                connection,
                site=sender.site,
                owner=sender.owner,
                key=announced.batch,
                fields=announced.fields,
                now_us=now_us,
                expires_at_us=now_us + self._keep_us,
            )
        self._check_batch_takes(batch, now_us)
        limits = self.intake.limits
        part = unfinished_of(connection, site=sender.site, batch_id=batch.id)
        if part.n_files >= limits.max_files or part.n_bytes + n_bytes > limits.max_bytes:
            raise ServiceError(
                Problem.UPLOAD_TOO_LARGE,
                f"The batch {batch.key} would have more than {limits.max_files:,} files or "
                f"{limits.max_bytes:,} bytes: send it in several.",
            )
        add_fields(connection, batch, joined(batch.fields, announced.fields))
        return batch

    def _check_batch_takes(self, batch: StoredBatch, now_us: int) -> None:
        if self._is_over(batch, now_us):
            raise gone()
        if batch.state != "open":
            raise ServiceError(
                Problem.CONFLICT,
                f"The batch {batch.key} was called whole already: send what comes later under another name.",
            )

    def _clear(self, now_us: int) -> None:
        # A file may be there a moment before its row says so, and a lock while nothing has come.
        keys = self.kept.untouched(before_s=now_us / 1e6 - self.terms.idle_s - 3600)
        for start in range(0, len(keys), _FILES_A_LOOK):
            some = keys[start : start + _FILES_A_LOOK]
            with self.intake.database.reading() as connection:
                spared = needed(connection, some)
            for key in some:
                if key not in spared:
                    self.kept.remove(key)


def _check_whole(files: Sequence[StoredUpload], n_files: int | None) -> None:
    missing = [upload for upload in files if upload.state != "whole"]
    if missing:
        named = ", ".join(
            f"{one.name} ({one.n_received:,} of {one.n_bytes:,} bytes)" for one in missing[:_MOST_NAMED]
        )
        raise ServiceError(
            Problem.CONFLICT,
            f"{len(missing):,} of {len(files):,} files of the batch have not come whole: {named}; go on with "
            "them, or end them (DELETE).",
        )
    if not files or n_files not in {None, len(files)}:
        said = "" if n_files is None else f", and its sender counts {n_files:,}"
        raise ServiceError(
            Problem.CONFLICT, f"The batch has {len(files):,} files{said}: send those that are missing."
        )
