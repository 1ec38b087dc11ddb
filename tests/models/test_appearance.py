"""The numbers that a picture's looks are told by, against what can be worked out by hand."""

import numpy as np
import pytest
from PIL import Image, ImageFilter
from skimage import data as samples

from models.appearance import MIN_SIDE_PX, N_COLOUR_BANDS, N_LIGHT_BANDS, N_STATISTICS, Aspect, appearance

Pictures = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


def astronaut(side: int = 96) -> Pictures:
    return np.asarray(Image.fromarray(samples.astronaut()).resize((side, side)))


def test_each_aspect_has_the_length_that_is_promised() -> None:
    described = appearance(np.stack([astronaut(), astronaut()]))

    assert {aspect: values.shape for aspect, values in described.items()} == {
        aspect: (2, length) for aspect, length in N_STATISTICS.items()
    }


def test_the_steps_of_a_slope_are_its_slope_and_double_with_each_halving() -> None:
    slope = np.broadcast_to((3 * np.arange(64))[None, :, None], (64, 64, 3)).astype(np.uint8)

    steps = np.exp(appearance(slope[None])[Aspect.TEXTURE][0, :N_LIGHT_BANDS]) - 0.05

    # 3 grey levels across and none down
    np.testing.assert_allclose(steps, 1.5 * 2.0 ** np.arange(N_LIGHT_BANDS), rtol=1e-4)


def test_a_grey_picture_has_no_steps_of_colour() -> None:
    grey = np.repeat(samples.camera()[:128, :128, None], 3, axis=2)

    of_colour = appearance(grey[None])[Aspect.TEXTURE][0, 2 * N_LIGHT_BANDS :]

    assert of_colour.size == 4 * N_COLOUR_BANDS
    np.testing.assert_allclose(of_colour.reshape(2, 2, -1)[:, 0], np.log(0.05), atol=1e-4)


def test_tones_are_means_spreads_and_percentiles() -> None:
    half = np.zeros((32, 32, 3), np.uint8)
    half[:, 16:] = (200, 100, 0)

    tones = appearance(half[None])[Aspect.TONES][0]

    np.testing.assert_allclose(tones[:4], [100, 50, 0, 100], atol=1e-3)
    np.testing.assert_allclose(np.exp(tones[4:8]) - 1, [100, 50, 0, 100], rtol=1e-4, atol=1e-4)
    assert tones[8:].tolist() == [0, 0, 0, 0, 100, 100, 100]


def test_layout_is_the_mean_light_of_each_cell() -> None:
    picture = np.zeros((16, 40, 3), np.uint8)
    picture[:2, 35:] = 90

    layout = appearance(picture[None])[Aspect.LAYOUT][0].reshape(8, 8)

    assert layout[0, 7] == 90
    assert layout.sum() == 90


def test_a_blurred_picture_has_smaller_steps_above_all_fine_ones() -> None:
    plain = Image.fromarray(astronaut())
    blurred = plain.filter(ImageFilter.GaussianBlur(4))

    steps = appearance(np.stack([np.asarray(plain), np.asarray(blurred)]))[Aspect.TEXTURE][:, :N_LIGHT_BANDS]

    fall = steps[0] - steps[1]
    assert (fall > 0).all()
    assert fall[0] > fall[-1] + 0.5


@pytest.mark.parametrize("side", [MIN_SIDE_PX, 17, 33, 100])
def test_any_size_is_described(side: int) -> None:
    described = appearance(astronaut(side)[None])

    assert all(np.isfinite(values).all() for values in described.values())


@pytest.mark.parametrize(
    ("pictures", "match"),
    [
        (np.zeros((1, 32, 32, 3), np.float32), "uint8"),
        (np.zeros((32, 32, 3), np.uint8), "expected"),
        (np.zeros((1, 32, 8, 3), np.uint8), "at least 16 pixels"),
    ],
)
def test_what_is_no_picture_is_refused(pictures: np.ndarray[tuple[int, ...]], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        appearance(pictures)
