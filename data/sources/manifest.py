"""Any labelled set of one's own: a table in CSV that names each picture, its label and its group.

Source: the user's
Licence: the user's

Columns: ``path`` (relative to the table, or absolute), ``label``, ``group`` (the patient or lesion that a
split must not tear apart), and as wanted ``study``, ``position``, ``split``, ``fold`` (0 and on, for those
who make their own), ``age`` (years), ``sex`` (F, M, O), ``body_site``, ``skin_type`` (Fitzpatrick 1 to 6).
Other columns are the user's own and are passed over, but for one that looks like a slip of the pen for a
column above.
"""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from data.errors import ManifestError, MissingImagesError
from data.sources.tables import Row, read_rows
from data.study import LabelledImage, PatientContext, Sex

REQUIRED_COLUMNS = ("path", "label", "group")
OPTIONAL_COLUMNS = ("study", "position", "split", "fold", "age", "sex", "body_site", "skin_type")
MAX_FOLD = 999

_SEXES = {
    "f": Sex.FEMALE, "female": Sex.FEMALE, "女": Sex.FEMALE,
    "m": Sex.MALE, "male": Sex.MALE, "男": Sex.MALE,
    "o": Sex.OTHER, "other": Sex.OTHER,
}  # fmt: skip


@dataclass
class _Seen:
    """What the rows so far said, each with its line."""

    line_of_path: dict[Path, int] = field(default_factory=dict)
    group_of_study: dict[str, str] = field(default_factory=dict)
    fold_of_group: dict[str, tuple[int | None, int]] = field(default_factory=dict)

    def check(self, row: Row, image: LabelledImage) -> None:
        """Raise ManifestError if the row contradicts an earlier one."""
        first = self.line_of_path.setdefault(image.path.resolve(), row.line)
        if first != row.line:
            raise row.error(f"{image.path} is listed in line {first} already")
        if image.study and self.group_of_study.setdefault(image.study, image.group) != image.group:
            other = self.group_of_study[image.study]
            raise row.error(f"study {image.study!r} lies in group {image.group!r} and in {other!r}")
        fold, line = self.fold_of_group.setdefault(image.group, (image.fold, row.line))
        if fold != image.fold:
            here, there = ("no fold" if one is None else f"fold {one}" for one in (image.fold, fold))
            raise row.error(f"group {image.group!r} stands in {here}, but in {there} in line {line}")


def read_images(
    root: Path, *, group_column: str = "group", encoding: str = "utf-8"
) -> Iterator[LabelledImage]:
    """Yield the images in the order of the table.

    Parameters
    ----------
    root : Path
        The table itself.
    group_column : str
        Where the group stands, if not in ``group``.
    encoding : str
        Of the table's text; ``gb18030`` for what a Chinese spreadsheet program saves as plain CSV.

    Raises
    ------
    ManifestError
        If a column or cell is missing or unfit, a picture is absent or listed twice, a study lies in two
        groups, a group in two folds, or the table has no rows. Absent pictures are told at the end, all
        of them.
    """
    seen = _Seen()
    missing: list[tuple[int, Path]] = []
    for row in read_rows(root, columns=("path", "label", group_column), encoding=encoding):
        if not seen.line_of_path:
            _check_columns(row)
        image = _read_image(row, root.parent / row.required("path"), group_column)
        seen.check(row, image)
        if image.path.is_file():
            yield image
        else:
            missing.append((row.line, image.path))
    if missing:
        raise MissingImagesError(root, missing)
    if not seen.line_of_path:
        raise ManifestError(root, "lists no images")


def _read_image(row: Row, path: Path, group_column: str) -> LabelledImage:
    return LabelledImage(
        path=path,
        label=row.required("label"),
        group=row.required(group_column),
        study=row.text("study") or "",
        position=_whole_number(row, "position", high=1_000_000) or 0,
        split=row.text("split"),
        context=_read_context(row),
        fold=_whole_number(row, "fold", high=MAX_FOLD),
        origin=row.place,
    )


def _read_context(row: Row) -> PatientContext:
    sex = row.text("sex")
    if sex is not None and sex.lower() not in _SEXES:
        raise row.error(f"sex is {sex!r}, expected F, M or O")
    return PatientContext(
        age_years=row.number("age", low=0, high=130),
        sex=None if sex is None else _SEXES[sex.lower()],
        body_site=row.text("body_site"),
        skin_type=_whole_number(row, "skin_type", low=1, high=6),
    )


def _whole_number(row: Row, column: str, *, low: int = 0, high: int) -> int | None:
    number = row.number(column, low=low, high=high)
    if number is None:
        return None
    if number != int(number):
        raise row.error(f"{column} is {row[column]!r}, expected a whole number")
    return int(number)


def _check_columns(row: Row) -> None:
    known = {column.replace("_", ""): column for column in (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS)}
    for column in row.cells:
        if column in known.values():
            continue
        plain = "".join(filter(str.isalnum, column.lower()))
        meant = difflib.get_close_matches(plain, known, n=1, cutoff=0.85)
        if meant:
            problem = (
                f"column {column!r} is unknown; is {known[meant[0]]!r} meant? Rename it, or leave it out"
            )
            raise ManifestError(row.table, problem, row=1)
