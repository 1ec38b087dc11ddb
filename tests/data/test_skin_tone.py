import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import color as reference

from data.photo import decode_photo
from data.skin_tone import SkinTone, estimate_skin, find_skin, to_lab, tone_of, typology_angle
from data.sources import pad_ufes_20

Picture = NDArray[np.uint8]

# Skin colours from light to dark, and the angle that their own L* and b* give.
SKINS = ((236, 214, 198), (214, 176, 150), (190, 140, 105), (140, 95, 65), (85, 55, 40))
LESION = (70, 40, 30)


def _drawn(skin: tuple[int, int, int], *, side: int = 160, radius: float = 40.0) -> Picture:
    """Draw a lesion on skin with noise and a little shading."""
    draws = np.random.default_rng(1)
    picture = np.full((side, side, 3), skin, np.float64)
    picture[_distance(side) < radius] = np.minimum(LESION, np.array(skin) * 0.6)
    picture *= np.linspace(0.97, 1.03, side)[:, None, None]
    return (picture + draws.normal(0, 3, picture.shape)).clip(0, 255).astype(np.uint8)


def _distance(side: int) -> NDArray[np.float64]:
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    return np.asarray(np.hypot(rows, columns))


def _angle_of(skin: tuple[int, int, int]) -> float:
    lightness, _, yellowness = to_lab(np.array(skin, np.uint8))
    return typology_angle(float(lightness), float(yellowness))


def test_lab_agrees_with_scikit_image_on_every_27th_colour() -> None:
    codes = np.arange(0, 256, 3)
    colours = np.stack(np.meshgrid(codes, codes, codes), axis=-1).astype(np.uint8)

    # scikit-image rounds the matrix and the white point to six digits
    np.testing.assert_allclose(to_lab(colours), reference.rgb2lab(colours), atol=0.02)


def test_the_classes_change_at_the_published_angles() -> None:
    just_above = [str(tone_of(cut_off + 0.01)) for cut_off in (-30, 10, 28, 41, 55)]
    at = [str(tone_of(float(cut_off))) for cut_off in (-30, 10, 28, 41, 55)]

    assert just_above == ["brown", "tan", "intermediate", "light", "very light"]
    assert at == ["dark", "brown", "tan", "intermediate", "light"]


@pytest.mark.parametrize("skin", SKINS)
def test_a_lesion_does_not_move_the_estimate_of_its_skin(skin: tuple[int, int, int]) -> None:
    estimate = estimate_skin(_drawn(skin))

    assert estimate is not None
    assert estimate.angle_degrees == pytest.approx(_angle_of(skin), abs=4.0)
    assert estimate.tone is tone_of(_angle_of(skin))


def test_the_five_drawn_skins_are_of_five_classes() -> None:
    tones = [tone_of(_angle_of(skin)) for skin in SKINS]

    assert sorted(tones, key=list(SkinTone).index) == tones
    assert len(set(tones)) == 5


def test_corners_hair_ink_ruler_and_glare_do_not_move_the_estimate() -> None:
    picture = _drawn(SKINS[1])
    picture[_distance(160) > 88] = 5  # a dermatoscope's black corners
    picture[::9, 20:140] = (40, 30, 25)  # hair
    picture[:, 30:34] = (60, 60, 140)  # ink
    picture[150:, 40:120] = 235  # a ruler
    picture[30:45, 60:100] = 255  # glare

    estimate = estimate_skin(picture)

    assert estimate is not None
    assert estimate.angle_degrees == pytest.approx(_angle_of(SKINS[1]), abs=4.0)


def test_no_pixel_of_the_lesion_is_taken_for_skin() -> None:
    is_skin = find_skin(to_lab(_drawn(SKINS[2])))

    assert not is_skin[_distance(160) < 38].any()
    assert is_skin[_distance(160) > 42].mean() > 0.95


@pytest.mark.parametrize("value", [0, 128, 255])
def test_grey_black_and_white_are_no_skin(value: int) -> None:
    assert estimate_skin(np.full((64, 64, 3), value, np.uint8)) is None


def test_a_cold_colour_cast_gives_no_estimate_instead_of_very_light_skin() -> None:
    assert estimate_skin(_drawn((214, 190, 205))) is None


def test_a_larger_picture_gives_the_same_estimate() -> None:
    small = _drawn(SKINS[2], side=128, radius=30)
    large = np.repeat(np.repeat(small, 9, axis=0), 5, axis=1)

    assert estimate_skin(large) == estimate_skin(small)


def test_the_picture_is_not_written_to() -> None:
    picture = _drawn(SKINS[0])
    picture.flags.writeable = False

    assert estimate_skin(picture) is not None


@pytest.mark.parametrize("shape", [(0, 8, 3), (8, 8), (8, 8, 4)])
def test_what_is_no_colour_picture_is_refused_by_its_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected \\(rows, columns, 3\\) uint8"):
        estimate_skin(np.zeros(shape, np.uint8))


def test_a_picture_of_one_pixel_is_answered_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimate_skin(np.array([[[214, 176, 150]]], np.uint8))


@pytest.mark.datasets
def test_nearly_every_smartphone_photograph_gives_an_estimate(datasets: Path) -> None:
    images = list(pad_ufes_20.read_images(datasets / "pad_ufes_20_sample"))

    estimates = [estimate_skin(decode_photo(image.path, at_least_px=128)) for image in images]

    assert sum(estimate is not None for estimate in estimates) >= 0.95 * len(images)
