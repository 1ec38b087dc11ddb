"""What can be wrong with an image, a study or a labelled set, said so that a person can mend it.

Every error names the file, what was wrong and what to do; those about one image or study also carry a
:class:`Reason`, the short code that programs, logs and the quarantine use.
"""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path


class Reason(StrEnum):
    """Why an image or a study was not taken; the codes are stable, texts may change."""

    EMPTY_FILE = "empty-file"
    NOT_FOUND = "not-found"
    MISSING_FILE = "missing-file"
    NOT_AN_IMAGE = "not-an-image"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    TOO_MANY_PIXELS = "too-many-pixels"
    TOO_MANY_FRAMES = "too-many-frames"
    TOO_MANY_FILES = "too-many-files"
    TOO_MANY_BYTES = "too-many-bytes"
    NO_PIXELS = "no-pixels"
    NOT_DICOM = "not-dicom"
    UNSUPPORTED_ENCODING = "unsupported-encoding"
    UNSUPPORTED_CONTENT = "unsupported-content"
    BURNED_IN_TEXT = "burned-in-text"
    RECOGNIZABLE_FACE = "recognizable-face"
    CONSENT_WITHHELD = "consent-withheld"
    NAME_TAKEN = "name-taken"
    OTHER_STUDY = "other-study"
    DUPLICATE_UID = "duplicate-uid"
    NO_PATIENT_ID = "no-patient-id"
    WRONG_SITE = "wrong-site"
    ARCHIVE_BOMB = "archive-bomb"
    ARCHIVE_UNSAFE_PATH = "archive-unsafe-path"
    ARCHIVE_CORRUPT = "archive-corrupt"
    NO_MODEL = "no-model"
    MODEL_FAILED = "model-failed"


class DataError(Exception):
    """Anything wrong with what was handed in."""


class ImageError(DataError):
    """An image or study that cannot be taken.

    Parameters
    ----------
    source : Path or str
        The file, or the member of an archive, as the sender knows it.
    reason : Reason
        The stable code.
    problem : str
        What was wrong, in a clause: ``"ends after 1,234 of 5,678 bytes"``.
    remedy : str
        What the sender can do, in a clause: ``"send the file again"``.

    Examples
    --------
    >>> print(ImageError("a.jpg", Reason.EMPTY_FILE, "is empty", "send the file again"))
    empty-file: a.jpg is empty; send the file again
    """

    def __init__(self, source: Path | str, reason: Reason, problem: str, remedy: str) -> None:
        self.source = str(source)
        self.reason = reason
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{reason}: {source} {problem}; {remedy}")

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, Reason, str, str]]:
        """Cross a process border whole (the scoring pool sends errors back)."""
        return type(self), (self.source, self.reason, self.problem, self.remedy)


class ManifestError(DataError):
    """A labelled set whose table and files disagree.

    Parameters
    ----------
    table : Path
        The table (or folder) that was read.
    problem : str
        What was expected and what was found; names the file.
    row : int or None
        Line of the table, the header being line 1.
    """

    def __init__(self, table: Path, problem: str, row: int | None = None) -> None:
        self.table = table
        self.problem = problem
        self.row = row
        place = f"{table}" if row is None else f"{table}, line {row}"
        super().__init__(f"{place}: {problem}")


class MissingImagesError(ManifestError):
    """Images that a table lists and that are not there; the message names the first, `missing` holds all.

    Parameters
    ----------
    table : Path
        The table that was read.
    missing : sequence of (int, Path)
        Line and file of each.

    Examples
    --------
    >>> print(MissingImagesError(Path("a.csv"), [(3, Path("x.jpg")), (9, Path("y.jpg"))]))
    a.csv, line 3: x.jpg does not exist, nor does the image of line 9
    """

    def __init__(self, table: Path, missing: Sequence[tuple[int, Path]]) -> None:
        self.missing = tuple(missing)
        (line, path), *others = self.missing
        problem = f"{path} does not exist"
        if others:
            lines = ", ".join(str(line) for line, _ in others[:10])
            more = f" and {len(others) - 10:,} more" if len(others) > 10 else ""
            plural = "do the images of lines" if len(others) > 1 else "does the image of line"
            problem += f", nor {plural} {lines}{more}"
        super().__init__(table, problem, row=line)


class FoldError(DataError):
    """Folds that cannot be made or that tear a group apart."""


class KeyFileError(DataError):
    """A file that cannot be the secret behind pseudonyms.

    Parameters
    ----------
    path : Path
        The file.
    problem : str
        What was wrong, in a clause.
    """

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path} {problem}; make one by: openssl rand -hex 32 > KEY")
