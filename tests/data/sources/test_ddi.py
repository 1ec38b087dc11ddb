"""DDI in its published layout: labels, bands of skin tone, named errors."""

from pathlib import Path

import pytest

from data.errors import ManifestError
from data.sources.ddi import read_images

# The published table begins with a column of row numbers that has no name.
HEADER = ",DDI_ID,DDI_file,skin_tone,malignant,disease\n"


def lay_out(root: Path, rows: str, *, header: str = HEADER) -> Path:
    (root / "ddi_metadata.csv").write_text(header + rows, encoding="utf-8")
    (root / "images").mkdir()
    for number in (1, 2):
        (root / "images" / f"00000{number}.png").write_bytes(b"")
    return root


def test_the_label_is_the_biopsy_and_tone_and_disease_are_findings(tmp_path: Path) -> None:
    rows = "0,1,000001.png,56,True,melanoma-in-situ\n1,2,000002.png,12,False,folliculitis\n"

    first, second = read_images(lay_out(tmp_path, rows))

    assert (first.label, first.findings) == ("malignant", frozenset({"melanoma-in-situ", "fitzpatrick-5-6"}))
    assert (second.label, second.findings) == ("benign", frozenset({"folliculitis", "fitzpatrick-1-2"}))
    assert first.path == tmp_path / "images" / "000001.png"
    assert first.context.skin_type is None


def test_each_photograph_is_a_group_because_no_patient_is_told(tmp_path: Path) -> None:
    rows = "0,1,000001.png,56,True,melanoma\n1,2,000002.png,56,True,melanoma\n"

    assert [image.group for image in read_images(lay_out(tmp_path, rows))] == ["000001", "000002"]


def test_the_columns_other_name_is_known(tmp_path: Path) -> None:
    header = "DDI_ID,DDI_file,skin_tone,malignancy(malig=1),disease\n"
    root = lay_out(tmp_path, "1,000001.png,34,1,melanoma\n2,000002.png,34,0,wart\n", header=header)

    assert [image.label for image in read_images(root)] == ["malignant", "benign"]


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("0,1,000001.png,78,True,melanoma\n", "line 2: skin_tone is '78', expected one of 12, 34, 56"),
        ("0,1,000001.png,56,maybe,melanoma\n", "line 2: malignant is 'maybe', expected one of True"),
        ("0,1,000009.png,56,True,melanoma\n", "line 2: 000009.png is listed, but is in no folder"),
        ("0,1,000001.png,56,True,\n", "line 2: disease is blank"),
        (
            "0,1,000001.png,56,True,melanoma\n1,1,000001.png,56,True,melanoma\n",
            "line 3: 000001.png is listed a second time",
        ),
    ],
)
def test_an_error_names_table_and_line(tmp_path: Path, rows: str, problem: str) -> None:
    with pytest.raises(ManifestError, match=rf"ddi_metadata\.csv, {problem}"):
        list(read_images(lay_out(tmp_path, rows)))


def test_a_table_without_a_malignant_column_is_said_so(tmp_path: Path) -> None:
    root = lay_out(tmp_path, "000001.png,56,melanoma\n", header="DDI_file,skin_tone,disease\n")

    with pytest.raises(ManifestError, match="there is no column malignant or malignancy"):
        list(read_images(root))
