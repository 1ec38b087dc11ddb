"""Finds the studies among files, folders and archives; what is none is named with a coded reason.

A file is what its content says, never what its name says. Photographs are a study each; DICOM files are
grouped into studies over the whole call, wherever they lie. Every file that a person handed in ends in
exactly one place: a study that is :class:`Accepted`, or a :class:`Rejected`.

Left out are hidden files that systems put into folders by themselves (a dotted name, macOS's resource forks)
and a file that was reached a second time (named twice, or by a link). Of a medium with a DICOMDIR its DICOM
files are taken and what it lists besides is named as missing; the DICOMDIR itself, and the programs of a
viewer beside it, are left out (:mod:`serving.intake.medium`).
"""

import dataclasses
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data.errors import ImageError, Reason
from data.photo import is_photo, read_photo
from data.study import PatientContext, Study
from serving.intake.archive import ArchiveLimits, is_archive, is_hidden, unpack
from serving.intake.medium import Media, may_be_directory, viewers_picture


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one call may hand in.

    `max_files_per_study` is as many frames as a model's card takes by default, and as many files as one
    upload takes: the thinnest CT of a whole body has some 2,000 slices.
    """

    max_files_per_study: int = 4096
    archive: ArchiveLimits = field(default_factory=ArchiveLimits)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A study that can be scored.

    `names` are its `study.paths` as the sender knows them, in that order; `copies` are further files with
    the very bytes of one of these, `originals` in that order.
    """

    study: Study
    names: tuple[str, ...]
    copies: tuple[str, ...] = ()
    originals: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejected:
    """Files that cannot be scored: where they lie, their names as the sender knows them, and why.

    Of a file that a DICOMDIR lists and that did not come, the DICOMDIR lies there.
    """

    paths: tuple[Path, ...]
    names: tuple[str, ...]
    error: ImageError
    study_uid: str | None = None


@dataclass(frozen=True, slots=True)
class Gathered:
    """Everything that a call handed in."""

    accepted: tuple[Accepted, ...]
    rejected: tuple[Rejected, ...]

    @property
    def studies(self) -> tuple[Study, ...]:
        """The studies alone."""
        return tuple(found.study for found in self.accepted)


def gather(
    paths: Sequence[Path],
    *,
    scratch: Path,
    limits: Limits = Limits(),
    context: PatientContext = PatientContext(),
) -> Gathered:
    """Find all studies below `paths`; see :func:`find_studies`."""
    found = list(find_studies(paths, scratch=scratch, limits=limits, context=context))
    return Gathered(
        accepted=tuple(item for item in found if isinstance(item, Accepted)),
        rejected=tuple(item for item in found if isinstance(item, Rejected)),
    )


def find_studies(
    paths: Sequence[Path],
    *,
    scratch: Path,
    limits: Limits = Limits(),
    context: PatientContext = PatientContext(),
    names: Mapping[Path, str] | None = None,
    refuses_duplicates: bool = False,
) -> Iterator[Accepted | Rejected]:
    """Yield each study as soon as it is known: photographs as they are met, DICOM at the end.

    Parameters
    ----------
    paths : sequence of Path
        Files, folders (walked in sorted order) and zip archives.
    scratch : Path
        An existing folder for what comes out of archives. Its owner removes it once the studies, which read
        their pixels lazily, are no longer needed.
    limits : Limits
        How much may be handed in.
    context : PatientContext
        What the sender says; a field that is given counts before what a file says.
    names : mapping of Path to str, or None
        Names of `paths` as the sender knows them, where they differ (uploads).
    refuses_duplicates : bool
        Whether of two DICOM files with one SOP Instance UID and different bytes the second is rejected, and
        not taken under a UID of its own.
    """
    walk = _Walk(scratch, limits)
    walk.media.note((path, (names or {}).get(path, str(path))) for path in paths)
    dicom_files: dict[Path, str] = {}
    for path in paths:
        for item in walk.files(path, name=(names or {}).get(path, str(path))):
            if isinstance(item, Rejected):
                yield item
            elif item.path in walk.media.found:
                pass  # what it lists is looked for at the end
            elif _is_photo(item.path):
                if walk.media.is_beside(item.name):
                    yield Rejected((item.path,), (item.name,), viewers_picture(item.name))
                else:
                    yield _photograph(item, context)
            elif _is_dicom(item.path):
                dicom_files[item.path] = item.name
            elif not walk.media.is_beside(item.name):
                yield _rejected(
                    item.path,
                    item.name,
                    Reason.NOT_AN_IMAGE,
                    "is neither DICOM nor a picture that can be read",
                    "send DICOM, JPEG, PNG, WebP, TIFF, BMP or HEIC",
                )
    taken_uids: set[str] = set()
    for found in _dicom_studies(dicom_files, limits, context, refuses_duplicates=refuses_duplicates):
        if isinstance(found, Accepted):
            taken_uids |= {
                instance.sop_instance_uid for series in found.study.series for instance in series.instances
            }
        yield found
    for medium, name, error in walk.media.missing(dicom_files, frozenset(taken_uids)):
        yield Rejected((medium.path,), (name,), error)


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    name: str


class _Walk:
    """Gives every file below a path once, unpacking archives on the way."""

    def __init__(self, scratch: Path, limits: Limits) -> None:
        self._scratch = scratch
        self._limits = limits
        self._seen: set[str] = set()
        self.media = Media()

    def files(self, path: Path, *, name: str) -> Iterator[_File | Rejected]:
        try:
            status = path.stat()
        except OSError as error:
            yield _rejected(
                path, name, Reason.NOT_FOUND, _cannot_open(error), "check the path and its rights"
            )
            return
        place = os.path.realpath(path)
        if place in self._seen:  # named twice, or a link that leads back
            return
        self._seen.add(place)
        if stat.S_ISDIR(status.st_mode):
            yield from self._folder(path, name=name)
        elif not stat.S_ISREG(status.st_mode):
            yield _rejected(path, name, Reason.NOT_AN_IMAGE, "is no regular file", "name an image file")
        elif status.st_size == 0:
            yield _rejected(path, name, Reason.EMPTY_FILE, "is empty", "send the file again")
        else:
            yield from self._file(path, name=name)

    def _folder(self, folder: Path, *, name: str) -> Iterator[_File | Rejected]:
        try:
            with os.scandir(folder) as entries:
                children = sorted(entry.name for entry in entries if not is_hidden((entry.name,)))
        except OSError as error:
            yield _rejected(folder, name, Reason.NOT_FOUND, _cannot_open(error), "check its rights")
            return
        self.media.note(
            (folder / child, _below(name, child)) for child in children if may_be_directory(child)
        )
        for child in children:
            yield from self.files(folder / child, name=_below(name, child))

    def _file(self, path: Path, *, name: str) -> Iterator[_File | Rejected]:
        try:
            holds_files = is_archive(path)
        except OSError as error:
            yield _rejected(path, name, Reason.NOT_FOUND, _cannot_open(error), "check its rights")
            return
        if not holds_files:
            yield _File(path, name)
            return
        folder = self._scratch / f"archive-{len(self._seen):06d}"
        folder.mkdir()
        try:
            unpacked = unpack(path, folder, name=name, limits=self._limits.archive)
        except ImageError as error:
            yield Rejected((path,), (name,), error)
            return
        if not unpacked.members and not unpacked.rejected:
            yield _rejected(path, name, Reason.NOT_AN_IMAGE, "holds no file", "pack the images again")
        self.media.note((member.path, member.name) for member in unpacked.members)
        for damaged in unpacked.rejected:
            yield Rejected((path,), (damaged.source,), damaged)
        for member in unpacked.members:
            yield from self.files(member.path, name=member.name)


def _below(folder: str, child: str) -> str:
    return f"{folder.rstrip('/')}/{child}"


def too_many_files(name: str, n_files: int, limits: Limits) -> ImageError:
    """Say of a file that its study is larger than one may be."""
    return ImageError(
        name,
        Reason.TOO_MANY_FILES,
        f"is one of {n_files:,} files of a study, more than {limits.max_files_per_study:,}",
        "send the series that matter as a study of their own",
    )


def _is_photo(path: Path) -> bool:
    """Whether a file is a photograph, and not DICOM whose preamble is that of a TIFF (PS3.10 7.1)."""
    try:
        with path.open("rb") as file:
            prefix = file.read(132)[128:]
    except OSError:
        return False
    return prefix != b"DICM" and is_photo(path)


def _is_dicom(path: Path) -> bool:
    from data.dicom.files import is_dicom  # noqa: PLC0415  pydicom takes .3 s, and photographs do without

    return is_dicom(path)


def _photograph(file: _File, context: PatientContext) -> Accepted | Rejected:
    try:
        study = read_photo(file.path, context=context)
    except ImageError as error:
        return Rejected((file.path,), (file.name,), _renamed(error, file.name))
    return Accepted(study, (file.name,))


def _dicom_studies(
    files: Mapping[Path, str], limits: Limits, context: PatientContext, *, refuses_duplicates: bool
) -> Iterator[Accepted | Rejected]:
    if not files:
        return
    from data.dicom.grouping import read_studies  # noqa: PLC0415  as in _is_dicom

    studies, errors = read_studies(list(files), refuses_duplicates=refuses_duplicates)
    for error in errors:
        path = Path(error.source)
        name = files.get(path, error.source)
        yield Rejected((path,), (name,), _renamed(error, name))
    copies = _copies(files, studies, errors)
    for study in studies:
        names = tuple(files[path] for path in study.paths)
        if len(names) > limits.max_files_per_study:
            refused = too_many_files(names[0], len(names), limits)
            names = (*names, *(name for name, _ in copies.get(study.paths[0], ())))
            yield Rejected(study.paths, names, refused, study_uid=study.uid)
        else:
            merged = dataclasses.replace(study, context=_merged(study.context, context))
            copied = copies.get(study.paths[0], ())
            yield Accepted(
                merged, names, tuple(name for name, _ in copied), tuple(path for _, path in copied)
            )


def _copies(
    files: Mapping[Path, str], studies: Sequence[Study], errors: Sequence[ImageError]
) -> dict[Path, list[tuple[str, Path]]]:
    """Find for each file that was taken as a copy of another that one, and the study by its first path."""
    study_of = {path: study.paths[0] for study in studies for path in study.paths}
    refused = {error.source for error in errors}
    spare = [path for path in files if path not in study_of and str(path) not in refused]
    if not spare:
        return {}
    # A folder may hold everything twice, and slices are all of one size: so by hash, not by pairs.
    path_of_digest = {_digest(path): path for path in study_of}
    copies: dict[Path, list[tuple[str, Path]]] = {}
    for path in spare:
        original = path_of_digest.get(_digest(path))
        if original is not None:
            copies.setdefault(study_of[original], []).append((files[path], original))
    return copies


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _merged(from_file: PatientContext, from_sender: PatientContext) -> PatientContext:
    given = {
        field.name: value
        for field in dataclasses.fields(from_sender)
        if (value := getattr(from_sender, field.name)) not in (None, ())
    }
    return dataclasses.replace(from_file, **given)


def _rejected(path: Path, name: str, reason: Reason, problem: str, remedy: str) -> Rejected:
    return Rejected((path,), (name,), ImageError(name, reason, problem, remedy))


def _renamed(error: ImageError, name: str) -> ImageError:
    """Say the same of the file as the sender knows it, not of the copy that was read."""
    return ImageError(name, error.reason, error.problem, error.remedy)


def _cannot_open(error: OSError) -> str:
    return f"cannot be opened ({error.strerror})"
