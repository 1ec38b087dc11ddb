"""Foreign pictures are made the same each time, in the model's own size, and say what they were made from."""

from pathlib import Path

import numpy as np
import pytest

from models.card import Colour, InputSpec, Resize
from training.foreign import ForeignSet, made_sets, other_sets, sample_photographs
from training.looks import describe, looks_of, ordinarily_changed

RGB = InputSpec(height=32, width=40, colour=Colour.RGB, resize=Resize.SQUASH)
GREY = RGB.model_copy(update={"colour": Colour.GREY})
Pictures = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


def own(n: int = 6) -> Pictures:
    slope = np.linspace(30, 220, 40)[None, None, :, None] + np.arange(n)[:, None, None, None]
    return np.broadcast_to(slope, (n, 32, 40, 3)).astype(np.uint8) + np.array([0, 5, 10], np.uint8)


def made(spec: InputSpec, seed: int = 1) -> dict[str, ForeignSet]:
    names = np.array(list("aabbcc"))
    return {one.kind: one for one in made_sets(own(), names, spec, n_each=24, seed=seed)}


def test_the_same_seed_makes_the_same_pictures_and_another_others() -> None:
    first, again, other = made(RGB), made(RGB), made(RGB, seed=2)

    assert all(np.array_equal(first[kind].pictures, again[kind].pictures) for kind in first)
    assert not np.array_equal(first["noise"].pictures, other["noise"].pictures)


@pytest.mark.parametrize("spec", [RGB, GREY])
def test_every_picture_is_an_input_of_the_model(spec: InputSpec) -> None:
    for one in made(spec).values():
        assert one.pictures.shape[1:] == (32, 40, 3)
        assert one.pictures.dtype == np.uint8
        assert len(one.pictures) == len(one.origins)


def test_noise_and_blanks_are_grey_to_a_model_of_grey_pictures() -> None:
    sets = made(GREY)

    for kind in ("noise", "blank"):
        assert (sets[kind].pictures == sets[kind].pictures[..., :1]).all()


def test_blanks_are_even_or_slopes() -> None:
    blanks = made(RGB)["blank"].pictures.astype(int)

    steps = np.maximum(
        np.abs(np.diff(blanks, axis=1)).max(axis=(1, 2, 3)),
        np.abs(np.diff(blanks, axis=2)).max(axis=(1, 2, 3)),
    )
    assert (steps <= 9).all()  # 255 grey levels over 32 pixels
    assert (steps[::3] == 0).all()


def test_a_negative_of_a_negative_is_the_picture() -> None:
    sets = made(RGB)

    assert np.array_equal(255 - sets["negative"].pictures, own())
    assert sets["negative"].origins.tolist() == list("aabbcc")


def test_a_blur_keeps_the_mean_and_takes_the_edges() -> None:
    board = np.kron(np.indices((8, 10)).sum(axis=0) % 2, np.ones((4, 4)))[None, ..., None] * np.full(3, 255)
    names = np.array(["a"])

    blurred = next(
        one.pictures
        for one in made_sets(board.astype(np.uint8), names, RGB, n_each=1, seed=0)
        if one.kind == "heavily blurred"
    )

    assert blurred.mean() == pytest.approx(board.mean(), abs=2)
    assert blurred.std() < 0.8 * board.std()


def test_photographs_are_whole_and_cropped_and_named_by_their_motif() -> None:
    photographs = sample_photographs(RGB, seed=3)

    assert photographs is not None
    motifs, counts = np.unique(photographs.origins, return_counts=True)
    assert len(motifs) >= 20
    assert set(counts) == {12}
    assert photographs.pictures.shape == (12 * len(motifs), 32, 40, 3)


def test_a_set_that_is_not_there_is_named(tmp_path: Path) -> None:
    found = list(other_sets(tmp_path, RGB, without="ham10000", n_each=5, seed=0))

    assert found == ["clinical photographs", "chest radiographs", "head CT", "chest CT"]


@pytest.mark.datasets
@pytest.mark.parametrize("colour", [Colour.RGB, Colour.NEIGHBOURS])
def test_other_sets_are_read_as_the_models_own_is(datasets: Path, colour: Colour) -> None:
    spec = RGB.model_copy(update={"colour": colour})

    found = list(other_sets(datasets, spec, without="kermany", n_each=4, seed=0))

    assert [one if isinstance(one, str) else one.kind for one in found] == [
        "dermoscopy",
        "clinical photographs",
        "head CT",
        "chest CT",
    ]
    assert all(one.pictures.shape == (4, 32, 40, 3) for one in found if isinstance(one, ForeignSet))


def test_an_ordinary_change_changes_little_and_leaves_grey_grey() -> None:
    draws = np.random.default_rng(0)
    for picture in own():
        grey = np.repeat(picture[..., :1], 3, axis=2)

        changed = ordinarily_changed(picture, draws, is_colour=True)
        changed_grey = ordinarily_changed(grey, draws, is_colour=False)

        assert np.abs(changed.astype(int) - picture).mean() < 60
        assert np.corrcoef(changed.ravel(), picture.ravel())[0, 1] > 0.95
        assert (changed_grey == changed_grey[..., :1]).all()


def test_pictures_are_described_first_as_they_are() -> None:
    pictures = own()

    described = describe(pictures, np.array([2, 4]), is_colour=True, seed=0)
    alone = describe(pictures, np.array([4]), is_colour=True, seed=5)

    for aspect, values in described.items():
        assert len(values) == 4
        assert np.array_equal(values[1], alone[aspect][0])


def test_of_many_pictures_some_are_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.looks.N_DESCRIBED", 2)

    looks = looks_of(own(), np.array([0, 1, 2]), np.array([3, 4, 5]), is_colour=True, seed=0)

    assert looks.held_out_places.shape == (2,)
    assert all(len(values) == 4 for values in (*looks.train.values(), *looks.held_out.values()))
