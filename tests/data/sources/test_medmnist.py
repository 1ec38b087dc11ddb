"""MedMNIST's archives of arrays."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from data.errors import ManifestError
from data.sources.medmnist import read_arrays

Array = np.ndarray[tuple[int, ...], np.dtype[np.generic]]
SIZES = {"train": 3, "val": 1, "test": 2}


def arrays() -> dict[str, Array]:
    pictures = {f"{split}_images": np.full((n, 28, 28), n, np.uint8) for split, n in SIZES.items()}
    labels = {f"{split}_labels": np.arange(n, dtype=np.uint8)[:, None] for split, n in SIZES.items()}
    return {**pictures, **labels}


def save(archive: Path, content: dict[str, Array]) -> None:
    np.savez(archive, allow_pickle=True, **content)


def test_pictures_come_with_label_split_and_index(tmp_path: Path) -> None:
    save(tmp_path / "set.npz", arrays())

    images = list(read_arrays(tmp_path / "set.npz"))

    assert [(image.split, image.index) for image in images] == [
        ("train", 0), ("train", 1), ("train", 2), ("val", 0), ("test", 0), ("test", 1),
    ]  # fmt: skip
    assert images[2].label == (2,)
    assert images[3].picture.shape == (28, 28)
    assert images[3].picture[0, 0] == 1


def test_a_set_of_several_findings_gives_them_all(tmp_path: Path) -> None:
    content = {**arrays(), "train_labels": np.eye(3, 14, dtype=np.uint8)}
    save(tmp_path / "set.npz", content)

    assert next(read_arrays(tmp_path / "set.npz")).label == (1,) + (0,) * 13


@pytest.mark.parametrize(
    ("name", "array", "problem"),
    [
        (
            "train_images",
            np.zeros((3, 28, 28), np.float32),
            r"train_images is \(3, 28, 28\) float32, expected",
        ),
        (
            "test_labels",
            np.zeros((5, 1), np.uint8),
            r"test_labels is \(5, 1\) uint8, expected \(2, n\) integers",
        ),
        ("val_labels", np.array([["a"]], dtype=object), "is not an archive of plain arrays"),
    ],
)
def test_arrays_that_do_not_fit_are_named(tmp_path: Path, name: str, array: Array, problem: str) -> None:
    content = {**arrays(), name: array}
    save(tmp_path / "set.npz", content)

    with pytest.raises(ManifestError, match=problem):
        list(read_arrays(tmp_path / "set.npz"))


def test_a_missing_array_and_a_missing_file_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", train_images=np.zeros((1, 28, 28), np.uint8))

    with pytest.raises(ManifestError, match="lacks the array train_labels; found train_images"):
        list(read_arrays(tmp_path / "set.npz"))
    with pytest.raises(ManifestError, match="does not exist"):
        list(read_arrays(tmp_path / "absent.npz"))


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 cut short", b"\x93NUMPY"])
def test_what_is_no_archive_is_said_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "set.npz").write_bytes(content)

    with pytest.raises(ManifestError, match="is not an archive of plain arrays"):
        list(read_arrays(tmp_path / "set.npz"))


@pytest.mark.datasets
def test_pneumoniamnist_has_its_published_counts(datasets: Path) -> None:
    images = read_arrays(datasets / "pneumoniamnist_28" / "pneumoniamnist.npz")

    assert Counter(image.split for image in images) == {"train": 4708, "val": 524, "test": 624}
