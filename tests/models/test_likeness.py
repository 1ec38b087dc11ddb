"""Looks unlike training's are found, and what is amiss is said."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy.spatial.distance import mahalanobis

from models.appearance import N_STATISTICS, Aspect, appearance
from models.likeness import Unlike, fit_likeness, scale_of
from models.novelty import NoveltyModel, fit, judge, with_looks
from models.novelty_archive import MAX_BYTES, from_npz, load, save, to_npz

SIDE = 64
Pictures = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


def skin(n: int, seed: int) -> Pictures:
    """Draw brown blobs on light skin with fine hair and grain."""
    draws = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    pictures = np.empty((n, SIDE, SIDE, 3), np.uint8)
    for index in range(n):
        picture = np.full((SIDE, SIDE, 3), (210, 170, 150)) + draws.normal(0, 8, 3)
        middle, radius = SIDE / 2 + draws.uniform(-6, 6, 2), draws.uniform(10, 18)
        inside = (rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 < radius**2
        picture[inside] = np.array((120, 80, 60)) + draws.normal(0, 10, 3)
        for _ in range(5):
            picture[draws.integers(SIDE), draws.integers(20) : draws.integers(30, SIDE)] -= 50
        picture += draws.normal(0, draws.uniform(4, 7), picture.shape)
        pictures[index] = picture.clip(0, 255)
    return pictures


def features(pictures: Pictures) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Stand in for a network that is blind to all but noise of its own."""
    return np.random.default_rng(int(pictures[0, 0, 0, 0])).normal(size=(len(pictures), 6))


@pytest.fixture(scope="module")
def model() -> NoveltyModel:
    train, held_out = skin(400, 0), skin(300, 1)
    known = fit(features(train), np.arange(400) % 2, acceptance=0.99, held_out=features(held_out))
    return with_looks(known, appearance(train), appearance(held_out), features(held_out))


def causes_of(pictures: Pictures, model: NoveltyModel) -> set[Unlike]:
    judged = judge(np.zeros((len(pictures), 6)), pictures, model)
    assert (judged.scores > 1.0).all()
    return set(judged.causes)


def test_pictures_like_trainings_are_accepted_as_often_as_promised(model: NoveltyModel) -> None:
    own = skin(600, 2)

    judged = judge(features(own), own, model)

    assert (judged.scores <= 1.0).mean() == pytest.approx(0.99, abs=0.015)
    assert 0.3 < np.median(judged.scores) < 0.8


def test_the_held_out_pictures_set_the_threshold(model: NoveltyModel) -> None:
    held_out = skin(300, 1)

    judged = judge(features(held_out), held_out, model)

    assert (judged.scores <= 1.0 + 1e-6).sum() == 298


def test_an_empty_picture_has_no_structure(model: NoveltyModel) -> None:
    blank = np.full((3, SIDE, SIDE, 3), 1, np.uint8) * np.array([0, 128, 255], np.uint8)[:, None, None, None]

    assert causes_of(blank, model) == {Unlike.NO_STRUCTURE}


def test_a_blurred_picture_is_called_so(model: NoveltyModel) -> None:
    blurred = [
        np.asarray(Image.fromarray(one).filter(ImageFilter.GaussianBlur(1.5))).astype(float)
        for one in skin(5, 3)
    ]
    # a little colour noise stays, or it would have lost its colour's structure too
    grain = np.random.default_rng(0).normal(0, 3, (5, SIDE // 8, SIDE // 8, 3)).repeat(8, 1).repeat(8, 2)

    assert Unlike.BLURRED in causes_of((np.stack(blurred) + grain).clip(0, 255).astype(np.uint8), model)


def test_noise_is_called_so(model: NoveltyModel) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3), np.uint8)

    assert causes_of(noise, model) == {Unlike.NOISY}


def test_a_grey_picture_has_no_colour(model: NoveltyModel) -> None:
    grey = skin(4, 4)[..., :1].repeat(3, axis=3)

    assert causes_of(grey, model) == {Unlike.NO_COLOUR}


def test_a_negative_has_other_tones(model: NoveltyModel) -> None:
    assert causes_of(255 - skin(4, 5), model) == {Unlike.TONES}


def test_a_picture_that_looks_right_may_still_be_unlike_to_the_network(model: NoveltyModel) -> None:
    own = skin(3, 6)

    judged = judge(np.full((3, 6), 30.0), own, model)

    assert (judged.scores > 1.0).all()
    assert set(judged.causes) == {Unlike.FEATURES}


def test_features_that_are_no_numbers_are_infinitely_new(model: NoveltyModel) -> None:
    judged = judge(np.full((1, 6), np.nan), skin(1, 7), model)

    assert np.isinf(judged.scores).all()
    assert judged.causes == (Unlike.FEATURES,)


def test_without_looks_the_features_alone_count_as_they_always_did() -> None:
    plain = fit(features(skin(400, 0)), np.arange(400) % 2)
    noise = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3), np.uint8)

    judged = judge(plain.means[:1], noise, plain)

    assert judged.scores[0] < 1.0
    assert judged.causes == (Unlike.FEATURES,)


def test_every_cause_has_its_words() -> None:
    assert len({cause.words for cause in Unlike}) == len(Unlike)


def test_one_aspect_is_mahalanobis_distance_where_pictures_are_many() -> None:
    draws = np.random.default_rng(0)
    length = N_STATISTICS[Aspect.TONES]
    train = draws.normal(size=(20_000, length)) @ draws.normal(size=(length, length)) * 10
    new = draws.normal(size=(5, length)) * 30

    likeness = fit_likeness(Aspect.TONES, train, train, acceptance=1.0)

    distances = np.log(likeness.scaled(new)) / likeness.power + np.log(likeness.limit)
    inverse = np.linalg.inv(np.cov(train, rowvar=False))
    expected = [mahalanobis(row, train.mean(axis=0), inverse) for row in new]
    np.testing.assert_allclose(np.exp(distances), expected, rtol=0.03)


def test_statistics_that_never_vary_are_no_division_by_zero() -> None:
    train = np.zeros((50, N_STATISTICS[Aspect.TEXTURE]))

    likeness = fit_likeness(Aspect.TEXTURE, train, train, acceptance=0.99)

    assert np.isfinite(likeness.scaled(train + 1.0)).all()
    assert (likeness.scaled(train + 1.0) > 1.0).all()


def test_pictures_that_are_all_alike_have_a_scale_too() -> None:
    limit, power = scale_of(np.full(10, 3.0), 0.99)

    assert (limit, power) == (3.0, 1.0)


def test_looks_are_read_as_they_were_saved_and_always_the_same_bytes(
    model: NoveltyModel, tmp_path: Path
) -> None:
    save(model, tmp_path / "novelty.npz")
    again = load(tmp_path / "novelty.npz")

    own = skin(10, 8)
    assert np.array_equal(judge(features(own), own, again).scores, judge(features(own), own, model).scores)
    assert to_npz(again) == to_npz(model) == (tmp_path / "novelty.npz").read_bytes()


def test_a_file_that_unpacks_to_too_much_is_not_unpacked() -> None:
    content = BytesIO()
    with ZipFile(content, "w", ZIP_DEFLATED) as archive:
        archive.writestr("means.npy", bytes(MAX_BYTES + 1))

    with pytest.raises(ValueError, match="larger than"):
        from_npz(content.getvalue())


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "novelty.npz"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)

    with pytest.raises(ValueError, match="larger than"):
        load(path)


def test_an_aspect_may_stand_only_once(model: NoveltyModel) -> None:
    with pytest.raises(ValueError, match="twice"):
        replace(model, looks=(model.looks[0], model.looks[0]))


@pytest.mark.parametrize(
    "change",
    [
        {"limit": 0.0},
        {"power": float("nan")},
        {"mean": np.zeros(3, np.float32)},
        {"spread": np.zeros(15, np.float32)},
        {"whitening": np.full((15, 15), np.inf, np.float32)},
    ],
)
def test_a_likeness_that_makes_no_sense_cannot_be_made(
    model: NoveltyModel, change: dict[str, object]
) -> None:
    tones = next(look for look in model.looks if look.aspect is Aspect.TONES)
    with pytest.raises(ValueError, match=r"shapes disagree|must be finite|expected numbers above 0"):
        replace(tones, **change)  # type: ignore[arg-type]  # the wrong values are the test
