"""Kermany's chest radiographs: 5,856 frontal pictures of children with or without pneumonia.

Source: https://doi.org/10.17632/rscbjbr9sj.2 (Kermany, Zhang, Goldbaum, 2018), folder ``chest_xray``
Licence: CC BY 4.0

A child was often X-rayed more than once, and the published ``val`` has 16 pictures: take a validation set
from ``train`` by group. The sets are not exchangeable: what is calibrated on train does not hold on test.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from data.errors import ManifestError
from data.sources.tables import read_rows
from data.study import LabelledImage

SPLITS = ("train", "val", "test")
LABEL_OF_FOLDER = {"NORMAL": "normal", "PNEUMONIA": "pneumonia"}

_SUBTYPES = frozenset({"bacteria", "virus"})
# person123_bacteria_4, person447_virus_921_1, IM-0115-0001, IM-0011-0001-0002, NORMAL2-IM-0942-0001
_NAME = re.compile(
    r"(?P<person>person\d+)_(?P<subtype>bacteria|virus)_\d+(_\d+)*|(?P<series>(?:NORMAL2-)?IM-\d+)-[\d-]+"
)


def read_images(root: Path) -> Iterator[LabelledImage]:
    """Yield the radiographs in the order of split, class and name.

    A child is a group, told from the files' names, or from the column ``group`` of a ``labels.csv``
    where there is one. Numbers start anew in each split, so the split is part of the group. The kind of
    pneumonia, bacteria or virus, is a finding.

    Raises
    ------
    ManifestError
        If a folder is missing or empty, a name does not tell the child, or the table and the files
        disagree.
    """
    table = root / "labels.csv"
    group_of_path = _read_groups(table) if table.is_file() else None
    n_found = 0
    for split in SPLITS:
        for folder_name, label in LABEL_OF_FOLDER.items():
            for path in _pictures(root / split / folder_name):
                n_found += 1
                told = _NAME.fullmatch(path.stem)
                if told is None:
                    raise ManifestError(
                        path, "does not tell the child by its name (person1_virus_2, IM-0001-0001)"
                    )
                group = f"{split}:{told['person'] or told['series']}"
                if group_of_path is not None:
                    name = path.relative_to(root).as_posix()
                    if name not in group_of_path:
                        raise ManifestError(table, f"{name} is a file, but not listed")
                    group = group_of_path[name]
                findings = frozenset({told["subtype"]}) & _SUBTYPES
                yield LabelledImage(path=path, label=label, group=group, split=split, findings=findings)
    if group_of_path is not None and n_found != len(group_of_path):
        raise ManifestError(table, f"lists {len(group_of_path)} radiographs, but there are {n_found} files")


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ManifestError(
            folder, "is missing; expected train, val and test, each with NORMAL and PNEUMONIA"
        )
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in {".jpeg", ".jpg"})


def _read_groups(table: Path) -> dict[str, str]:
    return {
        row.required("path"): row.required("group") for row in read_rows(table, columns=("path", "group"))
    }
