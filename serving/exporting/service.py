"""Exports files and folders one by one, and accounts for every one of them."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.clean_photo import clean_photo
from data.dicom.deidentify import TextPolicy, deidentify, write_once
from data.dicom.files import is_dicom
from data.dicom.pseudonyms import Pseudonyms
from data.errors import ImageError, Reason
from data.photo import is_photo

PHOTOGRAPHS = "photographs"


@dataclass(frozen=True, slots=True)
class Exported:
    """What became of a file: where it lies now, or why it was refused."""

    source: Path
    path: Path | None = None
    error: ImageError | None = None
    n_masked: int = 0
    was_there: bool = False


def export_each(
    paths: Sequence[Path], folder: Path, pseudonyms: Pseudonyms, *, text: TextPolicy
) -> Iterator[Exported]:
    """Write the de-identified copy of each file below `paths`; a refused one leaves nothing."""
    for path in _files(paths):
        try:
            yield export_file(path, folder, pseudonyms, text)
        except ImageError as error:
            yield Exported(path, error=error)


def export_file(path: Path, folder: Path, pseudonyms: Pseudonyms, text: TextPolicy) -> Exported:
    """Write the de-identified copy of a file.

    Raises
    ------
    ImageError
        If it is refused; nothing is written then.
    """
    if is_photo(path):
        photo = clean_photo(path)
        to = folder / PHOTOGRAPHS / f"{pseudonyms.file_name(photo.source_sha256)}{photo.suffix}"
        return Exported(path, to, was_there=write_once(to, iter((photo.content,)), source=path))
    if is_dicom(path):
        done = deidentify(path, folder, pseudonyms, text=text)
        return Exported(path, done.path, n_masked=len(done.masked), was_there=done.was_there)
    raise ImageError(
        path,
        Reason.NOT_AN_IMAGE,
        "is neither DICOM nor a picture",
        "unpack archives, and leave other files out",
    )


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    seen: set[str] = set()
    for path in paths:
        below = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in below:
            place = os.path.realpath(file)
            if file.is_file() and place not in seen:
                seen.add(place)
                yield file
