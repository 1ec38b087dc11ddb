"""NIH ChestX-ray14: 112,120 frontal chest radiographs of 30,805 patients, with fourteen findings.

Source: https://nihcc.app.box.com/v/ChestXray-NIHCC (Wang et al., CVPR 2017)
Licence: NIH's own terms. The hospital asks for a link to the download, the paper's citation and a mention
of the NIH Clinical Center as provider, and sets no other limit that we know of: read the set's README.

What is known to be wrong with it: the findings were taken from reports by a program. Where a radiologist
looked at the pictures, most were right 10 to 30 % less often than the set's documents say, and many
pneumothoraces show the drain that treats them [1]_. AP views are of sicker, lying patients, so a model can
learn the bed instead of the finding. The first table holds ages up to 414 years.

References
----------
.. [1] L. Oakden-Rayner, "Exploring large-scale public medical image datasets", Academic Radiology 27
   (2020) 106-112.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from data.errors import ManifestError
from data.sources.pictures import find_pictures
from data.sources.tables import Row, read_rows
from data.study import LabelledImage, PatientContext, Sex

# The table's own words in small letters.
FINDINGS = (
    "atelectasis", "cardiomegaly", "consolidation", "edema", "effusion", "emphysema", "fibrosis", "hernia",
    "infiltration", "mass", "nodule", "pleural_thickening", "pneumonia", "pneumothorax",
)  # fmt: skip
NONE = "none"
VIEWS = ("PA", "AP")

TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
LISTS = {"train_val_list.txt": "train", "test_list.txt": "test"}
_COLUMNS = ("Image Index", "Finding Labels", "Patient ID", "Patient Age", "View Position")
_NO_FINDING = "no finding"
_SEXES = {"M": Sex.MALE, "F": Sex.FEMALE}
_VIEWS = {view: view for view in VIEWS}
_AGE = re.compile(r"(\d{1,3})([YMWD]?)")
_YEARS_OF_UNIT = {"": 1.0, "Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}


def read_images(
    root: Path, *, finding: str = "pneumonia", view: str | None = None, healthy_only: bool = False
) -> Iterator[LabelledImage]:
    """Yield the radiographs in the order of the table.

    The label is `finding` or ``none``; all findings of a radiograph are its findings. A patient is a group.
    The split is the official one by patient, where its lists lie beside the table: ``train`` is the list of
    training and validation together, of which a validation set has yet to be taken by group. The pictures
    lie in ``images_001`` to ``images_012``, or in any folder.

    Parameters
    ----------
    root : Path
        The folder that holds ``Data_Entry_2017_v2020.csv`` or ``Data_Entry_2017.csv``.
    finding : str
        One of :data:`FINDINGS`.
    view : str or None
        ``"PA"`` or ``"AP"`` gives radiographs of that view alone.
    healthy_only : bool
        Compare the finding with radiographs without any, and pass over those that have others only.

    Raises
    ------
    ManifestError
        If a finding, view, age or sex is none, a radiograph is listed twice, has no file or no split, or a
        patient lies on both sides of the official split.
    """
    if finding not in FINDINGS:
        raise ValueError(f"finding is {finding!r}, expected one of {', '.join(FINDINGS)}")
    if view not in {None, *VIEWS}:
        raise ValueError(f"view is {view!r}, expected PA, AP or None")
    table = next((root / name for name in TABLES if (root / name).is_file()), None)
    if table is None:
        raise ManifestError(root, f"holds no table; expected {' or '.join(TABLES)}")
    split_of_name = _read_splits(root)
    path_of_name = find_pictures(root, ".png")
    split_of_patient: dict[str, str] = {}
    seen: set[str] = set()
    for row in read_rows(table, columns=_COLUMNS):
        file = row.required("Image Index")
        if file in seen:
            raise row.error(f"{file} is listed a second time")
        seen.add(file)
        patient = row.required("Patient ID")
        split = _split(row, split_of_name)
        if split is not None and split_of_patient.setdefault(patient, split) != split:
            raise row.error(f"{file} is {split}, but patient {patient} is {split_of_patient[patient]} too")
        findings = _read_findings(row)
        if row.choice("View Position", _VIEWS) not in (VIEWS if view is None else (view,)):
            continue
        if healthy_only and findings and finding not in findings:
            continue
        name = file.removesuffix(".png")
        if name not in path_of_name:
            raise row.error(
                f"{file} is listed, but is in no folder of {root}; unpack all of images_001 to images_012,"
                " or leave its row out"
            )
        yield LabelledImage(
            path=path_of_name[name],
            label=finding if finding in findings else NONE,
            group=patient,
            split=split,
            findings=findings,
            context=PatientContext(age_years=_age_years(row), sex=_sex(row), body_site="chest"),
            origin=row.place,
        )


def _read_splits(root: Path) -> dict[str, str] | None:
    """Give the official split of each radiograph, None where neither list is there."""
    lists = {root / name: split for name, split in LISTS.items()}
    if not any(path.is_file() for path in lists):
        return None
    split_of_name: dict[str, str] = {}
    for path, split in lists.items():
        try:
            names = path.read_text(encoding="utf-8-sig").splitlines()
        except FileNotFoundError:
            other = next(name for name in LISTS if name != path.name)
            raise ManifestError(path, f"does not exist, though {other} does; take both or none") from None
        except (OSError, UnicodeDecodeError) as failure:
            raise ManifestError(path, f"cannot be read: {failure}") from failure
        for line, name in enumerate(map(str.strip, names), start=1):
            if name and split_of_name.setdefault(name, split) != split:
                raise ManifestError(path, f"{name} is in the other list too", row=line)
    return split_of_name


def _split(row: Row, split_of_name: dict[str, str] | None) -> str | None:
    if split_of_name is None:
        return None
    name = row.required("Image Index")
    if name not in split_of_name:
        raise row.error(f"{name} is in neither {' nor '.join(LISTS)}")
    return split_of_name[name]


def _read_findings(row: Row) -> frozenset[str]:
    findings = {word.strip().lower() for word in row.required("Finding Labels").split("|")}
    unknown = findings - {*FINDINGS, _NO_FINDING}
    if unknown or (_NO_FINDING in findings and len(findings) > 1):
        raise row.error(
            f"Finding Labels is {row['Finding Labels']!r}, expected 'No Finding' or names between bars: "
            + ", ".join(FINDINGS)
        )
    return frozenset(findings - {_NO_FINDING})


def _age_years(row: Row) -> float | None:
    """Give the age, None for one that nobody reaches: the first table holds some."""
    text = row.text("Patient Age")
    if text is None:
        return None
    told = _AGE.fullmatch(text)
    if told is None:
        raise row.error(f"Patient Age is {text!r}, expected years (58), or a number and its unit (058Y)")
    years = int(told[1]) * _YEARS_OF_UNIT[told[2]]
    return years if years <= 130 else None


def _sex(row: Row) -> Sex | None:
    # The column was renamed between downloads of one and the same table.
    column = "Patient Sex" if "Patient Sex" in row.cells else "Patient Gender"
    text = row.text(column)
    if text is not None and text not in _SEXES:
        raise row.error(f"{column} is {text!r}, expected M or F")
    return None if text is None else _SEXES[text]
