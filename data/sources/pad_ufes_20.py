"""PAD-UFES-20: 2,298 smartphone photographs of skin lesions with one of six diagnoses each.

Source: https://doi.org/10.17632/zr7vgbcyr2.1 (Pacheco et al., Data in Brief 32, 106221, 2020)
Licence: CC BY 4.0

A patient has several lesions, a lesion several photographs: the patient is the group.
"""

from collections.abc import Iterator
from pathlib import Path

from data.errors import ManifestError
from data.sources.tables import Row, read_rows
from data.study import LabelledImage, PatientContext, Sex

# The table's own keys in small letters: actinic keratosis, basal cell carcinoma, melanoma, naevus, squamous
# cell carcinoma, seborrhoeic keratosis.
LABELS = ("ack", "bcc", "mel", "nev", "scc", "sek")

PUBLISHED_TABLE = "metadata.csv"
SAMPLE_TABLE = "labels.csv"
_DIAGNOSES = {label.upper(): label for label in LABELS}
_SEXES = {"MALE": Sex.MALE, "FEMALE": Sex.FEMALE}
_COLUMNS = ("img_id", "patient_id", "diagnostic", "age", "gender", "fitspatrick", "region")


def read_images(root: Path) -> Iterator[LabelledImage]:
    """Yield the photographs in the order of the table.

    Read are the published layout (``metadata.csv``, the pictures in ``imgs_part_1`` to ``imgs_part_3``
    or in one folder) and that of a sample (``labels.csv`` whose column ``file`` names the picture).
    Whether a diagnosis was confirmed by biopsy is the finding ``biopsied``.

    Raises
    ------
    ManifestError
        If no table is found, a diagnosis is unknown, or a picture is missing or listed twice.
    """
    table = next((root / name for name in (SAMPLE_TABLE, PUBLISHED_TABLE) if (root / name).is_file()), None)
    if table is None:
        raise ManifestError(root, f"holds no table; expected {PUBLISHED_TABLE} or {SAMPLE_TABLE}")
    folders = [root, *sorted(path for path in root.rglob("*") if path.is_dir())]
    path_of_name = {path.name: path for folder in folders for path in folder.iterdir() if path.is_file()}
    seen: set[str] = set()
    for row in read_rows(table, columns=_COLUMNS):
        image = row.required("img_id")
        if image in seen:
            raise row.error(f"{image} is listed a second time")
        seen.add(image)
        name = row.text("file") or image
        if name not in path_of_name:
            raise row.error(f"{image} is listed, but {name} is in no folder of {root}")
        yield LabelledImage(
            path=path_of_name[name],
            label=row.choice("diagnostic", _DIAGNOSES),
            group=row.required("patient_id"),
            findings=frozenset({"biopsied"}) if row.text("biopsed") == "True" else frozenset(),
            context=_read_context(row),
            origin=row.place,
        )


def _read_context(row: Row) -> PatientContext:
    skin_type = row.number("fitspatrick", low=1, high=6)
    return PatientContext(
        age_years=row.number("age", low=0, high=130),
        sex=_SEXES.get(row["gender"].strip()),
        body_site=(row.text("region") or "").lower() or None,
        skin_type=None if skin_type is None else int(skin_type),
    )
