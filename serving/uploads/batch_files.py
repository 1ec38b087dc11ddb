"""The files of a batch as one upload, for the intake to take as it takes every other."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from serving.intake.upload import FilesAtHand, UploadedFile
from serving.store.uploads import StoredUpload
from serving.uploads.kept import KeptFiles, elsewhere


@contextmanager
def gathered(uploads: Sequence[StoredUpload], kept: KeptFiles, *, spool: Path) -> Iterator[FilesAtHand]:
    """Put the files of a batch together in a folder of the spool, which goes at the end.

    They have second names there: the intake may move them, and should it fail their bytes are there still.

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
        yield FilesAtHand(folder, files)
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
