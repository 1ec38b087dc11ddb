"""CT-ICH: head CT of 82 patients after an injury, each slice marked with the haemorrhages on it.

Source: https://doi.org/10.13026/4nae-zg36 (Hssayeni et al., PhysioNet, version 1.3.1)
Licence: CC BY 4.0 from version 1.3.1 on

Slices are pictures of the brain window, 8 bits. A patient is a study and a group; a slice's number is its
position, the lowest first.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data.errors import ManifestError
from data.sources.tables import Row, read_rows
from data.study import LabelledImage

HAEMORRHAGE, NONE = "haemorrhage", "none"
PUBLISHED_TABLES = ("hemorrhage_diagnosis.csv", "hemorrhage_diagnosis_raw_ct.csv")
REBUILT_TABLE = "labels.csv"


@dataclass(frozen=True, slots=True)
class _Columns:
    """What a layout calls its columns; `finding_of` gives our word for each finding's."""

    patient: str
    position: str
    finding_of: dict[str, str]

    @property
    def all(self) -> tuple[str, ...]:
        return (self.patient, self.position, *self.finding_of)


_REBUILT = _Columns(
    "patient", "slice", {name: name for name in ("IVH", "IPH", "SAH", "EDH", "SDH", "fracture")}
)
_PUBLISHED = _Columns(
    "PatientNumber",
    "SliceNumber",
    {
        "Intraventricular": "IVH",
        "Intraparenchymal": "IPH",
        "Subarachnoid": "SAH",
        "Epidural": "EDH",
        "Subdural": "SDH",
        "Fracture_Yes_No": "fracture",
    },
)


def read_images(root: Path) -> Iterator[LabelledImage]:
    """Yield the slices in the order of the table.

    The label says whether a haemorrhage is on the slice, the findings which ones, and a fracture. Both
    the published layout (``Patients_CT/049/brain/2.jpg``) and a rebuilt one (``brain/049_02.jpg``,
    ``labels.csv``) are read.

    Raises
    ------
    ManifestError
        If no table is found, a slice's file is missing or a slice is listed twice.
    """
    published = next((root / name for name in PUBLISHED_TABLES if (root / name).is_file()), None)
    table, columns = (published, _PUBLISHED) if published else (root / REBUILT_TABLE, _REBUILT)
    if not table.is_file():
        names = " or ".join((*PUBLISHED_TABLES, REBUILT_TABLE))
        raise ManifestError(root, f"holds no table; expected {names}")
    seen: set[tuple[int, int]] = set()
    for row in read_rows(table, columns=columns.all):
        patient, position = (_whole_number(row, column) for column in (columns.patient, columns.position))
        if (patient, position) in seen:
            raise row.error(f"slice {position} of patient {patient} is listed a second time")
        seen.add((patient, position))
        name = f"Patients_CT/{patient:03}/brain/{position}.jpg" if published else row.required("path")
        path = root / name
        if not path.is_file():
            raise row.error(f"slice {position} of patient {patient} is listed, but {path} does not exist")
        findings = frozenset(finding for column, finding in columns.finding_of.items() if row.flag(column))
        yield LabelledImage(
            path=path,
            label=HAEMORRHAGE if findings - {"fracture"} else NONE,
            group=f"{patient:03}",
            study=f"{patient:03}",
            position=position,
            findings=findings,
            origin=row.place,
        )


def _whole_number(row: Row, column: str) -> int:
    number = row.number(column, low=0, high=9999)
    if number is None or number != int(number):
        raise row.error(f"{column} is {row[column]!r}, expected a whole number")
    return int(number)
