"""RSNA 2019 brain CT haemorrhage: 752,803 DICOM slices, each marked with the haemorrhages on it.

Source: https://www.kaggle.com/c/rsna-intracranial-hemorrhage-detection (Flanders et al., Radiology:
Artificial Intelligence 2, e190211, 2020)
Licence: RSNA's own terms: not for commerce, nobody in it may be identified, and whoever passes it on cites
it. So a model fitted on it may not be sold.

The table has a row for each slice and kind of haemorrhage, and says nothing of patients or order: these
stand in the files' headers. To read 752,803 headers takes about 20 minutes at 1.6 ms each;
:func:`write_slices` does it once and leaves a table of its own.

What is known to be wrong with it: the rows of a few slices come twice, and the pixels of one file are cut
off, so that it is passed over. Headers tell no age or sex. A patient may have several studies: a split by
study leaks.
"""

import csv
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data.dicom.geometry import plane_of
from data.dicom.header import read_header
from data.errors import ImageError, ManifestError
from data.sources.ct_ich import HAEMORRHAGE, NONE
from data.sources.tables import Row, read_rows
from data.study import LabelledImage, PatientContext

# The table's word for each kind of haemorrhage, and ours, which CT-ICH uses too.
FINDING_OF_SUBTYPE = {
    "epidural": "EDH", "intraparenchymal": "IPH", "intraventricular": "IVH", "subarachnoid": "SAH",
    "subdural": "SDH",
}  # fmt: skip

TABLES = ("stage_2_train.csv", "stage_1_train.csv")
FOLDERS = ("stage_2_train", "stage_2_train_images", "stage_1_train_images")
SLICES_TABLE = "slices.csv"
# Its pixel data are shorter than its header says; there is no way to read it.
UNREADABLE = frozenset({"ID_6431af929"})

_ANY = "any"
_KINDS = (*FINDING_OF_SUBTYPE, _ANY)
_ALL_KINDS = (1 << len(_KINDS)) - 1
_ROW_ID = re.compile(r"(?P<image>ID_[0-9A-Za-z]+)_(?P<kind>[a-z]+)")
_SLICE_COLUMNS = ("image", "patient", "study", "series", "distance_mm")


@dataclass(slots=True)
class _Marks:
    """What the rows of one slice say: bit `n` stands for kind `n`; `line` is the first of them."""

    line: int
    told: int = 0
    present: int = 0


@dataclass(frozen=True, slots=True, order=True)
class _Slice:
    """Where one slice belongs; slices sort as patients, studies and series from the feet to the head."""

    patient: str
    study: str
    series: str
    distance_mm: float
    image: str


def read_images(root: Path, *, slices: Path | None = None) -> Iterator[LabelledImage]:
    """Yield the slices study by study, from the feet to the head.

    A patient is a group, a study a study; `position` counts its slices by their place along the normal.
    Where no prepared table of slices is given or lies in `root`, each file's header is read first, which
    takes long. No pixel is read, and a slice costs about 500 bytes until the last one is given.

    Parameters
    ----------
    root : Path
        The folder of ``stage_2_train.csv`` (or of stage 1) and of the folder ``stage_2_train``.
    slices : Path or None
        A table written by :func:`write_slices`, if it is not ``slices.csv`` in `root`.

    Raises
    ------
    ManifestError
        If a row contradicts another, a kind is missing or unknown, a file is missing or its header does
        not tell patient, study and place, or a study lies in two patients.
    """
    table = _table(root)
    marks_of_image = _read_marks(table)
    prepared = Path(slices) if slices else root / SLICES_TABLE
    places = (
        _read_prepared(prepared, table, marks_of_image)
        if slices or prepared.is_file()
        else _read_headers(root, table, marks_of_image)
    )
    folder = _folder(root)
    patient_of_study: dict[str, str] = {}
    position = 0
    for place in sorted(places):
        marks = marks_of_image[place.image]
        position = position + 1 if place.study in patient_of_study else 0
        if patient_of_study.setdefault(place.study, place.patient) != place.patient:
            other = patient_of_study[place.study]
            problem = f"study {place.study} of {place.image} is of patient {place.patient} and of {other}"
            raise ManifestError(table, problem, row=marks.line)
        path = folder / f"{place.image}.dcm"
        if not path.is_file():
            raise ManifestError(table, f"{place.image} is listed, but {path} does not exist", row=marks.line)
        yield LabelledImage(
            path=path,
            label=HAEMORRHAGE if marks.present else NONE,
            group=place.patient,
            study=place.study,
            position=position,
            findings=frozenset(
                finding for bit, finding in enumerate(FINDING_OF_SUBTYPE.values()) if marks.present >> bit & 1
            ),
            context=PatientContext(body_site="head"),
        )


def write_slices(root: Path, destination: Path | None = None) -> Path:
    """Read the header of every listed file once, and write where each slice belongs to a table.

    Parameters
    ----------
    root : Path
        As for :func:`read_images`.
    destination : Path or None
        The table; None writes ``slices.csv`` in `root`, where :func:`read_images` finds it.

    Returns
    -------
    Path
        The table: image, patient, study, series, distance_mm (along the normal, in mm). It appears whole
        or not at all.

    Raises
    ------
    ManifestError
        As for :func:`read_images`, or if the table cannot be written.
    """
    table = _table(root)
    destination = destination or root / SLICES_TABLE
    places = sorted(_read_headers(root, table, _read_marks(table)))
    unfinished = destination.with_name(f".{destination.name}.{os.getpid()}")
    try:
        with unfinished.open("x", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(_SLICE_COLUMNS)
            writer.writerows(
                (place.image, place.patient, place.study, place.series, repr(place.distance_mm))
                for place in places
            )
        unfinished.replace(destination)
    except OSError as failure:
        raise ManifestError(destination, f"cannot be written: {failure.strerror}") from failure
    finally:
        unfinished.unlink(missing_ok=True)
    return destination


def _table(root: Path) -> Path:
    table = next((root / name for name in TABLES if (root / name).is_file()), None)
    if table is None:
        raise ManifestError(root, f"holds no table; expected {' or '.join(TABLES)}")
    return table


def _folder(root: Path) -> Path:
    return next((root / name for name in FOLDERS if (root / name).is_dir()), root)


def _read_marks(table: Path) -> dict[str, _Marks]:
    marks_of_image: dict[str, _Marks] = {}
    for row in read_rows(table, columns=("ID", "Label")):
        told = _ROW_ID.fullmatch(row.required("ID"))
        if told is None or told["kind"] not in _KINDS:
            raise row.error(f"ID is {row['ID']!r}, expected ID_xxx and one of {', '.join(_KINDS)}")
        bit = 1 << _KINDS.index(told["kind"])
        marks = marks_of_image.setdefault(sys.intern(told["image"]), _Marks(row.line))
        is_present = row.flag("Label")
        # The same row twice is known of this set; the same row with another label is a contradiction.
        if marks.told & bit and bool(marks.present & bit) != is_present:
            raise row.error(f"{row['ID']} is {row['Label']} here, but was not further up")
        marks.told |= bit
        marks.present |= bit * is_present
    for image, marks in marks_of_image.items():
        _check_marks(table, image, marks)
    return {image: marks for image, marks in marks_of_image.items() if image not in UNREADABLE}


def _check_marks(table: Path, image: str, marks: _Marks) -> None:
    if marks.told != _ALL_KINDS:
        missing = [kind for bit, kind in enumerate(_KINDS) if not marks.told >> bit & 1]
        raise ManifestError(table, f"{image} has no row for {', '.join(missing)}", row=marks.line)
    any_bit = 1 << _KINDS.index(_ANY)
    if marks.present & ~any_bit and not marks.present & any_bit:
        raise ManifestError(table, f"{image} has a kind of haemorrhage, but not {_ANY!r}", row=marks.line)


def _read_headers(root: Path, table: Path, marks_of_image: dict[str, _Marks]) -> Iterator[_Slice]:
    folder = _folder(root)
    for image, marks in marks_of_image.items():
        path = folder / f"{image}.dcm"
        if not path.is_file():
            raise ManifestError(table, f"{image} is listed, but {path} does not exist", row=marks.line)
        try:
            header = read_header(path)
        except ImageError as error:
            raise ManifestError(table, f"{image} cannot be read: {error}", row=marks.line) from error
        plane = plane_of(header.dataset, 0)
        patient, study = header.text("PatientID"), header.text("StudyInstanceUID")
        if not patient or not study or plane is None:
            lacking = "place" if patient and study else "patient and study"
            raise ManifestError(table, f"the header of {path} does not tell its {lacking}", row=marks.line)
        series = header.text("SeriesInstanceUID")
        yield _slice(patient, study, series, plane.distance_mm(plane.normal), image)


def _read_prepared(prepared: Path, table: Path, marks_of_image: dict[str, _Marks]) -> Iterator[_Slice]:
    seen: set[str] = set()
    for row in read_rows(prepared, columns=_SLICE_COLUMNS):
        image = row.required("image")
        if image in seen:
            raise row.error(f"{image} is listed a second time")
        seen.add(image)
        if image in marks_of_image:
            yield _prepared_slice(row, image)
    unplaced = next((image for image in marks_of_image if image not in seen), None)
    if unplaced is not None:
        problem = f"{unplaced} is listed, but {prepared} has no row for it; write that table again"
        raise ManifestError(table, problem, row=marks_of_image[unplaced].line)


def _prepared_slice(row: Row, image: str) -> _Slice:
    distance_mm = row.number("distance_mm", low=-1e6, high=1e6)
    if distance_mm is None:
        raise row.error("distance_mm is blank")
    return _slice(row.required("patient"), row.required("study"), row["series"].strip(), distance_mm, image)


def _slice(patient: str, study: str, series: str, distance_mm: float, image: str) -> _Slice:
    # One text for all slices of a study instead of one for each.
    return _Slice(sys.intern(patient), sys.intern(study), sys.intern(series), distance_mm, sys.intern(image))
