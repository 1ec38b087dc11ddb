"""Fitzpatrick 17k: three levels of label, skin types, dead addresses and doubtful rows."""

from pathlib import Path

import pytest

from data.errors import ManifestError
from data.sources.fitzpatrick17k import Level, read_images

HEADER = (
    "md5hash,fitzpatrick_scale,fitzpatrick_centaur,label,nine_partition_label,three_partition_label,qc,url,"
    "url_alphanum\n"
)


def row(name: str, *, scale: str = "3", label: str = "melanoma", qc: str = "") -> str:
    return f"{name},{scale},3,{label},malignant melanoma,malignant,{qc},https://example.org/a.jpg,a.jpg\n"


def lay_out(root: Path, rows: str, *, present: tuple[str, ...] = ("aa", "bb")) -> Path:
    (root / "fitzpatrick17k.csv").write_text(HEADER + rows, encoding="utf-8")
    folder = root / "data" / "images"
    folder.mkdir(parents=True)
    for name in present:
        (folder / f"{name}.jpg").write_bytes(b"")
    return root


@pytest.mark.parametrize(
    ("level", "label", "findings"),
    [
        (Level.THREE_GROUPS, "malignant", {"melanoma", "malignant melanoma"}),
        (Level.NINE_GROUPS, "malignant melanoma", {"melanoma"}),
        (Level.CONDITION, "melanoma", set()),
    ],
)
def test_the_label_is_of_the_level_asked_for_and_finer_ones_are_findings(
    tmp_path: Path, level: Level, label: str, findings: set[str]
) -> None:
    (image,) = read_images(lay_out(tmp_path, row("aa")), level=level)

    assert (image.label, image.group) == (label, "aa")
    assert image.findings == findings
    assert image.path == tmp_path / "data" / "images" / "aa.jpg"


def test_a_skin_type_may_be_unknown(tmp_path: Path) -> None:
    images = read_images(lay_out(tmp_path, row("aa", scale="6") + row("bb", scale="-1")))

    assert [image.context.skin_type for image in images] == [6, None]


def test_a_row_called_wrongly_labelled_is_passed_over(tmp_path: Path) -> None:
    rows = row("aa", qc="3 Wrongly labelled") + row("bb", qc="1 Diagnostic")

    assert [image.path.stem for image in read_images(lay_out(tmp_path, rows))] == ["bb"]


def test_a_hash_that_comes_again_counts_once_unless_it_contradicts(tmp_path: Path) -> None:
    root = lay_out(tmp_path, row("aa") + row("aa") + row("bb") + row("bb", label="naevus"))

    assert [image.path.stem for image in read_images(root)] == ["aa", "bb"]
    with pytest.raises(ManifestError, match="line 5: bb is 'naevus' here, but 'melanoma' further up"):
        list(read_images(root, level=Level.CONDITION))


def test_absent_photographs_are_refused_unless_their_share_is_allowed(tmp_path: Path) -> None:
    root = lay_out(tmp_path, "".join(map(row, ("aa", "cc", "bb", "dd"))))

    with pytest.raises(ManifestError, match=r"line 3: lists 4 photographs, but 2 are .* the first cc\.jpg"):
        list(read_images(root))
    with pytest.raises(ManifestError, match="2 are in no folder"):
        list(read_images(root, least_present=0.6))
    assert [image.path.stem for image in read_images(root, least_present=0.5)] == ["aa", "bb"]


def test_a_folder_without_any_photograph_is_refused_however_many_may_be_absent(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="lists 1 photographs, but 1 are in no folder"):
        list(read_images(lay_out(tmp_path, row("aa"), present=()), least_present=0.01))


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (row("aa", scale="0"), "line 2: fitzpatrick_scale is '0', expected 1 to 6, or -1"),
        (row("aa", scale="7"), "line 2: fitzpatrick_scale is '7', expected a number from -1 to 6"),
        (row("aa", scale="2.5"), "line 2: fitzpatrick_scale is '2.5', expected 1 to 6"),
        (row("aa", label=""), "line 2: label is blank"),
        (row(""), "line 2: md5hash is blank"),
    ],
)
def test_an_error_names_table_and_line(tmp_path: Path, rows: str, problem: str) -> None:
    with pytest.raises(ManifestError, match=rf"fitzpatrick17k\.csv, {problem}"):
        list(read_images(lay_out(tmp_path, rows)))


@pytest.mark.parametrize("share", [0.0, 1.1])
def test_a_share_is_more_than_nothing_and_at_most_all(tmp_path: Path, share: float) -> None:
    with pytest.raises(ValueError, match="least_present"):
        list(read_images(tmp_path, least_present=share))
