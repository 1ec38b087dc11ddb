"""Any labelled set of one's own: a table in CSV that names each picture, its label and its group.

Source: the user's
Licence: the user's

Columns: ``path`` (relative to the table, or absolute), ``label``, ``group`` (the patient or lesion that a
split must not tear apart), and as wanted ``study``, ``position``, ``split``, ``age`` (years), ``sex`` (F, M,
O), ``body_site``, ``skin_type`` (Fitzpatrick 1 to 6). Other columns are the user's own and are passed over,
but for one that looks like a slip of the pen for a column above.
"""

import difflib
from collections.abc import Iterator
from pathlib import Path

from data.errors import ManifestError
from data.sources.tables import Row, read_rows
from data.study import LabelledImage, PatientContext, Sex

REQUIRED_COLUMNS = ("path", "label", "group")
OPTIONAL_COLUMNS = ("study", "position", "split", "age", "sex", "body_site", "skin_type")

_SEXES = {
    "f": Sex.FEMALE, "female": Sex.FEMALE, "女": Sex.FEMALE,
    "m": Sex.MALE, "male": Sex.MALE, "男": Sex.MALE,
    "o": Sex.OTHER, "other": Sex.OTHER,
}  # fmt: skip


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
        groups, or the table has no rows.
    """
    line_of_path: dict[Path, int] = {}
    group_of_study: dict[str, str] = {}
    for row in read_rows(root, columns=("path", "label", group_column), encoding=encoding):
        if not line_of_path:
            _check_columns(row)
        path = root.parent / row.required("path")
        if not path.is_file():
            raise row.error(f"{path} does not exist")
        first = line_of_path.setdefault(path.resolve(), row.line)
        if first != row.line:
            raise row.error(f"{path} is listed in line {first} already")
        image = _read_image(row, path, group_column)
        if image.study and group_of_study.setdefault(image.study, image.group) != image.group:
            other = group_of_study[image.study]
            raise row.error(f"study {image.study!r} lies in group {image.group!r} and in {other!r}")
        yield image
    if not line_of_path:
        raise ManifestError(root, "lists no images")


def _read_image(row: Row, path: Path, group_column: str) -> LabelledImage:
    position = row.number("position", low=0, high=1_000_000) or 0.0
    if position != int(position):
        raise row.error(f"position is {row['position']!r}, expected a whole number")
    return LabelledImage(
        path=path,
        label=row.required("label"),
        group=row.required(group_column),
        study=row.text("study") or "",
        position=int(position),
        split=row.text("split"),
        context=_read_context(row),
    )


def _read_context(row: Row) -> PatientContext:
    sex = row.text("sex")
    if sex is not None and sex.lower() not in _SEXES:
        raise row.error(f"sex is {sex!r}, expected F, M or O")
    skin_type = row.number("skin_type", low=1, high=6)
    if skin_type is not None and skin_type != int(skin_type):
        raise row.error(f"skin_type is {row['skin_type']!r}, expected a whole number")
    return PatientContext(
        age_years=row.number("age", low=0, high=130),
        sex=None if sex is None else _SEXES[sex.lower()],
        body_site=row.text("body_site"),
        skin_type=None if skin_type is None else int(skin_type),
    )


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
