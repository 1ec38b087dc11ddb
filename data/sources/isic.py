"""ISIC challenges of 2018, 2019 and 2020: dermoscopic images, in the layout of each year.

Source: https://challenge.isic-archive.com/data (2018: Task 3; 2020: https://doi.org/10.34970/2020-ds01)
Licence: CC BY-NC 4.0, so a model fitted on them may not be sold.

| year | images | labels | groups |
|---|---|---|---|
| 2018 | 10,015 train (HAM10000), 193 val, 1,512 test | seven diagnoses | lesion, for train only |
| 2019 | 25,331 train, 8,238 test | eight diagnoses, and "none of these" in test | lesion, for train only |
| 2020 | 33,126 train | benign, malignant | patient, lesion and the list of duplicates |

What is known to be wrong with them: the years share images (2019 holds 2018's train), 14,310 duplicates in
all years together, so one year must never test what another trained [1]_. In 2019 part of the images tell
no lesion. In 2020 the benign are mostly not biopsied, 27,124 have no diagnosis beyond "benign", and the
malignant are melanomas only. Skin is light throughout.

References
----------
.. [1] B. Cassidy et al., "Analysis of the ISIC image datasets: usage, benchmarks and recommendations",
   Medical Image Analysis 75 (2022) 102305.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from data.errors import ManifestError
from data.sources.pictures import find_pictures
from data.sources.tables import Row, read_rows
from data.study import LabelledImage, PatientContext, Sex

# The diagnoses of each year by the tables' own keys in small letters, in the order of their columns.
LABELS = MappingProxyType(
    {
        2018: ("mel", "nv", "bcc", "akiec", "bkl", "df", "vasc"),
        2019: ("mel", "nv", "bcc", "ak", "bkl", "df", "vasc", "scc"),
        2020: ("benign", "malignant"),
    }
)
UNKNOWN = "unk"

_MALIGNANCIES = {label: label for label in LABELS[2020]}
_SEXES = {"male": Sex.MALE, "female": Sex.FEMALE}
_ABSENT = frozenset({"unknown", "NA", "nan"})


@dataclass(frozen=True, slots=True)
class _Part:
    """One part of a year with its official split; `facts` is the table of lesions and patients' context."""

    stem: str
    split: str
    facts: str | None

    @property
    def truth(self) -> str:
        return f"{self.stem}_GroundTruth.csv"

    @property
    def folder(self) -> str:
        return f"{self.stem}_Input"


_PARTS = {
    2018: (
        _Part("ISIC2018_Task3_Training", "train", "ISIC2018_Task3_Training_LesionGroupings.csv"),
        _Part("ISIC2018_Task3_Validation", "val", None),
        _Part("ISIC2018_Task3_Test", "test", None),
    ),
    2019: (
        _Part("ISIC_2019_Training", "train", "ISIC_2019_Training_Metadata.csv"),
        _Part("ISIC_2019_Test", "test", "ISIC_2019_Test_Metadata.csv"),
    ),
}
# The second version adds the lesion, and so is taken first.
_TABLES_2020 = ("ISIC_2020_Training_GroundTruth_v2.csv", "ISIC_2020_Training_GroundTruth.csv")
_DUPLICATES_2020 = "ISIC_2020_Training_Duplicates.csv"
_FOLDERS_2020 = ("ISIC_2020_Training_JPEG", "train", "jpeg/train")


def read_images(root: Path, *, year: int | None = None, unknown: bool = False) -> Iterator[LabelledImage]:
    """Yield the images of one year, part by part, in the order of the ground truth.

    Every part that has its ground truth in `root` is read (train, val, test), and is its images' split.
    Images of one lesion share a group; in 2020 those of one patient do, and the two of a listed pair of
    duplicates with all that belongs to either. How a diagnosis was confirmed (2018), and the diagnosis
    behind "benign" and "malignant" (2020), are findings.

    Parameters
    ----------
    root : Path
        The folder of the tables and of the unpacked pictures.
    year : int or None
        2018, 2019 or 2020; None takes the year whose tables are there.
    unknown : bool
        Give the images of 2019's test that are none of the eight diagnoses, labelled ``unk``, too.

    Raises
    ------
    ManifestError
        If the tables of no year or of several are found, an image has no diagnosis or several, is listed
        twice, or its file or its row in a second table is missing.
    """
    if year is not None and year not in LABELS:
        raise ValueError(f"year is {year}, expected one of {', '.join(map(str, LABELS))}")
    found = [each for each in LABELS if any(_find(root, name).is_file() for name in _truths(each))]
    if year is None and len(found) > 1:
        raise ManifestError(root, f"holds the tables of {' and '.join(map(str, found))}; name the year")
    if year not in {None, *found} or not found:
        expected = ", ".join(name for each in ([year] if year else LABELS) for name in _truths(each))
        raise ManifestError(root, f"holds no ground truth; expected one of {expected}")
    chosen = year or found[0]
    if chosen == 2020:
        yield from _read_2020(root)
        return
    for part in _PARTS[chosen]:
        if _find(root, part.truth).is_file():
            yield from _read_part(root, part, labels=LABELS[chosen], unknown=unknown)


def join_groups(
    links: Iterable[tuple[tuple[int, str], tuple[int, str]]],
) -> dict[tuple[int, str], tuple[int, str]]:
    """Give for each name the least of all that it is linked with, directly or through others.

    A name is a pair of its kind and its text, so that a patient (0) stands for a lesion (1), and a lesion
    for an image (2).

    Examples
    --------
    >>> groups = join_groups(
    ...     [((2, "a"), (1, "L7")), ((2, "b"), (1, "L7")), ((2, "b"), (0, "P1")), ((2, "c"), (2, "c"))]
    ... )
    >>> groups[2, "a"], groups[2, "c"]
    ((0, 'P1'), (2, 'c'))
    """
    parent: dict[tuple[int, str], tuple[int, str]] = {}

    def top(name: tuple[int, str]) -> tuple[int, str]:
        parent.setdefault(name, name)
        while parent[name] != name:
            # Each step shortens the way for the next that comes along.
            parent[name] = name = parent[parent[name]]
        return name

    for one, other in links:
        low, high = sorted((top(one), top(other)))
        parent[high] = low
    return {name: top(name) for name in list(parent)}


def _truths(year: int) -> tuple[str, ...]:
    return _TABLES_2020 if year == 2020 else tuple(part.truth for part in _PARTS[year])


def _find(root: Path, table: str) -> Path:
    """Give a table's place: 2018's archives unpack into a folder of the table's own name."""
    within = root / Path(table).stem / table
    return within if within.is_file() else root / table


def _read_part(root: Path, part: _Part, *, labels: tuple[str, ...], unknown: bool) -> Iterator[LabelledImage]:
    facts = _read_facts(root, part)
    path_of_image = _pictures(root, part.folder)
    columns = [label.upper() for label in labels]
    table = _find(root, part.truth)
    for row in _each_once(table, "image", ("image", *columns)):
        name = row.required("image")
        has_unknown = UNKNOWN.upper() in row.cells
        label = _marked(row, [*columns, UNKNOWN.upper()] if has_unknown else columns)
        if label == UNKNOWN and not unknown:
            continue
        known = facts.get(name) if facts is not None else None
        if facts is not None and known is None:
            raise row.error(f"{name} is listed, but {part.facts} has no row for it")
        confirmed = known.text("diagnosis_confirm_type") if known else None
        yield LabelledImage(
            path=_path(row, name, path_of_image, root),
            label=label,
            group=(known.text("lesion_id", absent=_ABSENT) if known else None) or name,
            split=part.split,
            findings=frozenset({confirmed} if confirmed else ()),
            context=_context(known, "anatom_site_general") if known else PatientContext(),
            origin=row.place,
        )


def _read_facts(root: Path, part: _Part) -> dict[str, Row] | None:
    """Give a part's second table by image, None where none is published, or test's was not taken along."""
    if part.facts is None or (part.split == "test" and not _find(root, part.facts).is_file()):
        return None
    columns = ("image",) if part.split == "test" else ("image", "lesion_id")
    return {row["image"].strip(): row for row in _each_once(_find(root, part.facts), "image", columns)}


def _marked(row: Row, columns: list[str]) -> str:
    values = {column: row.number(column, low=0, high=1) for column in columns}
    for column, value in values.items():
        if value not in {0.0, 1.0}:
            raise row.error(f"{column} is {row[column]!r}, expected 0 or 1")
    marked = [column.lower() for column, value in values.items() if value]
    if len(marked) != 1:
        raise row.error(f"{row['image']} has {len(marked)} diagnoses, expected 1")
    return marked[0]


def _read_2020(root: Path) -> Iterator[LabelledImage]:
    table = next(path for name in _TABLES_2020 if (path := _find(root, name)).is_file())
    columns = ("image_name", "patient_id", "sex", "age_approx", "anatom_site_general_challenge")
    rows = list(_each_once(table, "image_name", (*columns, "diagnosis", "benign_malignant", "target")))
    group_of_name = join_groups([*_links(rows), *_duplicates(root / _DUPLICATES_2020)])
    path_of_image = _pictures(root, *_FOLDERS_2020)
    for row in rows:
        name = row.required("image_name")
        label = row.choice("benign_malignant", _MALIGNANCIES)
        if row.flag("target") != (label == "malignant"):
            raise row.error(f"{name} is {label}, but its target is {row['target']}")
        diagnosis = row.text("diagnosis", absent=_ABSENT)
        yield LabelledImage(
            path=_path(row, name, path_of_image, root),
            label=label,
            group=group_of_name[2, name][1],
            split="train",
            findings=frozenset({diagnosis} if diagnosis else ()),
            context=_context(row, "anatom_site_general_challenge"),
            origin=row.place,
        )


def _links(rows: Iterable[Row]) -> Iterator[tuple[tuple[int, str], tuple[int, str]]]:
    for row in rows:
        image = (2, row.required("image_name"))
        yield image, image
        for kind, column in enumerate(("patient_id", "lesion_id")):
            name = row.text(column, absent=_ABSENT)
            if name is not None:
                yield image, (kind, name)


def _duplicates(table: Path) -> Iterator[tuple[tuple[int, str], tuple[int, str]]]:
    if not table.is_file():
        raise ManifestError(
            table, "does not exist; without it copies of one picture may stand on both sides of a split"
        )
    for row in read_rows(table, columns=("image_name_1", "image_name_2")):
        yield (2, row.required("image_name_1")), (2, row.required("image_name_2"))


def _each_once(table: Path, key: str, columns: tuple[str, ...]) -> Iterator[Row]:
    seen: set[str] = set()
    for row in read_rows(table, columns=columns):
        name = row.required(key)
        if name in seen:
            raise row.error(f"{name} is listed a second time")
        seen.add(name)
        yield row


def _pictures(root: Path, *folders: str) -> dict[str, Path]:
    # The years share names, so a year's own folder counts before the whole root.
    return find_pictures(
        next((root / folder for folder in folders if (root / folder).is_dir()), root), ".jpg"
    )


def _path(row: Row, name: str, path_of_image: dict[str, Path], root: Path) -> Path:
    if name not in path_of_image:
        raise row.error(f"{name} is listed, but {name}.jpg is in no folder of {root}")
    return path_of_image[name]


def _context(row: Row, site: str) -> PatientContext:
    age = row.text("age_approx", absent=_ABSENT)
    return PatientContext(
        age_years=None if age is None else row.number("age_approx", low=0, high=130),
        sex=_SEXES.get(row.text("sex") or ""),
        body_site=row.text(site, absent=_ABSENT),
    )
