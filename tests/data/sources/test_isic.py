"""ISIC 2018, 2019 and 2020 in their published layouts: labels, groups that hold together, named errors."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from data.errors import ManifestError
from data.sources.isic import LABELS, join_groups, read_images
from data.study import Sex

TRUTH_2018 = "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\n"
TRUTH_2019 = "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK\n"
FACTS_2018 = "image,lesion_id,diagnosis_confirm_type\n"
FACTS_2019 = "image,age_approx,anatom_site_general,lesion_id,sex\n"
TRUTH_2020 = (
    "image_name,patient_id,lesion_id,sex,age_approx,anatom_site_general_challenge,diagnosis,"
    "benign_malignant,target\n"
)
DUPLICATES = "image_name_1,image_name_2\n"


def one_hot(name: str, label: str, labels: Sequence[str]) -> str:
    return ",".join([name, *("1.0" if each == label else "0.0" for each in labels)]) + "\n"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def pictures(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}.jpg").write_bytes(b"")


def lay_out_2018(root: Path, rows: str, *, facts: str) -> Path:
    # The archive of the ground truth unpacks into a folder of its own name.
    name = "ISIC2018_Task3_Training_GroundTruth"
    write(root / name / f"{name}.csv", TRUTH_2018 + rows)
    write(root / "ISIC2018_Task3_Training_LesionGroupings.csv", FACTS_2018 + facts)
    pictures(root / "ISIC2018_Task3_Training_Input", "ISIC_1", "ISIC_2")
    return root


def lay_out_2019(root: Path, rows: str, *, facts: str) -> Path:
    write(root / "ISIC_2019_Training_GroundTruth.csv", TRUTH_2019 + rows)
    write(root / "ISIC_2019_Training_Metadata.csv", FACTS_2019 + facts)
    pictures(root / "ISIC_2019_Training_Input", "ISIC_1", "ISIC_2_downsampled")
    return root


def lay_out_2020(root: Path, rows: str, *, duplicates: str = "") -> Path:
    write(root / "ISIC_2020_Training_GroundTruth_v2.csv", TRUTH_2020 + rows)
    write(root / "ISIC_2020_Training_Duplicates.csv", DUPLICATES + duplicates)
    pictures(root / "train", *(line.split(",")[0] for line in rows.splitlines()))
    return root


def test_2018_gives_diagnosis_lesion_and_how_it_was_confirmed(tmp_path: Path) -> None:
    rows = one_hot("ISIC_1", "mel", LABELS[2018]) + one_hot("ISIC_2", "akiec", LABELS[2018])
    facts = "ISIC_1,HAM_7,histopathology\nISIC_2,HAM_7,single image expert consensus\n"

    first, second = read_images(lay_out_2018(tmp_path, rows, facts=facts))

    assert (first.label, second.label) == ("mel", "akiec")
    assert first.group == second.group == "HAM_7"
    assert first.findings == {"histopathology"}
    assert first.path == tmp_path / "ISIC2018_Task3_Training_Input" / "ISIC_1.jpg"


def test_2018_parts_keep_their_official_split(tmp_path: Path) -> None:
    facts = "ISIC_1,HAM_7,histopathology\n"
    root = lay_out_2018(tmp_path, one_hot("ISIC_1", "nv", LABELS[2018]), facts=facts)
    for part, name in (("Validation", "ISIC_3"), ("Test", "ISIC_4")):
        stem = f"ISIC2018_Task3_{part}"
        write(root / f"{stem}_GroundTruth.csv", TRUTH_2018 + one_hot(name, "df", LABELS[2018]))
        pictures(root / f"{stem}_Input", name)

    images = list(read_images(root))

    assert [(image.split, image.group) for image in images] == [
        ("train", "HAM_7"),
        ("val", "ISIC_3"),
        ("test", "ISIC_4"),
    ]


def test_2019_gives_context_and_an_image_without_a_lesion_stands_alone(tmp_path: Path) -> None:
    labels = (*LABELS[2019], "unk")
    rows = one_hot("ISIC_1", "scc", labels) + one_hot("ISIC_2_downsampled", "ak", labels)
    facts = "ISIC_1,55.0,anterior torso,BCN_3,female\nISIC_2_downsampled,,,,\n"

    first, second = read_images(lay_out_2019(tmp_path, rows, facts=facts))

    assert (first.label, first.group) == ("scc", "BCN_3")
    assert (second.label, second.group) == ("ak", "ISIC_2_downsampled")
    context = first.context
    assert (context.age_years, context.sex, context.body_site) == (55.0, Sex.FEMALE, "anterior torso")
    assert (second.context.age_years, second.context.sex, second.context.body_site) == (None, None, None)


def test_2019_test_has_weights_and_unknowns_that_are_given_when_asked_for(tmp_path: Path) -> None:
    labels = (*LABELS[2019], "unk")
    header = TRUTH_2019.strip() + ",score_weight,validation_weight\n"
    rows = "".join(
        one_hot(name, label, labels).strip() + ",1.0,0.0\n"
        for name, label in (("T_1", "bcc"), ("T_2", "unk"))
    )
    write(tmp_path / "ISIC_2019_Test_GroundTruth.csv", header + rows)
    facts = "image,age_approx,anatom_site_general,sex\nT_1,70,head/neck,male\nT_2,,,\n"
    write(tmp_path / "ISIC_2019_Test_Metadata.csv", facts)
    pictures(tmp_path / "ISIC_2019_Test_Input", "T_1", "T_2")

    assert [image.label for image in read_images(tmp_path)] == ["bcc"]
    both = list(read_images(tmp_path, unknown=True))
    assert [(image.label, image.split) for image in both] == [("bcc", "test"), ("unk", "test")]
    assert both[0].context.body_site == "head/neck"


def test_2020_gives_label_diagnosis_and_context(tmp_path: Path) -> None:
    rows = "ISIC_1,IP_1,IL_1,male,45.0,head/neck,melanoma,malignant,1\nISIC_2,IP_2,IL_2,,,,unknown,benign,0\n"

    first, second = read_images(lay_out_2020(tmp_path, rows))

    assert (first.label, first.group, first.findings) == ("malignant", "IP_1", frozenset({"melanoma"}))
    assert (second.label, second.group, second.findings) == ("benign", "IP_2", frozenset())
    assert (first.context.age_years, first.context.sex) == (45.0, Sex.MALE)
    assert (second.context.age_years, second.context.sex) == (None, None)


def test_2020_joins_patient_lesion_and_duplicate_through_each_other(tmp_path: Path) -> None:
    benign = "male,45,torso,nevus,benign,0\n"
    rows = (
        f"A,IP_1,IL_1,{benign}B,IP_1,IL_2,{benign}"  # one patient
        f"C,IP_2,IL_3,{benign}"  # a duplicate of B
        f"D,,IL_3,{benign}"  # the lesion of C, without a patient
        f"E,,,{benign}F,,IL_9,{benign}"  # belong to nothing else
    )

    images = list(read_images(lay_out_2020(tmp_path, rows, duplicates="B,C\nE,gone\n")))

    assert [(image.path.stem, image.group) for image in images] == [
        ("A", "IP_1"),
        ("B", "IP_1"),
        ("C", "IP_1"),
        ("D", "IP_1"),
        ("E", "E"),
        ("F", "IL_9"),
    ]


def test_2020_reads_the_first_version_that_has_no_lesions(tmp_path: Path) -> None:
    header = TRUTH_2020.replace("lesion_id,", "")
    row = "A,IP_1,male,45,torso,nevus,benign,0\n"
    write(tmp_path / "ISIC_2020_Training_GroundTruth.csv", header + row)
    write(tmp_path / "ISIC_2020_Training_Duplicates.csv", DUPLICATES)
    pictures(tmp_path / "ISIC_2020_Training_JPEG" / "train", "A")

    assert [image.group for image in read_images(tmp_path)] == ["IP_1"]


def test_2020_without_the_list_of_duplicates_is_refused(tmp_path: Path) -> None:
    root = lay_out_2020(tmp_path, "A,IP_1,IL_1,male,45,torso,nevus,benign,0\n")
    (root / "ISIC_2020_Training_Duplicates.csv").unlink()

    with pytest.raises(ManifestError, match=r"Duplicates\.csv: does not exist; without it copies"):
        list(read_images(root))


def test_a_root_of_two_years_needs_the_year(tmp_path: Path) -> None:
    facts = "ISIC_1,HAM_7,histopathology\n"
    lay_out_2018(tmp_path, one_hot("ISIC_1", "nv", LABELS[2018]), facts=facts)
    rows = one_hot("ISIC_1", "mel", (*LABELS[2019], "unk"))
    lay_out_2019(tmp_path, rows, facts="ISIC_1,55.0,,BCN_3,male\n")

    with pytest.raises(ManifestError, match="holds the tables of 2018 and 2019; name the year"):
        list(read_images(tmp_path))
    (image,) = read_images(tmp_path, year=2019)
    assert (image.label, image.path.parent.name) == ("mel", "ISIC_2019_Training_Input")


def test_an_unknown_year_and_a_root_without_tables_are_said_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="year is 2017, expected one of 2018, 2019, 2020"):
        list(read_images(tmp_path, year=2017))
    with pytest.raises(
        ManifestError, match="holds no ground truth; expected one of ISIC2018_Task3_Training_"
    ):
        list(read_images(tmp_path))
    with pytest.raises(ManifestError, match="expected one of ISIC_2020_Training_GroundTruth_v2"):
        list(read_images(tmp_path, year=2020))


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("ISIC_1,0.0,0.0,0.0,0.0,0.0,0.0,0.0\n", r"line 2: ISIC_1 has 0 diagnoses, expected 1"),
        ("ISIC_1,1.0,1.0,0.0,0.0,0.0,0.0,0.0\n", r"line 2: ISIC_1 has 2 diagnoses, expected 1"),
        ("ISIC_1,0.5,0.0,0.0,0.0,0.0,0.0,0.0\n", r"line 2: MEL is '0\.5', expected 0 or 1"),
        ("ISIC_1,,0.0,0.0,0.0,0.0,0.0,0.0\n", r"line 2: MEL is '', expected 0 or 1"),
        ("ISIC_9,1,0,0,0,0,0,0\n", r"line 2: ISIC_9 is listed, but ISIC2018_.*LesionGroupings\.csv has no"),
        ("ISIC_8,1,0,0,0,0,0,0\n", r"line 2: ISIC_8 is listed, but ISIC_8\.jpg is in no folder"),
        ("ISIC_1,1,0,0,0,0,0,0\nISIC_1,1,0,0,0,0,0,0\n", r"line 3: ISIC_1 is listed a second time"),
    ],
)
def test_an_error_names_table_and_line(tmp_path: Path, rows: str, problem: str) -> None:
    facts = "ISIC_1,HAM_7,histopathology\nISIC_8,HAM_8,histopathology\n"
    root = lay_out_2018(tmp_path, rows, facts=facts)

    with pytest.raises(ManifestError, match=rf"Training_GroundTruth\.csv, {problem}"):
        list(read_images(root))


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("A,IP_1,IL_1,male,45,torso,nevus,benign,1\n", "A is benign, but its target is 1"),
        ("A,IP_1,IL_1,male,45,torso,nevus,bad,1\n", "benign_malignant is 'bad', expected one of benign, mal"),
        ("A,IP_1,IL_1,male,old,torso,nevus,benign,0\n", "age_approx is 'old', expected a number from 0"),
    ],
)
def test_an_error_of_2020_names_table_and_line(tmp_path: Path, row: str, problem: str) -> None:
    with pytest.raises(ManifestError, match=rf"GroundTruth_v2\.csv, line 2: {problem}"):
        list(read_images(lay_out_2020(tmp_path, row)))


def test_a_picture_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    facts = "ISIC_1,HAM_7,histopathology\n"
    root = lay_out_2018(tmp_path, one_hot("ISIC_1", "nv", LABELS[2018]), facts=facts)
    pictures(root / "ISIC2018_Task3_Training_Input" / "resized", "ISIC_1")

    with pytest.raises(ManifestError, match=r"holds ISIC_1\.jpg twice"):
        list(read_images(root))


def test_a_folder_of_pictures_may_be_a_link_even_in_a_circle(tmp_path: Path) -> None:
    facts = "ISIC_1,HAM_7,histopathology\n"
    root = lay_out_2018(tmp_path / "root", one_hot("ISIC_1", "nv", LABELS[2018]), facts=facts)
    folder = root / "ISIC2018_Task3_Training_Input"
    folder.rename(tmp_path / "elsewhere")
    (root / "pictures").symlink_to(tmp_path / "elsewhere")
    for name in ("round", "and round"):
        (tmp_path / "elsewhere" / name).symlink_to(root)

    (image,) = read_images(root)

    assert image.path == root / "pictures" / "ISIC_1.jpg"


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=30))
def test_joined_groups_are_the_connected_components(pairs: list[tuple[int, int]]) -> None:
    groups = join_groups([((0, f"{one:02}"), (0, f"{other:02}")) for one, other in pairs])

    rows, columns = np.array(pairs, int).reshape(-1, 2).T
    _, component = connected_components(coo_array((np.ones(len(rows)), (rows, columns)), shape=(13, 13)))
    names = sorted({number for pair in pairs for number in pair})
    for one in names:
        least = min(other for other in names if component[other] == component[one])
        assert groups[0, f"{one:02}"] == (0, f"{least:02}")
