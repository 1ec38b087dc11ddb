"""The quality answer to radiology: what the header leaves out, missing slices, spoilt grey."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from data.dicom.grouping import read_studies
from data.dicom.writing import ObjectInfo, write_radiograph
from data.quality.finding import Fault
from data.quality.radiology import judge_radiograph, widest_gap
from data.quality.study import look_over

MakeDicom = Callable[..., Path]
CT, DX = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.1.1"


def chest(rows: int = 160, columns: int = 160) -> NDArray[np.uint8]:
    """A dark rim of air, a grey body, brighter in the middle."""
    y, x = np.mgrid[:rows, :columns]
    away = ((y - rows / 2) / (rows / 2)) ** 2 + ((x - columns / 2) / (columns / 2)) ** 2
    grain = np.random.default_rng(7).integers(0, 9, (rows, columns))
    return np.asarray(np.clip(210 - 190 * away + grain, 5, 240), np.uint8)


def faults(*paths: Path) -> list[Fault]:
    (study,), rejected = read_studies(paths)
    assert rejected == ()
    return [finding.fault for finding in look_over(study)]


def ct(make_dicom: MakeDicom, places_mm: list[float], **elements: object) -> list[Path]:
    return [
        make_dicom(
            np.full((64, 64), 40, np.int16),
            name=f"{number}.dcm",
            SOPClassUID=elements.get("SOPClassUID", CT),
            SOPInstanceUID=f"1.2.3.{number}",
            Modality=elements.get("Modality", "CT"),
            ImagePositionPatient=[0, 0, place],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            SliceThickness=elements.get("SliceThickness", "5"),
        )
        for number, place in enumerate(places_mm)
    ]


def test_a_whole_series_is_told_nothing_of(make_dicom: MakeDicom) -> None:
    assert faults(*ct(make_dicom, [0, 5, 10, 15, 20, 25, 30])) == []


def test_a_missing_slice_thick_slices_and_another_modality_are_told(make_dicom: MakeDicom) -> None:
    assert faults(*ct(make_dicom, [0, 5, 10, 20, 25, 30])) == [Fault.SLICES_MISSING]
    assert faults(*ct(make_dicom, [0, 8, 16, 24, 32], SliceThickness="8")) == [Fault.SLICES_TOO_THICK]
    assert faults(*ct(make_dicom, [0, 5, 10, 15, 20], Modality="MR")) == [Fault.MODALITY_WRONG]


def test_a_head_ct_whose_spacing_changes_half_way_has_no_gap() -> None:
    assert widest_gap([0, 2.5, 5, 7.5, 10, 15, 20, 25, 30]) == 1.0


@given(spacing=st.floats(0.3, 10), n=st.integers(6, 60), at=st.integers(2, 56), start=st.floats(-900, 900))
def test_wherever_a_slice_is_taken_out_of_an_even_stack_the_gap_is_two(
    spacing: float, n: int, at: int, start: float
) -> None:
    places = [start + spacing * number for number in range(n)]
    assert widest_gap(places) == pytest.approx(1.0, abs=0.12)
    at = min(at, n - 3)
    assert widest_gap(places[:at] + places[at + 1 :]) == pytest.approx(2.0, abs=0.15) or n < 7


def radiograph(make_dicom: MakeDicom, pixels: NDArray[np.uint8], **elements: object) -> Path:
    given = {
        "SOPClassUID": DX,
        "Modality": "DX",
        "ViewPosition": "PA",
        "BodyPartExamined": "CHEST",
    } | elements
    return make_dicom(pixels, **given)


@pytest.mark.parametrize(
    ("elements", "told"),
    [
        ({}, []),
        ({"ViewPosition": ""}, [Fault.VIEW_MISSING]),
        ({"BodyPartExamined": "HAND"}, [Fault.LATERALITY_MISSING]),
        ({"BodyPartExamined": "HAND", "ImageLaterality": "L"}, []),
        ({"Modality": "CT"}, [Fault.MODALITY_WRONG]),
        ({"BurnedInAnnotation": "YES"}, [Fault.TEXT_IN_PICTURE]),
    ],
)
def test_what_a_radiograph_leaves_out_is_told(
    make_dicom: MakeDicom, elements: dict[str, str], told: list[Fault]
) -> None:
    assert faults(radiograph(make_dicom, chest(), **elements)) == told


def test_clipped_and_inverted_grey_are_told() -> None:
    def told(picture: NDArray[np.uint8]) -> list[Fault]:
        return [finding.fault for finding in judge_radiograph(picture)]

    assert told(chest()) == []
    assert told(255 - chest()) == [Fault.GREY_INVERTED]
    assert told(np.clip((chest().astype(int) - 90) * 3, 0, 255).astype(np.uint8)) == [Fault.GREY_CLIPPED]
    assert told(np.zeros((8, 8), np.uint8)) == []


def test_text_in_a_radiograph_is_told(tmp_path: Path) -> None:
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(chest(400, 400))
    ImageDraw.Draw(image).text((8, 8), "ZHANG WEI 19730412", fill=255, font=ImageFont.load_default(18))
    info = ObjectInfo(seed="a", label="SYNTHETIC PHANTOM", patient_id="1", patient_name="A")
    path = write_radiograph(tmp_path / "a.dcm", np.asarray(image), info=info)
    assert Fault.TEXT_IN_PICTURE in faults(path)


@pytest.mark.datasets
def test_a_real_stack_is_whole_and_every_slice_taken_out_is_missed(datasets: Path) -> None:
    from dataclasses import replace

    from data.quality.radiology import judge_places

    studies, _ = read_studies((datasets / "lidc_ct_256").rglob("*.dcm"))
    (series,) = studies[0].series
    assert list(judge_places(series)) == []
    for at in (3, 40, 100):
        torn = replace(series, frames=series.frames[:at] + series.frames[at + 1 :])
        assert [finding.fault for finding in judge_places(torn)] == [Fault.SLICES_MISSING]
