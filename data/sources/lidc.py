"""LIDC-IDRI: CT of the chest, nodules outlined by four radiologists.

Source: https://doi.org/10.7937/K9/TCIA.2015.LO9QL9SX (Armato et al., Medical Physics 38, 915, 2011)
Licence: CC BY 3.0.

Each patient's folder (``LIDC-IDRI-0001``) holds the slices of one series and ``labels.csv``, one row a
slice: ``nodule_any`` says that at least one reader outlined a nodule of 3 mm or more there,
``nodule_2plus`` that at least two did.
"""

from collections.abc import Iterator
from pathlib import Path

from data.dicom.header import read_header
from data.errors import ImageError, ManifestError
from data.sources.tables import Row, read_rows
from data.study import LabelledImage, PatientContext

LABELS = ("normal", "nodule")

TABLE = "labels.csv"
_RATINGS = frozenset("12345")
_COLUMNS = ("file", "sop_uid", "series_uid", "z", "nodule_any", "nodule_2plus", "malignancy")


def read_images(root: Path, *, min_readers: int = 1) -> Iterator[LabelledImage]:
    """Yield the slices of every patient, in the order of the series from the feet to the head.

    A patient is a group, a series a study; `position` counts its slices. The finer label is the highest
    malignancy that a reader gave (``malignancy-1`` to ``malignancy-5``).

    Parameters
    ----------
    root : Path
        The folder of the patients' folders, or one patient's.
    min_readers : int
        How many readers make a nodule: 1 or 2.

    Raises
    ------
    ManifestError
        If there is no table, or a row names a file that is missing or is another image.
    """
    if min_readers not in {1, 2}:
        raise ValueError(f"min_readers is {min_readers}, expected 1 or 2")
    tables = [root / TABLE] if (root / TABLE).is_file() else sorted(root.glob(f"LIDC-IDRI-*/{TABLE}"))
    if not tables:
        raise ManifestError(root, f"holds no {TABLE} and no folder LIDC-IDRI-*/ with one")
    for table in tables:
        yield from _read_patient(table, "nodule_any" if min_readers == 1 else "nodule_2plus")


def _read_patient(table: Path, flag: str) -> Iterator[LabelledImage]:
    rows = sorted(read_rows(table, columns=_COLUMNS), key=_height)
    seen: set[str] = set()
    for position, row in enumerate(rows):
        name = row.required("file")
        if name in seen:
            raise row.error(f"{name} is listed a second time")
        seen.add(name)
        path = table.parent / name
        _check_identity(row, path)
        yield LabelledImage(
            path=path,
            label="nodule" if row.flag(flag) else "normal",
            group=table.parent.name,
            study=row.required("series_uid"),
            position=position,
            findings=_read_malignancy(row),
            context=PatientContext(body_site="chest"),
            origin=row.place,
        )


def _height(row: Row) -> tuple[str, float]:
    height = row.number("z", low=-10_000, high=10_000)
    if height is None:
        raise row.error("z is blank")
    return row.required("series_uid"), height


def _read_malignancy(row: Row) -> frozenset[str]:
    """Give the highest of the readers' ratings, which the table lists as ``4;5;5``."""
    ratings = [rating.strip() for rating in (row.text("malignancy") or "").split(";") if rating.strip()]
    unknown = [rating for rating in ratings if rating not in _RATINGS]
    if unknown:
        raise row.error(
            f"malignancy is {row['malignancy']!r}, expected ratings from 1 to 5 between semicolons"
        )
    return frozenset({f"malignancy-{max(ratings)}"} if ratings else ())


def _check_identity(row: Row, path: Path) -> None:
    if not path.is_file():
        raise row.error(f"{path.name} is listed, but {path} does not exist")
    try:
        header = read_header(path)
    except ImageError as error:
        raise row.error(f"{path.name} cannot be read: {error}") from error
    if header.text("SOPInstanceUID") != row.required("sop_uid"):
        raise row.error(
            f"{path.name} is image {header.text('SOPInstanceUID')}, the table says {row['sop_uid']}"
        )
