"""Kermany's chest radiographs: classes by folder, children by name or by table."""

from collections import Counter
from pathlib import Path

import pytest

from data.errors import ManifestError
from data.sources.kermany import read_images

NAMES = {
    "train/NORMAL": ["IM-0115-0001.jpeg", "NORMAL2-IM-0942-0001.jpeg"],
    "train/PNEUMONIA": ["person123_bacteria_4.jpeg", "person123_virus_9.jpeg", "person447_virus_921_1.jpeg"],
    "val/NORMAL": ["IM-0115-0001.jpeg"],
    "val/PNEUMONIA": [],
    "test/NORMAL": ["IM-0011-0001-0002.jpeg"],
    "test/PNEUMONIA": ["person123_virus_5.jpeg"],
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder, names in NAMES.items():
        (tmp_path / folder).mkdir(parents=True)
        for name in names:
            (tmp_path / folder / name).write_bytes(b"")
    return tmp_path


def test_a_child_is_told_by_the_files_name_within_its_split(root: Path) -> None:
    images = list(read_images(root))

    assert [image.group for image in images] == [
        "train:IM-0115", "train:NORMAL2-IM-0942",
        "train:person123", "train:person123", "train:person447",
        "val:IM-0115", "test:IM-0011", "test:person123",
    ]  # fmt: skip
    assert [image.label for image in images][:3] == ["normal", "normal", "pneumonia"]
    assert [set(image.findings) for image in images][1:4] == [set(), {"bacteria"}, {"virus"}]
    assert images[-1].split == "test"


def test_the_tables_groups_go_before_the_names(root: Path) -> None:
    rows = [
        f"{folder}/{name},G{number}" for folder, names in NAMES.items() for number, name in enumerate(names)
    ]
    (root / "labels.csv").write_text("path,group\n" + "\n".join(rows) + "\n", encoding="utf-8")

    assert [image.group for image in read_images(root)] == ["G0", "G1", "G0", "G1", "G2", "G0", "G0", "G0"]


def test_a_table_and_files_that_disagree_are_said_so(root: Path) -> None:
    (root / "labels.csv").write_text("path,group\ntrain/NORMAL/IM-0115-0001.jpeg,a\n", encoding="utf-8")
    with pytest.raises(ManifestError, match=r"NORMAL2-IM-0942-0001\.jpeg is a file, but not listed"):
        list(read_images(root))

    rows = "".join(f"{folder}/{name},a\n" for folder, names in NAMES.items() for name in names)
    (root / "labels.csv").write_text(f"path,group\n{rows}train/NORMAL/absent.jpeg,a\n", encoding="utf-8")
    with pytest.raises(ManifestError, match="lists 9 radiographs, but there are 8 files"):
        list(read_images(root))


def test_a_name_that_tells_no_child_is_named(root: Path) -> None:
    (root / "train" / "NORMAL" / "scan.jpeg").write_bytes(b"")

    with pytest.raises(ManifestError, match=r"scan\.jpeg: does not tell the child"):
        list(read_images(root))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"NORMAL: is missing; expected train, val and test"):
        list(read_images(tmp_path))


@pytest.mark.datasets
def test_the_whole_set_has_its_published_counts(datasets: Path) -> None:
    images = list(read_images(datasets / "kermany_chest_xray_224"))

    assert Counter((image.split, image.label) for image in images) == {
        ("train", "normal"): 1341, ("train", "pneumonia"): 3875,
        ("val", "normal"): 8, ("val", "pneumonia"): 8,
        ("test", "normal"): 234, ("test", "pneumonia"): 390,
    }  # fmt: skip
    assert len(images) == 5_856
    assert Counter(finding for image in images for finding in image.findings) == {
        "bacteria": 2780,
        "virus": 1493,
    }


@pytest.mark.datasets
def test_names_tell_the_same_children_as_the_table(datasets: Path, tmp_path: Path) -> None:
    root = datasets / "kermany_chest_xray_224"
    for split in ("train", "val", "test"):
        (tmp_path / split).symlink_to(root / split)

    by_table = [image.group for image in read_images(root)]
    by_name = [image.group for image in read_images(tmp_path)]

    assert len(set(by_table)) == len(set(by_name)) == len(set(zip(by_table, by_name, strict=True))) == 3_288
