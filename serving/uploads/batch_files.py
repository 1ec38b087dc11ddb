"""The files of a batch as one upload, for the intake to take as it takes every other."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from serving.intake.upload import UploadedFile
from serving.store.uploads import StoredUpload
from serving.uploads.kept import KeptFiles, elsewhere


class BatchFiles:
    """An upload whose files are there already (:class:`serving.intake.upload.Received`).

    `files` are second names of the bytes: the intake may move them, and should it fail they are there still.
    """

    def __init__(self, folder: Path, files: list[UploadedFile]) -> None:
        self.folder = folder
        self.files = files

    def scratch(self) -> Path:
        """Make a folder for what comes out of archives."""
        folder = self.folder / "scratch"
        folder.mkdir()
        return folder

    def fingerprint(self) -> str:
        """Give the SHA-256 of what was sent: names and bytes."""
        digest = hashlib.sha256()
        for item in self.files:
            digest.update(f"{item.name}\0{item.sha256}\0".encode())
        return digest.hexdigest()


@contextmanager
def gathered(uploads: Sequence[StoredUpload], kept: KeptFiles, *, spool: Path) -> Iterator[BatchFiles]:
    """Put the files of a batch together in a folder of the spool, which goes at the end.

    Raises
    ------
    ServiceError
        `STORAGE_UNAVAILABLE` if the bytes of one are not on this machine.
    """
    folder = Path(tempfile.mkdtemp(dir=spool))
    try:
        files = []
        for number, upload in enumerate(uploads, start=1):
            path = folder / f"{number:06d}"
            _name_again(kept.path_of(upload.key), path, upload)
            files.append(UploadedFile(path, upload.name, upload.sha256 or ""))
        yield BatchFiles(folder, files)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _name_again(kept: Path, path: Path, upload: StoredUpload) -> None:
    if not upload.n_bytes:  # of an empty file nothing was ever written
        path.touch(mode=0o600)
        return
    if not kept.is_file():
        raise elsewhere()
    try:
        os.link(kept, path)
    except OSError:  # a disk without hard links, or another one
        shutil.copyfile(kept, path)
