"""The one way from a frame to the network's input."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data.dicom.grouping import read_studies
from data.errors import ImageError, Reason
from data.photo import read_photo
from data.study import Frame, Modality
from models.card import Colour, InputSpec, Resize, Window
from models.preprocess import (
    SeriesInputs,
    apply_window,
    frame_input,
    placement,
    preprocessing_sha256,
    to_input,
)
from tests.tiny_study import ArrayReader, tiny_series

HEAD_WINDOWS = (Window(centre=40, width=80), Window(centre=80, width=200), Window(centre=600, width=2800))


def spec_of(
    colour: Colour = Colour.RGB,
    resize: Resize = Resize.CENTRE_CROP,
    *,
    height: int = 32,
    width: int = 32,
    crop: float = 1.0,
) -> InputSpec:
    windows = HEAD_WINDOWS if colour is Colour.WINDOWS else ()
    return InputSpec(height=height, width=width, colour=colour, resize=resize, crop=crop, windows=windows)


def asked_of(frame: Frame) -> list[tuple[str, int, int | None]]:
    return cast("ArrayReader", frame.instance.reader).asked


def colours(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), np.uint8)


@given(
    rows=st.integers(1, 90),
    columns=st.integers(1, 90),
    grey=st.booleans(),
    spec=st.builds(
        spec_of,
        st.sampled_from([Colour.RGB, Colour.GREY]),
        st.sampled_from(list(Resize)),
        height=st.integers(16, 40),
        width=st.integers(16, 40),
        crop=st.floats(0.05, 1.0),
    ),
)
@settings(max_examples=150, deadline=None)
def test_any_picture_becomes_the_input_of_the_card(
    rows: int, columns: int, grey: bool, spec: InputSpec
) -> None:
    picture = colours(rows, columns)[..., 0] if grey else colours(rows, columns)
    before = picture.copy()
    result = to_input(picture, spec)
    assert result.shape == (spec.height, spec.width, 3)
    assert result.dtype == np.uint8
    assert np.array_equal(picture, before)
    if grey or spec.colour is Colour.GREY:
        assert (result == result[..., :1]).all()


@given(level=st.integers(0, 255), resize=st.sampled_from([Resize.SQUASH, Resize.CENTRE_CROP]))
@settings(max_examples=30, deadline=None)
def test_a_flat_picture_stays_flat(level: int, resize: Resize) -> None:
    picture = np.full((77, 131, 3), level, np.uint8)
    assert (to_input(picture, spec_of(resize=resize)) == level).all()


def test_a_picture_of_the_right_size_is_not_changed() -> None:
    picture = colours(32, 32)
    for resize in Resize:
        assert np.array_equal(to_input(picture, spec_of(resize=resize)), picture)


def test_centre_crop_keeps_the_middle_square() -> None:
    picture = np.zeros((40, 100, 3), np.uint8)
    picture[:, 30:70] = 200
    # the filter of the outermost pixels reaches a little beyond the border
    assert (to_input(picture, spec_of())[1:-1, 1:-1] == 200).all()


def test_crop_keeps_the_middle_part_of_both_sides() -> None:
    picture = np.zeros((80, 80, 3), np.uint8)
    picture[20:60, 20:60] = 200
    assert (to_input(picture, spec_of(crop=0.5))[1:-1, 1:-1] == 200).all()


def test_squash_keeps_both_ends() -> None:
    picture = np.zeros((64, 128, 3), np.uint8)
    picture[:, :64, 0] = 255
    result = to_input(picture, spec_of(resize=Resize.SQUASH))
    assert (result[:, :14, 0] == 255).all()
    assert (result[:, 18:] == 0).all()


def test_pad_keeps_everything_and_leaves_black_around_it() -> None:
    result = to_input(np.full((50, 100, 3), 200, np.uint8), spec_of(resize=Resize.PAD))
    assert (result[8:24] == 200).all()
    assert (result[:8] == 0).all()
    assert (result[24:] == 0).all()


def test_red_and_green_of_one_luma_are_the_same_grey() -> None:
    # Rec. 601: 0.299 R and 0.587 G
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:, :16, 0] = 200
    picture[:, 16:, 1] = 102
    result = to_input(picture, spec_of(Colour.GREY))
    assert int(result.max()) - int(result.min()) <= 1
    assert abs(int(result[0, 0, 0]) - 60) <= 1


def test_reduction_does_not_alias() -> None:
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    inner = to_input(stripes, spec_of(height=64, width=64))[1:-1, 1:-1]
    assert int(np.abs(inner.astype(int) - 128).max()) <= 1


def test_the_filter_is_close_to_the_mean_of_each_pixels_area() -> None:
    y, x = np.mgrid[0:512, 0:512]
    smooth = (127.5 + 100 * np.sin(x / 40) * np.cos(y / 55)).astype(np.uint8)
    area = smooth.reshape(64, 8, 64, 8).mean(axis=(1, 3))
    result = to_input(smooth, spec_of(Colour.GREY, height=64, width=64))[..., 0]
    assert float(np.abs(result - area).mean()) < 0.8


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8), np.float32),
        np.zeros((8, 8), np.uint16),
        np.zeros((8,), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_what_is_not_a_picture_is_refused(picture: np.ndarray) -> None:
    with pytest.raises(ValueError, match="picture is"):
        to_input(picture, spec_of())


@given(
    rows=st.integers(1, 500),
    columns=st.integers(1, 500),
    spec=st.builds(
        spec_of,
        resize=st.sampled_from(list(Resize)),
        height=st.integers(16, 300),
        width=st.integers(16, 300),
        crop=st.floats(0.1, 1.0),
    ),
)
def test_the_corners_of_what_is_filled_go_back_to_what_was_kept(
    rows: int, columns: int, spec: InputSpec
) -> None:
    place = placement(rows, columns, spec)
    left, top, right, bottom = place.filled
    corners = place.to_picture(np.array([[left, top], [right, bottom]], np.float64))
    np.testing.assert_allclose(corners.ravel(), place.kept, atol=1e-9)
    assert place.kept[0] >= 0
    assert place.kept[1] >= 0
    assert place.kept[2] <= columns + 1e-9
    assert place.kept[3] <= rows + 1e-9


def test_a_spot_is_found_again_where_it_was() -> None:
    picture = np.zeros((300, 200), np.uint8)
    picture[140:160, 60:80] = 255
    for resize in Resize:
        spec = spec_of(Colour.GREY, resize, height=96, width=64)
        row, column = np.argwhere(to_input(picture, spec)[..., 0] > 128).mean(axis=0)
        point = placement(300, 200, spec).to_picture(np.array([[column + 0.5, row + 0.5]]))
        np.testing.assert_allclose(point, [[70.0, 150.0]], atol=2.0)


def test_a_window_is_linear_between_its_borders_and_flat_beyond() -> None:
    values = np.array([-1000, 0, 20, 40, 60, 80, 3000], np.float32)
    expected = [0, 0, 64, 128, 191, 255, 255]
    assert apply_window(values, HEAD_WINDOWS[0]).tolist() == expected


def test_what_is_not_a_number_is_black_in_a_window() -> None:
    values = np.array([np.nan, -np.inf, np.inf], np.float32)
    assert apply_window(values, HEAD_WINDOWS[0]).tolist() == [0, 0, 255]


@given(st.lists(st.floats(-3000, 3000, width=32), min_size=2, max_size=20))
def test_a_brighter_value_is_never_shown_darker(values: list[float]) -> None:
    shown = apply_window(np.array(sorted(values), np.float32), HEAD_WINDOWS[1])
    assert (np.diff(shown.astype(int)) >= 0).all()


def test_a_photograph_is_asked_for_no_larger_than_needed() -> None:
    series = tiny_series([colours(100, 100)])
    frame_input(series.frames, 0, spec_of(crop=0.5))
    assert asked_of(series.frames[0]) == [("displayed", 0, 128)]


def test_windows_are_cut_from_the_quantities() -> None:
    values = np.full((32, 32), 60.0, np.float32)
    series = tiny_series([np.zeros((32, 32), np.uint8)], values=[values])
    result = frame_input(series.frames, 0, spec_of(Colour.WINDOWS))
    assert result[5, 5].tolist() == [191, 102, 78]
    assert asked_of(series.frames[0]) == [("quantities", 0, None)]


def test_windows_fall_back_on_the_displayed_grey_where_there_are_no_quantities() -> None:
    series = tiny_series([np.full((32, 32, 3), (200, 0, 0), np.uint8)])
    assert frame_input(series.frames, 0, spec_of(Colour.WINDOWS))[5, 5].tolist() == [60, 60, 60]


def test_neighbours_are_the_slices_before_and_after_and_edges_repeat() -> None:
    slices = [np.full((40, 40), level, np.uint8) for level in (10, 20, 30)]
    frames = tiny_series(slices).frames
    spec = spec_of(Colour.NEIGHBOURS)
    centre = [frame_input(frames, index, spec)[3, 3].tolist() for index in range(3)]
    assert centre == [[10, 10, 20], [10, 20, 30], [20, 30, 30]]


def ct_stack(
    places_mm: list[float], *, values: list[np.ndarray] | None = None, reader: ArrayReader | None = None
) -> list[Frame]:
    """Slices of the levels 0, 10, 20, ... at these places."""
    slices = [np.full((40, 40), 10 * index, np.uint8) for index in range(len(places_mm))]
    series = tiny_series(slices, values=values or [], modality=Modality.CT)
    instance = replace(series.frames[0].instance, reader=reader or ArrayReader(slices, values or []))
    return [Frame(instance, index, place, (0.0, 0.0, 1.0)) for index, place in enumerate(places_mm)]


def test_neighbours_are_shown_in_the_one_window_of_the_card_where_there_are_hounsfield_units() -> None:
    values = [np.full((40, 40), hounsfield, np.float32) for hounsfield in (-20.0, 40.0, 100.0)]
    spec = spec_of(Colour.NEIGHBOURS).model_copy(update={"windows": (Window(centre=40, width=120),)})

    with_units = ct_stack([0.0, 5.0, 10.0], values=values)
    assert frame_input(with_units, 1, spec)[3, 3].tolist() == [0, 128, 255]
    assert {kind for kind, _, _ in asked_of(with_units[0])} == {"quantities"}

    without = ct_stack([0.0, 5.0, 10.0])
    assert frame_input(without, 1, spec)[3, 3].tolist() == [0, 10, 20]


@given(
    places_mm=st.lists(st.floats(-50, 50).map(lambda place: round(place, 1)), min_size=1, max_size=25),
    neighbour_mm=st.none() | st.floats(0.5, 12.0),
)
@settings(max_examples=60, deadline=None)
def test_walking_a_series_gives_what_each_frame_gives_alone_and_reads_each_slice_once(
    places_mm: list[float], neighbour_mm: float | None
) -> None:
    spec = spec_of(Colour.NEIGHBOURS).model_copy(update={"neighbour_mm": neighbour_mm})
    frames = ct_stack(sorted(places_mm))
    inputs = SeriesInputs(frames, spec)
    walked = [inputs[index] for index in range(len(inputs))]
    n_read = len(asked_of(frames[0]))
    alone = [frame_input(frames, index, spec) for index in range(len(frames))]

    assert np.array_equal(walked, alone)
    assert n_read == len(frames)


def test_a_walk_through_thin_slices_keeps_only_those_between_a_slice_and_its_neighbours() -> None:
    spec = spec_of(Colour.NEIGHBOURS).model_copy(update={"neighbour_mm": 5.0})
    frames = ct_stack([index * 0.625 for index in range(25)])
    inputs = SeriesInputs(frames, spec)

    centre, n_kept = [], []
    for index in range(len(frames)):
        centre.append(inputs[index][3, 3].tolist())
        n_kept.append(len(inputs._kept))

    assert centre[12] == [40, 120, 200]  # eight slices of .625 mm are 5 mm
    assert max(n_kept) == 17
    assert len(asked_of(frames[0])) == 25


class _BrokenReader(ArrayReader):
    """A stack whose third slice cannot be read."""

    def displayed(self, index: int, *, at_least_px: int | None = None) -> np.ndarray:
        picture = super().displayed(index, at_least_px=at_least_px)
        if index == 2:
            raise ImageError("broken.dcm", Reason.TRUNCATED, "ends early", "send the file again")
        return picture


def test_a_slice_whose_neighbour_cannot_be_read_is_its_own_neighbour() -> None:
    slices = [np.full((40, 40), 10 * index, np.uint8) for index in range(5)]
    frames = ct_stack([0.0, 5.0, 10.0, 15.0, 20.0], reader=_BrokenReader(slices))
    inputs = SeriesInputs(frames, spec_of(Colour.NEIGHBOURS))

    assert inputs[1][3, 3].tolist() == [0, 10, 10]
    with pytest.raises(ImageError, match="ends early"):
        inputs[2]
    assert inputs[3][3, 3].tolist() == [30, 30, 40]
    assert len(asked_of(frames[0])) == 5


def test_one_window_is_for_neighbours_alone() -> None:
    window = [{"centre": 40, "width": 120}]
    fields = {"height": 32, "width": 32, "resize": "pad", "windows": window}
    assert InputSpec.model_validate({**fields, "colour": "neighbours"}).windows[0].width == 120
    for colour in ("grey", "rgb", "windows"):
        with pytest.raises(ValueError, match="'neighbours' takes one or none"):
            InputSpec.model_validate({**fields, "colour": colour})
    with pytest.raises(ValueError, match="neighbour_mm belongs to"):
        InputSpec.model_validate({**fields, "colour": "grey", "windows": [], "neighbour_mm": 5})


def test_the_hashes_of_specs_from_before_neighbours_had_a_distance_are_what_they_were() -> None:
    before = (
        '{"colour":"rgb","crop":1.0,"flips":false,"height":32,"resize":"centre-crop","width":32,"windows":[]}'
    )
    content = f'{{"input":{before},"preprocessing":1}}'
    assert preprocessing_sha256(spec_of()) == hashlib.sha256(content.encode()).hexdigest()
    near = spec_of(Colour.NEIGHBOURS)
    assert preprocessing_sha256(near) != preprocessing_sha256(near.model_copy(update={"neighbour_mm": 5.0}))


def test_a_frame_that_is_not_there_is_refused() -> None:
    frames = tiny_series([colours(32, 32)]).frames
    for index in (-1, 1):
        with pytest.raises(IndexError, match="series of 1"):
            frame_input(frames, index, spec_of())


def test_the_hash_changes_with_everything_that_changes_the_input() -> None:
    specs = [
        spec_of(),
        spec_of(Colour.GREY),
        spec_of(resize=Resize.PAD),
        spec_of(height=33),
        spec_of(width=33),
        spec_of(crop=0.9),
        spec_of(Colour.WINDOWS),
        spec_of(Colour.WINDOWS).model_copy(update={"windows": HEAD_WINDOWS[::-1]}),
    ]
    assert len({preprocessing_sha256(spec) for spec in specs}) == len(specs)


def test_the_hash_is_the_same_in_another_process() -> None:
    program = (
        "from models.card import *; from models.preprocess import preprocessing_sha256 as of;"
        "print(of(InputSpec(height=32, width=32, colour=Colour.RGB, resize=Resize.CENTRE_CROP)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == preprocessing_sha256(spec_of())


def test_the_result_is_that_of_version_1() -> None:
    """Whoever changes a pixel here raises PREPROCESSING_VERSION, then this figure."""
    y, x = np.mgrid[0:90, 0:70]
    picture = np.stack([x * 3, y * 2, (x + y) % 256], axis=-1).astype(np.uint8)
    hashes = {
        resize: hashlib.sha256(
            to_input(picture, spec_of(resize=resize, height=24, width=40)).tobytes()
        ).hexdigest()[:8]
        for resize in Resize
    }
    assert hashes == {Resize.CENTRE_CROP: "0d0122e4", Resize.SQUASH: "7172603c", Resize.PAD: "25307710"}


def test_the_reduction_is_pillows_bilinear_one() -> None:
    picture = colours(300, 300, seed=3)
    own = Image.fromarray(picture).resize((32, 32), Image.Resampling.BILINEAR)
    assert np.array_equal(to_input(picture, spec_of()), np.asarray(own))


def test_a_large_photograph_is_read_reduced_and_looks_as_if_read_whole(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    # the contrast of skin; the differences grow with it
    coarse = Image.fromarray(random.integers(90, 190, (60, 80, 3), np.uint8))
    photograph = np.asarray(coarse.resize((2400, 1800), Image.Resampling.BICUBIC)).astype(np.int16)
    noisy = np.clip(photograph + random.normal(0, 4, photograph.shape), 0, 255).astype(np.uint8)
    path = tmp_path / "photograph.jpg"
    Image.fromarray(noisy).save(path, quality=92)
    frames = read_photo(path).series[0].frames
    spec = spec_of(height=192, width=192)
    reduced = frames[0].displayed(at_least_px=384)
    whole = frames[0].displayed()
    assert reduced.size < whole.size / 4
    difference = frame_input(frames, 0, spec).astype(int) - to_input(whole, spec).astype(int)
    assert float(np.abs(difference).mean()) <= 0.3


@pytest.mark.datasets
def test_a_real_ct_slice_stands_in_three_windows_and_among_its_neighbours(
    datasets: Path,
) -> None:
    files = sorted((datasets / "lidc_ct_256" / "LIDC-IDRI-0001").glob("*.dcm"))[:9]
    (study,), rejected = read_studies(files)
    assert not rejected
    frames = study.series[0].frames

    windows = frame_input(frames, 4, spec_of(Colour.WINDOWS, Resize.SQUASH, height=128, width=128))
    values = frames[4].quantities()
    assert values.min() < -800  # the lungs
    for channel, window in enumerate(HEAD_WINDOWS):
        shown = apply_window(values, window)
        assert float(windows[..., channel].mean()) == pytest.approx(float(shown.mean()), abs=0.5)

    spec = spec_of(Colour.NEIGHBOURS, Resize.SQUASH, height=128, width=128)
    before, here, after = (frame_input(frames, index, spec) for index in (3, 4, 5))
    assert np.array_equal(here[..., 0], before[..., 1])
    assert np.array_equal(here[..., 2], after[..., 1])
    assert not np.array_equal(here[..., 0], here[..., 1])
