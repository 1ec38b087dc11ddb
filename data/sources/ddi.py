"""DDI, Diverse Dermatology Images: 656 photographs of biopsied skin lesions, over three bands of skin tone.

Source: https://ddi-dataset.github.io (Daneshjou et al., Science Advances 8, eabq6147, 2022), given out by
Stanford AIMI
Licence: Stanford's own research use agreement, to be signed by each user: not for sale, not to be passed
on. Whether a fitted model may be, it should be asked; the set was made to test with.

What is known to be wrong with it: 570 patients are in it, but the table names none, so photographs of one
patient cannot be kept on one side of a split: test with it, do not fold it. Skin tone is told in bands of
two Fitzpatrick types. It comes from one hospital, and only what was biopsied is in it.
"""

from collections.abc import Iterator
from pathlib import Path

from data.sources.pictures import find_pictures
from data.sources.tables import Row, read_rows
from data.study import LabelledImage

LABELS = ("benign", "malignant")
# What the table calls each band of Fitzpatrick types, and the finding that tells it.
SKIN_TONES = {"12": "fitzpatrick-1-2", "34": "fitzpatrick-3-4", "56": "fitzpatrick-5-6"}

TABLE = "ddi_metadata.csv"
# The authors' own loader knows the column by two names.
_MALIGNANT_COLUMNS = ("malignant", "malignancy(malig=1)")
_MALIGNANT = {
    "True": "malignant", "TRUE": "malignant", "1": "malignant",
    "False": "benign", "FALSE": "benign", "0": "benign",
}  # fmt: skip


def read_images(root: Path) -> Iterator[LabelledImage]:
    """Yield the photographs in the order of the table.

    The label says whether the biopsy found a malignant lesion; the disease and the band of skin tone
    (see :data:`SKIN_TONES`) are findings, the band because it does not tell one Fitzpatrick type. Each
    photograph is a group of its own, since the table tells no patient.

    Parameters
    ----------
    root : Path
        The folder that holds ``ddi_metadata.csv``; the photographs may lie in any folder of it.

    Raises
    ------
    ManifestError
        If a row names an unknown skin tone, a photograph twice, or one whose file is missing.
    """
    path_of_name = find_pictures(root, ".png")
    seen: set[str] = set()
    for row in read_rows(root / TABLE, columns=("DDI_file", "skin_tone", "disease")):
        file = row.required("DDI_file")
        if file in seen:
            raise row.error(f"{file} is listed a second time")
        seen.add(file)
        name = file.removesuffix(".png")
        if name not in path_of_name:
            raise row.error(f"{file} is listed, but is in no folder of {root}")
        yield LabelledImage(
            path=path_of_name[name],
            label=row.choice(_malignant_column(row), _MALIGNANT),
            group=name,
            findings=frozenset({row.choice("skin_tone", SKIN_TONES), row.required("disease")}),
            origin=row.place,
        )


def _malignant_column(row: Row) -> str:
    for column in _MALIGNANT_COLUMNS:
        if column in row.cells:
            return column
    raise row.error(f"there is no column {' or '.join(_MALIGNANT_COLUMNS)}")
