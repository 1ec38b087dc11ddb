from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

from data.likeness import MAX_DISTANCE, TURNS, Pair, find_pairs, fingerprint, turned
from data.sources import kermany


def picture(seed: int) -> NDArray[np.uint8]:
    """Draw a smooth picture (64, 64)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC))


def distance(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> int:
    return int(np.bitwise_count(first ^ second).sum())


def test_the_fingerprint_is_the_signs_of_scipys_cosine_transform() -> None:
    drawn = picture(1)

    bits = np.unpackbits(fingerprint(drawn).view(np.uint8)).reshape(16, 16)

    expected = dctn(drawn.astype(np.float64), type=2)[:16, :16] > 0
    expected[0, 0] = False
    np.testing.assert_array_equal(bits.astype(bool), expected)


@pytest.mark.parametrize("turn", TURNS)
def test_bits_are_turned_as_pictures_are(turn: tuple[bool, bool, bool]) -> None:
    drawn = picture(2)
    upside_down, left_right, diagonal = turn
    lying = drawn[::-1] if upside_down else drawn
    lying = lying[:, ::-1] if left_right else lying
    lying = lying.T if diagonal else lying

    np.testing.assert_array_equal(turned(fingerprint(drawn)[None], turn)[0], fingerprint(lying))


def test_a_darker_copy_is_found_and_another_picture_is_not() -> None:
    original, other = picture(3), picture(4)
    copy = (original * 0.7).astype(np.uint8)

    (pair,) = find_pairs(np.stack([fingerprint(one) for one in (other, original, copy)]))

    assert (pair.first, pair.second, pair.is_turned) == (1, 2, False)


def test_a_copy_turned_by_a_quarter_is_found_as_such() -> None:
    original = picture(5)

    (pair,) = find_pairs(np.stack([fingerprint(one) for one in (original, np.rot90(original))]))

    assert pair == Pair(0, 1, 0, is_turned=True)


def test_blank_pictures_of_any_grey_are_alike() -> None:
    prints = [fingerprint(np.full((64, 64), grey, np.uint8)) for grey in (0, 255)]

    assert distance(prints[0], prints[1]) == 0


def test_equal_pictures_are_joined_as_a_chain_not_each_with_each() -> None:
    same = np.stack([fingerprint(picture(6))] * 5)

    pairs = list(find_pairs(same))

    assert [(pair.first, pair.second) for pair in pairs] == [(0, 1), (1, 2), (2, 3), (3, 4)]


@given(seed=st.integers(0, 1000), n_changed=st.integers(0, MAX_DISTANCE))
def test_whatever_differs_in_fifteen_bits_is_found(seed: int, n_changed: int) -> None:
    draws = np.random.default_rng(seed)
    bits = draws.integers(0, 2, (20, 256), dtype=np.uint8)
    near = bits[:1].copy()
    near[0, draws.choice(256, n_changed, replace=False)] ^= 1
    prints = np.packbits(np.concatenate([bits, near]), axis=1).view(np.uint64)

    assert Pair(0, 20, n_changed, is_turned=False) in list(find_pairs(prints))


def test_the_search_gives_what_comparing_all_gives() -> None:
    draws = np.random.default_rng(1)
    kernels = draws.integers(0, 2, (30, 256), dtype=np.uint8)
    flips = (draws.random((300, 256)) < 0.03).astype(np.uint8)
    prints = np.unique(np.packbits(kernels[draws.integers(0, 30, 300)] ^ flips, axis=1), axis=0).view(
        np.uint64
    )

    found = {(pair.first, pair.second) for pair in find_pairs(prints) if not pair.is_turned}

    apart = np.bitwise_count(prints[:, None] ^ prints[None]).sum(axis=2)
    rows, columns = np.nonzero(np.triu(apart <= MAX_DISTANCE, k=1))
    assert found == set(zip(rows.tolist(), columns.tolist(), strict=True))
    assert len(found) > 100


def test_a_block_smaller_than_what_shares_a_value_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = np.random.default_rng(2)
    bits = np.repeat(draws.integers(0, 2, (1, 256), dtype=np.uint8), 50, axis=0)
    bits[np.arange(50), np.arange(50)] ^= 1
    prints = np.packbits(bits, axis=1).view(np.uint64)
    whole = set(find_pairs(prints))
    monkeypatch.setattr("data.likeness.BLOCK", 7)

    assert set(find_pairs(prints)) == whole
    assert len(whole) == 50 * 49 / 2


def test_no_picture_has_no_pair() -> None:
    assert not list(find_pairs(np.zeros((0, 4), np.uint64)))


def test_a_picture_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 64 x 64"):
        fingerprint(np.zeros((64, 65), np.uint8))


@pytest.mark.datasets
def test_the_radiograph_that_kermany_gives_to_two_children_is_found(datasets: Path) -> None:
    images = [
        image
        for image in kermany.read_images(datasets / "kermany_chest_xray_224")
        if "NORMAL2-IM-00" in image.path.name
    ]
    thumbnails = [np.asarray(Image.open(image.path).convert("L").resize((64, 64))) for image in images]

    pairs = list(find_pairs(np.stack([fingerprint(one) for one in thumbnails])))

    torn = [pair for pair in pairs if images[pair.first].group != images[pair.second].group]
    assert [{images[pair.first].path.stem, images[pair.second].path.stem} for pair in torn] == [
        {"NORMAL2-IM-0095-0001", "NORMAL2-IM-0096-0001"}
    ]
