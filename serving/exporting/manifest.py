"""Writes the table of an export that `firstread-train` reads: picture, label, patient, study."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from data.body_sites import site_of
from data.dicom.pseudonyms import Pseudonyms
from data.errors import ManifestError
from data.sources.tables import read_rows
from serving.exporting.service import PHOTOGRAPHS
from serving.exporting.stored import Leaving, StoredFile

UNLABELLED = "unlabelled"
MANIFEST = "manifest.csv"
# The oldest are few enough to be known by their age (45 CFR 164.514(b)(2)(i)(C)).
OLDEST_TOLD = 90

_COLUMNS = ("path", "label", "group", "study", "position")
_CHARACTERISTICS = ("age", "sex", "body_site", "skin_type")


def read_labels(table: Path) -> dict[str, str]:
    """Read a table of the columns ``study`` (key or Study Instance UID, as the store has it) and ``label``.

    Raises
    ------
    ManifestError
        If a column or cell is missing, or a study has two labels; names the line.
    """
    labels: dict[str, str] = {}
    for row in read_rows(table, columns=("study", "label")):
        study, label = row.required("study"), row.required("label")
        if labels.setdefault(study, label) != label:
            raise ManifestError(table, f"study {study} has another label above", row=row.line)
    return labels


def write_manifest(
    folder: Path,
    files: Iterable[StoredFile],
    pseudonyms: Pseudonyms,
    *,
    labels: Mapping[str, str],
    has_characteristics: bool,
) -> Path:
    """Write the table beside the copies; a study without a label is `unlabelled`.

    Age, sex, part of the body and skin type stand in it on demand alone: they are no part of the basic
    profile (PS3.15 E.3.5).
    """
    table = folder / MANIFEST
    columns = (*_COLUMNS, *_CHARACTERISTICS) if has_characteristics else _COLUMNS
    with table.open("x", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, columns, extrasaction="ignore")
        writer.writeheader()
        listed: set[Path] = set()
        for file in files:
            path = file.result.path
            # One photograph in two studies is one file.
            if path is None or path in listed:
                continue
            listed.add(path)
            stored = file.study.stored
            relative = path.relative_to(folder)
            label = labels.get(stored.key) or labels.get(stored.uid) or UNLABELLED
            writer.writerow(
                {
                    "path": relative.as_posix(),
                    "label": label,
                    "group": _group(file.study, relative, pseudonyms),
                    "study": pseudonyms.uid(stored.uid),
                    "position": file.position,
                    **_characteristics(file.study),
                }
            )
    return table


def _group(study: Leaving, relative: Path, pseudonyms: Pseudonyms) -> str:
    """Give the patient's pseudonym: that of the DICOM file's folder, or the photograph's patient."""
    if relative.parts[0] != PHOTOGRAPHS:
        return relative.parts[0]
    return pseudonyms.patient(*(study.patient or ("study", study.stored.uid)))


def _characteristics(study: Leaving) -> dict[str, object]:
    stored = study.stored
    age, site = stored.age_years, site_of(stored.body_site)
    return {
        "age": "" if age is None else min(int(age), OLDEST_TOLD),
        "sex": stored.sex or "",
        "body_site": "" if site is None else str(site),
        "skin_type": stored.skin_type or "",
    }
