"""A folder of DICOM files with labels of your own.

Labels come from ``labels.csv`` in the folder: columns ``uid`` (a SOP, Series or Study Instance UID) and
``label``, and ``split`` if there is an official one. The nearest row counts: an image's own before its
series', that before its study's. Without a table the folders directly below are the labels
(``normal/...``, ``bleed/...``), however deep the files lie in them.

What a file is called does not matter; files that are not DICOM are passed over, and so are objects
without pictures (reports, segmentations, DICOMDIR).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data.dicom.files import is_dicom
from data.dicom.grouping import read_studies
from data.errors import ManifestError, Reason
from data.sources.tables import Row, read_rows
from data.study import Instance, LabelledImage, Series, Study

TABLE = "labels.csv"
_NO_PICTURE = frozenset({Reason.NO_PIXELS, Reason.UNSUPPORTED_CONTENT})


def read_images(root: Path, *, character_set: str | None = None) -> Iterator[LabelledImage]:
    """Yield the images study by study, those of a series in reading order.

    A patient (issuer and identifier) is a group, a study where no patient is named; a series is what is
    taken together. A multi-frame object is one image.

    Parameters
    ----------
    root : Path
        The folder.
    character_set : str or None
        Overrides the character set that the files declare.

    Raises
    ------
    ManifestError
        If a file is broken, an image has no label, or a row of the table belongs to no image.
    """
    if not root.is_dir():
        raise ManifestError(root, "is not a folder")
    table = root / TABLE
    row_of_uid = _read_labels(table) if table.is_file() else None
    paths = [path for path in sorted(root.rglob("*")) if path.is_file() and is_dicom(path)]
    studies, rejected = read_studies(paths, character_set=character_set)
    broken = [error for error in rejected if error.reason not in _NO_PICTURE]
    if broken:
        raise ManifestError(root, f"{len(broken)} files cannot be read, the first: {broken[0]}")
    used: set[str] = set()
    for image in _images(studies):
        if row_of_uid is None:
            yield _labelled(image, label=_folder_label(root, image.instance.path), split=None)
            continue
        uid = next((uid for uid in image.uids if uid in row_of_uid), None)
        if uid is None:
            raise ManifestError(table, f"has no label for {image.instance.path} (image {image.uids[0]})")
        used.update(uid for uid in image.uids if uid in row_of_uid)
        row = row_of_uid[uid]
        yield _labelled(image, label=row.required("label"), split=row.text("split"))
    for uid, row in (row_of_uid or {}).items():
        if uid not in used:
            raise row.error(f"{uid} belongs to no image in {root}")


@dataclass(frozen=True, slots=True)
class _Image:
    study: Study
    series: Series
    instance: Instance
    position: int

    @property
    def uids(self) -> tuple[str, str, str]:
        """Its UIDs, the nearest first."""
        return self.instance.sop_instance_uid, self.series.uid, self.study.uid


def _images(studies: tuple[Study, ...]) -> Iterator[_Image]:
    for study in studies:
        for series in study.series:
            for position, instance in enumerate(series.instances):
                yield _Image(study, series, instance, position)


def _read_labels(table: Path) -> dict[str, Row]:
    row_of_uid: dict[str, Row] = {}
    for row in read_rows(table, columns=("uid", "label")):
        uid = row.required("uid")
        if uid in row_of_uid:
            raise row.error(f"{uid} is listed a second time")
        row.required("label")
        row_of_uid[uid] = row
    return row_of_uid


def _folder_label(root: Path, path: Path) -> str:
    parts = path.relative_to(root).parts
    if len(parts) < 2:
        raise ManifestError(root, f"has no {TABLE}, and {path.name} lies in no folder that names its label")
    return parts[0]


def _labelled(image: _Image, *, label: str, split: str | None) -> LabelledImage:
    patient = image.study.patient
    named = patient is not None and patient.identifier
    return LabelledImage(
        path=image.instance.path,
        label=label,
        group=f"{patient.issuer}/{patient.identifier}" if patient is not None and named else image.study.uid,
        study=image.series.uid,
        position=image.position,
        split=split,
        context=image.study.context,
    )
