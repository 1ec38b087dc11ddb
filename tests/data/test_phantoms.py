"""Phantoms: the same from the same seed, labelled, and with what they are said to show."""

import hashlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from data.phantoms import LABEL, chest_radiograph, head_ct, skin_lesion, write_sample_studies
from data.photo import decode_photo, read_photo


def corner(picture: NDArray[np.uint8] | NDArray[np.int16]) -> NDArray[np.uint8] | NDArray[np.int16]:
    return picture[4:11, 4:58]


def test_the_word_synthetic_stands_in_the_corner() -> None:
    drawn = corner(head_ct(0, has_bleed=False, n_slices=3).hounsfield[1]) == 1100

    first_letter = ["".join("#" if bit else "." for bit in row[:5]) for row in drawn]
    assert first_letter == [".####", "#....", "#....", ".###.", "....#", "....#", "####."]
    assert (corner(chest_radiograph(0, has_opacity=False, side_px=256)) == 255)[drawn].all()
    assert (corner(skin_lesion(0, looks_malignant=False, rows=200, columns=260)[..., 0]) == 255)[drawn].all()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_bleed_is_bright_on_the_slices_that_are_named_and_absent_elsewhere(seed: int) -> None:
    without, head = head_ct(seed, has_bleed=False), head_ct(seed, has_bleed=True)

    added = head.hounsfield != without.hounsfield
    n_pixels = np.count_nonzero(added, axis=(1, 2))
    assert without.bleed_slices == ()
    assert len(head.bleed_slices) >= 3
    assert all((n_pixels[number] >= 20) == (number in head.bleed_slices) for number in range(30))
    assert 55 <= head.hounsfield[added].mean() <= 80


@pytest.mark.parametrize("seed", [1, 2])
def test_an_opacity_makes_one_lung_brighter_and_leaves_the_other(seed: int) -> None:
    without, picture = (chest_radiograph(seed, has_opacity=choice).astype(int) for choice in (False, True))

    brightened = picture - without

    assert brightened.min() >= 0
    assert brightened.max() > 60
    assert min(brightened[:, :256].max(), brightened[:, 256:].max()) == 0


@pytest.mark.parametrize("seed", [1, 2])
def test_what_looks_malignant_has_more_colours_than_what_looks_benign(seed: int) -> None:
    def n_colours(picture: NDArray[np.uint8]) -> int:
        middle = picture[50:-50, 75:-75].reshape(-1, 3) // 32
        _, n_pixels = np.unique(middle, axis=0, return_counts=True)
        return int(np.count_nonzero(n_pixels > 0.002 * len(middle)))

    benign, malignant = (
        n_colours(skin_lesion(seed, looks_malignant=choice, rows=225, columns=300))
        for choice in (False, True)
    )

    assert malignant > benign


def content_of(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_sample_studies_are_the_same_bytes_from_the_same_seed_and_say_what_they_are(tmp_path: Path) -> None:
    studies = write_sample_studies(tmp_path / "a", seed=5, n_skin=2, n_chest=1, n_head=1)
    write_sample_studies(tmp_path / "b", seed=5, n_skin=2, n_chest=1, n_head=1)
    write_sample_studies(tmp_path / "c", seed=6, n_skin=2, n_chest=1, n_head=1)

    assert [study.name for study in studies] == ["skin-01.jpg", "skin-02.jpg", "chest-01.dcm", "head-01"]
    assert content_of(tmp_path / "a") == content_of(tmp_path / "b")
    assert not set(content_of(tmp_path / "a").values()) & set(content_of(tmp_path / "c").values())
    assert decode_photo(studies[0]).shape == (450, 600, 3)
    assert len({read_photo(study).uid for study in studies[:2]}) == 2
    for path in [studies[2], *studies[3].iterdir()]:
        header = pydicom.dcmread(path)
        assert LABEL in str(header)
        assert "SYNTHETIC" in str(header.PatientName)
        assert header.pixel_array.ndim == 2
