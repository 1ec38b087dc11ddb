"""HAM10000: 10,015 dermoscopic images of 7,470 pigmented skin lesions with one of seven diagnoses each.

Source: https://doi.org/10.7910/DVN/DBW86T (Tschandl et al., Scientific Data 5, 180161, 2018)
Licence: CC BY-NC 4.0, so a model fitted on it may not be sold.

A lesion was photographed up to six times: images of one lesion are one group.
"""

from collections.abc import Iterator
from pathlib import Path

from data.errors import ManifestError
from data.sources.tables import Row, read_rows
from data.study import LabelledImage, PatientContext, Sex

# The seven diagnoses by the table's own keys, rarest first.
LABELS = ("df", "vasc", "akiec", "bcc", "bkl", "mel", "nv")

TABLE = "HAM10000_metadata.csv"
DERMAMNIST_TABLE = "dermamnist_official_split.csv"
_DIAGNOSES = {label: label for label in LABELS}
_SEXES = {"male": Sex.MALE, "female": Sex.FEMALE}
_SPLITS = {"train": "train", "val": "val", "test": "test"}
_ABSENT = frozenset({"unknown"})


def read_images(root: Path, *, dermamnist_split: bool = False) -> Iterator[LabelledImage]:
    """Yield the images in the order of the table.

    The images lie in ``HAM10000_images_part_1`` and ``HAM10000_images_part_2``, or in one folder of any
    name, or in `root` itself.

    Parameters
    ----------
    root : Path
        The folder that holds ``HAM10000_metadata.csv``.
    dermamnist_split : bool
        Give the split of DermaMNIST (MedMNIST v2), read from ``dermamnist_official_split.csv``. It is
        there to stand beside published figures only: it tears lesions apart, 693 of its 2,005 test
        images show a lesion that train shows too. HAM10000 itself has no split.

    Raises
    ------
    ManifestError
        If a row names an unknown diagnosis, an image twice, or one whose file is missing.
    """
    split_of_image = _read_dermamnist_split(root / DERMAMNIST_TABLE) if dermamnist_split else {}
    path_of_image = _find_images(root)
    seen: set[str] = set()
    for row in read_rows(root / TABLE, columns=("lesion_id", "image_id", "dx", "age", "sex", "localization")):
        name = row.required("image_id")
        if name in seen:
            raise row.error(f"{name} is listed a second time")
        seen.add(name)
        if name not in path_of_image:
            raise row.error(f"{name} is listed, but {name}.jpg is in no folder of {root}")
        if dermamnist_split and name not in split_of_image:
            raise row.error(f"{name} has no split in {DERMAMNIST_TABLE}")
        yield LabelledImage(
            path=path_of_image[name],
            label=row.choice("dx", _DIAGNOSES),
            group=row.required("lesion_id"),
            split=split_of_image.get(name),
            context=_read_context(row),
            origin=row.place,
        )


def _read_context(row: Row) -> PatientContext:
    return PatientContext(
        age_years=row.number("age", low=0, high=130),
        sex=_SEXES.get(row["sex"]),
        body_site=row.text("localization", absent=_ABSENT),
    )


def _find_images(root: Path) -> dict[str, Path]:
    # Two listings instead of 10,015 questions to the file system.
    if not root.is_dir():
        raise ManifestError(root, "is not a folder")
    folders = [root, *sorted(folder for folder in root.iterdir() if folder.is_dir())]
    return {path.stem: path for folder in folders for path in folder.glob("*.jpg")}


def _read_dermamnist_split(table: Path) -> dict[str, str]:
    rows = read_rows(table, columns=("image_id", "split"))
    return {row.required("image_id"): row.choice("split", _SPLITS) for row in rows}
