"""Frames are prepared ahead, in order, and lie where they lay in the patient."""

import threading

import numpy as np
import pytest

from data.errors import ImageError, Reason
from data.study import Frame, Modality, Series
from models.card import Colour, InputSpec, Resize
from models.evidence import key_frames
from serving.scoring.preparation import BATCH_FRAMES, placed_frames, prepared_batches
from tests.tiny_study import ArrayReader, tiny_series

SPEC = InputSpec(height=16, width=16, colour=Colour.GREY, resize=Resize.SQUASH)
AXIAL, CORONAL = (0.0, 0.0, 1.0), (0.0, 1.0, 0.0)


def ct(n: int, spacing_mm: float | None, normal: tuple[float, float, float] = AXIAL) -> Series:
    series = tiny_series([np.full((16, 16), index, np.uint8) for index in range(n)], modality=Modality.CT)
    one = series.frames[0].instance
    frames = tuple(
        Frame(one, index) if spacing_mm is None else Frame(one, index, index * spacing_mm, normal)
        for index in range(n)
    )
    return Series("1", Modality.CT, frames)


def places(*series: Series) -> list[float]:
    return [place_mm for _, _, place_mm in placed_frames(series)]


@pytest.mark.parametrize("n", [1, BATCH_FRAMES, BATCH_FRAMES + 1, 3 * BATCH_FRAMES])
def test_every_frame_comes_once_and_in_order(n: int) -> None:
    batches = list(prepared_batches([ct(n, 5.0)], SPEC))

    contents = [one.content for batch in batches for one in batch]
    assert [int(content[0, 0, 0]) for content in contents if not isinstance(content, ImageError)] == [
        *range(n)
    ]
    assert all(len(batch) == BATCH_FRAMES for batch in batches[:-1])


class _WatchedReader(ArrayReader):
    """Says in which threads it was asked; its tenth picture is broken."""

    def displayed(self, index: int, *, at_least_px: int | None = None) -> np.ndarray:
        self.asked.append((threading.current_thread().name, index, at_least_px))
        if index == 9:
            raise ImageError("nine.dcm", Reason.CORRUPT, "is broken", "send it again")
        return self.pictures[index]


def test_the_next_batch_is_read_while_one_is_used_and_no_more_than_that() -> None:
    pictures = [np.zeros((16, 16), np.uint8)] * 40
    reader = _WatchedReader(pictures)
    frames = tiny_series(pictures, modality=Modality.CT).frames
    instance = frames[0].instance
    object.__setattr__(instance, "reader", reader)
    batches = prepared_batches([Series("1", Modality.CT, frames)], SPEC)

    next(batches)
    while len(reader.asked) < 2 * BATCH_FRAMES:
        threading.Event().wait(0.005)
    threading.Event().wait(0.02)

    assert len(reader.asked) == 2 * BATCH_FRAMES
    assert all(name.startswith("preparing") for name, _, _ in reader.asked)
    second = next(batches)
    assert [type(one.content).__name__ for one in second][:3] == ["ndarray", "ImageError", "ndarray"]


def test_a_photograph_is_read_without_another_thread() -> None:
    picture = np.zeros((16, 16, 3), np.uint8)
    series = tiny_series([picture])
    reader = _WatchedReader([picture])
    object.__setattr__(series.frames[0].instance, "reader", reader)

    ((one,),) = prepared_batches([series], SPEC)

    assert [name for name, _, _ in reader.asked] == [threading.current_thread().name]
    assert one.quality is not None


@pytest.mark.parametrize(("n", "spacing_mm"), [(30, 5.0), (120, 1.25), (240, 0.625), (30, None), (240, None)])
def test_three_key_images_of_a_large_bleed_are_three_places_at_any_thickness(
    n: int, spacing_mm: float | None
) -> None:
    thickness_mm = spacing_mm or 150.0 / n
    height_mm = np.arange(n) * thickness_mm
    evidence = np.exp(-(((height_mm - 70.0) / 15.0) ** 2))

    chosen = key_frames(evidence, places(ct(n, spacing_mm)))

    assert len(chosen) == 3
    assert height_mm[chosen[0]] == pytest.approx(70.0, abs=thickness_mm)
    assert np.diff(np.sort(height_mm[list(chosen)])).min() >= 9.9


def test_stacks_of_two_orientations_do_not_suppress_each_other() -> None:
    axial, coronal = ct(3, 5.0), ct(3, 5.0, CORONAL)
    both = Series("1", Modality.CT, axial.frames + coronal.frames)

    assert key_frames(np.array([0.1, 0.9, 0.1, 0.1, 0.8, 0.1]), places(both), n=2) == (1, 4)
