"""What of a medium came: the files that its DICOMDIR lists, those that are missing, the viewer beside."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from data.errors import ImageError, Reason

# Of a disc whose images were left behind a sender needs no thousand names.
MOST_NAMED = 100


@dataclass(frozen=True, slots=True)
class Medium:
    """A DICOMDIR that came: where it lies, and its name as the sender knows it."""

    path: Path
    name: str

    @property
    def root(self) -> str:
        """The folder whose files it lists, empty for files that came without one."""
        return self.name.rpartition("/")[0]


@dataclass
class Media:
    """The media of one call; each is known before any file beside its DICOMDIR is looked at."""

    found: dict[Path, Medium] = field(default_factory=dict)

    def note(self, files: Iterable[tuple[Path, str]]) -> None:
        """Remember those of some files that are a DICOMDIR."""
        for path, name in files:
            if may_be_directory(name):
                from data.dicom.directory import is_directory  # noqa: PLC0415  as in gather

                if is_directory(path):
                    self.found[path] = Medium(path, name)

    def is_beside(self, name: str) -> bool:
        """Whether a file lies in a folder that a DICOMDIR speaks of."""
        return any(one.root and name.startswith(f"{one.root}/") for one in self.found.values())

    def missing(
        self, came: Mapping[Path, str], taken_uids: frozenset[str]
    ) -> Iterator[tuple[Medium, str, ImageError]]:
        """Yield what the directories list and is not there, and those of which nothing came at all.

        Parameters
        ----------
        came : mapping of Path to str
            The DICOM files, and their names.
        taken_uids : frozenset of str
            SOP Instance UIDs: a browser may have sent files without their folders.
        """
        from data.dicom.directory import comparable, read_directory  # noqa: PLC0415  as in gather

        names = {comparable(PurePosixPath(name).parts) for name in came.values()}
        for medium in self.found.values():
            try:
                listed = read_directory(medium.path)
            except ImageError as error:
                yield medium, medium.name, error
                continue
            below = PurePosixPath(medium.root).parts
            absent = [
                "/".join((*([medium.root] if medium.root else ()), *one.parts))
                for one in listed
                if one.sop_instance_uid not in taken_uids and comparable((*below, *one.parts)) not in names
            ]
            if len(absent) == len(listed):
                problem = f"is the table of contents of {len(listed):,} files, none of which came"
                yield medium, medium.name, _error(medium.name, Reason.NO_PIXELS, problem)
                continue
            for name in absent[:MOST_NAMED]:
                more = f", as are {len(absent) - 1:,} others" if len(absent) > 1 else ""
                problem = f"is listed in {medium.name} and did not come{more}"
                yield medium, name, _error(name, Reason.MISSING_FILE, problem)


def may_be_directory(name: str) -> bool:
    """Whether a file has the name that a directory must have (PS3.10 8.6).

    Examples
    --------
    >>> may_be_directory("disc.zip/dicomdir"), may_be_directory("disc.zip/IM1")
    (True, False)
    """
    return name.rpartition("/")[2].partition(";")[0].rstrip(".").upper() == "DICOMDIR"


def viewers_picture(name: str) -> ImageError:
    """Say of a picture on a medium that it is not taken for a photograph of a patient."""
    return ImageError(
        name,
        Reason.NOT_AN_IMAGE,
        "is a picture beside a DICOMDIR that does not list it, as those of a disc's viewer are",
        "if it is a photograph of the patient, send it by itself",
    )


def _error(name: str, reason: Reason, problem: str) -> ImageError:
    return ImageError(name, reason, problem, "send the whole folder or disc, or that file as well")
