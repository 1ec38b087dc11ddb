"""Writes the instances of a STOW-RS request to disk as they arrive: a multipart message, or one by itself."""

from dataclasses import replace
from pathlib import Path

from python_multipart.multipart import parse_options_header

from serving.dicomweb.media import DICOM
from serving.errors import Problem, ServiceError
from serving.intake.upload import Upload, UploadLimits

# The answer names each; a sender of more sends several requests.
MOST_INSTANCES = 1000

_ALONE = b"application/dicom"


class RelatedUpload(Upload):
    """A STOW-RS request on its way in; its parts are called ``instance 1``, ``instance 2`` ...

    Raises
    ------
    ServiceError
        `UNSUPPORTED_MEDIA_TYPE` if it brings anything but DICOM files (PS3.10).
    """

    media = b"multipart/related"
    advice = 'send the instances as multipart/related; type="application/dicom"'

    def __init__(
        self, spool: Path, *, content_type: str, limits: UploadLimits, declared_bytes: int | None = None
    ) -> None:
        kind, options = parse_options_header(content_type)
        self._is_alone = kind.lower() == _ALONE
        inner = options.get(b"type", _ALONE).decode("latin-1").lower()
        if not self._is_alone and kind.lower() == self.media and inner != DICOM:
            raise ServiceError(
                Problem.UNSUPPORTED_MEDIA_TYPE,
                f"The request brings {inner}: this service takes instances as DICOM files "
                f'(multipart/related; type="{DICOM}"), not as metadata with bulk data apart.',
            )
        if self._is_alone:  # the message that it would be, had it been one
            content_type = 'multipart/related; boundary="alone"'
        limits = replace(limits, max_files=min(limits.max_files, MOST_INSTANCES))
        super().__init__(spool, content_type=content_type, limits=limits, declared_bytes=declared_bytes)
        if self._is_alone:
            self._begin_file("instance 1")

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        if self._is_alone:
            self.count(len(data))
            with self.saying_full():
                self._take_data(data, 0, len(data))
        else:
            super().feed(data)

    def finish(self) -> None:
        """Check that the body is whole."""
        if self._is_alone:
            self._end_part()
            self._end()
        super().finish()

    def _end_headers(self) -> None:
        kind, _ = parse_options_header(self._part.headers.get("content-type", DICOM))
        if kind.lower() != _ALONE:
            raise ServiceError(
                Problem.UNSUPPORTED_MEDIA_TYPE,
                f"A part of the request is {kind.decode('latin-1')[:100]}: each must be {DICOM}.",
            )
        self._begin_file(f"instance {self._n_begun + 1}")
