"""Fitzpatrick 17k: 16,577 photographs of 114 skin conditions, with the skin type that annotators saw.

Source: https://github.com/mattgroh/fitzpatrick17k (Groh et al., CVPR Workshops 2021), pictures from the
atlases DermaAmin and Atlas Dermatologico, by the addresses in the table
Licence: CC BY-NC-SA 3.0 for the table; the pictures belong to the atlases.

What is known to be wrong with it: the diagnoses are the atlases' captions, confirmed by nobody; a skin type
is a guess at a photograph of diseased skin. No patient is named, and many pictures are there more than
once: one count found near duplicates for 21 % of them, wrong labels for 22 %, and 4 % that show something
else [1]_. Look for leaks by perceptual hash before figures are believed, or fit on a cleaned list [2]_.

References
----------
.. [1] F. Gröger et al., "CleanPatrick: a benchmark for image data cleaning" (2025).
.. [2] K. Abhishek, A. Jain, G. Hamarneh, "Investigating the quality of DermaMNIST and Fitzpatrick17k
   dermatological image datasets", Scientific Data 12 (2025) 196.
"""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from data.errors import ManifestError
from data.sources.pictures import find_pictures
from data.sources.tables import Row, read_rows
from data.study import LabelledImage, PatientContext

TABLE = "fitzpatrick17k.csv"


class Level(StrEnum):
    """How fine the label is, by the table's column: 114 conditions, nine groups of them, or three."""

    CONDITION = "label"
    NINE_GROUPS = "nine_partition_label"
    THREE_GROUPS = "three_partition_label"


def read_images(
    root: Path, *, level: Level = Level.THREE_GROUPS, least_present: float = 1.0
) -> Iterator[LabelledImage]:
    """Yield the photographs in the order of the table.

    A photograph is ``<md5hash>.jpg`` in any folder of `root`, and a group of its own, since the set tells
    no more. Labels finer than the one asked for are findings. Passed over are rows that the set's own
    dermatologists called wrongly labelled, and a hash that comes again with the same label.

    Parameters
    ----------
    root : Path
        The folder that holds ``fitzpatrick17k.csv``.
    level : Level
        Which column is the label.
    least_present : float, 0 to 1
        The share of listed photographs whose files must be there. Addresses in the table have died: with
        0.9 up to a tenth may be absent and is passed over; by default none may.

    Raises
    ------
    ManifestError
        If too many files are absent, a label is blank, a skin type is none, or a hash has two labels.
    """
    if not 0 < least_present <= 1:
        raise ValueError(f"least_present is {least_present}, expected more than 0 and at most 1")
    level = Level(level)
    path_of_hash = find_pictures(root, ".jpg")
    rows = [row for row in _rows(root / TABLE, level) if "wrong" not in (row.text("qc") or "").lower()]
    absent = [row for row in rows if row.required("md5hash") not in path_of_hash]
    if len(absent) == len(rows) or len(absent) > (1 - least_present) * len(rows):
        first = absent[0] if absent else None
        raise ManifestError(
            root / TABLE,
            f"lists {len(rows):,} photographs, but {len(absent):,} are in no folder of {root}"
            + (f", the first {first['md5hash']}.jpg" if first else "")
            + "; download them, or allow for it by least_present",
            row=first.line if first else None,
        )
    for row in rows:
        path = path_of_hash.get(row.required("md5hash"))
        if path is not None:
            yield _read_image(row, path, level)


def _rows(table: Path, level: Level) -> Iterator[Row]:
    label_of_hash: dict[str, str] = {}
    for row in read_rows(table, columns=("md5hash", "fitzpatrick_scale", "qc", *Level)):
        name, label = row.required("md5hash"), row.required(level)
        if name not in label_of_hash:
            label_of_hash[name] = label
            yield row
        elif label_of_hash[name] != label:
            raise row.error(f"{name} is {label!r} here, but {label_of_hash[name]!r} further up")


def _read_image(row: Row, path: Path, level: Level) -> LabelledImage:
    levels = list(Level)
    finer = [row.required(column) for column in levels[: levels.index(level)]]
    return LabelledImage(
        path=path,
        label=row.required(level),
        group=row.required("md5hash"),
        findings=frozenset(finer),
        context=PatientContext(skin_type=_skin_type(row)),
        origin=row.place,
    )


def _skin_type(row: Row) -> int | None:
    scale = row.number("fitzpatrick_scale", low=-1, high=6)
    if scale is None or scale == -1:
        return None
    if scale not in range(1, 7):
        raise row.error(f"fitzpatrick_scale is {row['fitzpatrick_scale']!r}, expected 1 to 6, or -1")
    return int(scale)
