"""An instance on its way in: written to the spool as it comes, under a head of ours."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from serving.dicomweb.related_upload import RelatedUpload
from serving.intake.upload import UploadLimits


class ArrivingInstance(RelatedUpload):
    """One instance by C-STORE; what goes wrong is kept until the whole of it has come.

    The sender must be heard out before it can be answered: a full disk is said after its last byte.
    """

    def __init__(self, spool: Path, *, name: str, limits: UploadLimits) -> None:
        self._name = name
        super().__init__(spool, content_type="application/dicom", limits=limits)

    def scratch(self) -> Path:
        """Give the upload's own folder: one file leaves room enough, and a second folder costs a flush."""
        return self.folder

    def _begin_file(self, name: str) -> None:
        del name
        super()._begin_file(self._name)


@contextlib.contextmanager
def arriving(spool: Path, *, name: str, limits: UploadLimits) -> Iterator[ArrivingInstance]:
    """Open a place for an instance; nothing of it is left in the spool at the end."""
    upload = ArrivingInstance(spool, name=name, limits=limits)
    try:
        yield upload
    finally:
        upload.close()
