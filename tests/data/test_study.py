"""Studies: frozen values that read pixels when someone looks."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from data.study import Frame, Instance, Modality, PatientContext, Series, Study


@dataclass(frozen=True)
class CountingReader:
    """Gives a picture whose grey is the frame's index, and remembers what was asked."""

    asked: list[tuple[int, int | None]]

    def displayed(self, index: int, *, at_least_px: int | None = None) -> NDArray[np.uint8]:
        self.asked.append((index, at_least_px))
        return np.full((2, 3), index, np.uint8)

    def quantities(self, index: int) -> NDArray[np.float32]:
        raise ValueError(f"frame {index} has no quantities")


def instance(uid: str, *, n_frames: int = 1, reader: CountingReader | None = None) -> Instance:
    return Instance(
        path=Path(f"{uid}.dcm"),
        sop_instance_uid=uid,
        sop_class_uid=None,
        number=None,
        n_frames=n_frames,
        rows=2,
        columns=3,
        is_colour=False,
        unit=None,
        reader=reader or CountingReader([]),
    )


def series(uid: str, *instances: Instance) -> Series:
    frames = tuple(Frame(part, index) for part in instances for index in range(part.n_frames))
    return Series(uid=uid, modality=Modality.CT, frames=frames)


@pytest.mark.parametrize(
    ("code", "modality"),
    [
        ("CT", Modality.CT),
        (" xc ", Modality.PHOTOGRAPH),
        ("", Modality.OTHER),
        (None, Modality.OTHER),
        ("QQ", Modality.OTHER),
    ],
)
def test_a_modality_is_found_by_its_code_and_an_unknown_one_is_other(
    code: str | None, modality: Modality
) -> None:
    assert Modality.of(code) is modality


@pytest.mark.parametrize("age_years", [-1.0, 131.0, float("nan")])
def test_an_impossible_age_is_refused(age_years: float) -> None:
    with pytest.raises(ValueError, match="age_years is"):
        PatientContext(age_years=age_years)


@pytest.mark.parametrize("skin_type", [0, 7])
def test_a_skin_type_beyond_fitzpatricks_six_is_refused(skin_type: int) -> None:
    with pytest.raises(ValueError, match="skin_type is"):
        PatientContext(skin_type=skin_type)


def test_pixels_are_read_when_someone_looks_and_one_frame_at_a_time() -> None:
    reader = CountingReader([])
    study = Study(uid="1", series=(series("1.1", instance("1.1.1", n_frames=3, reader=reader)),))
    frames = list(study.frames)
    assert reader.asked == []

    picture = frames[2].displayed(at_least_px=64)

    assert picture[0, 0] == 2
    assert reader.asked == [(2, 64)]
    with pytest.raises(ValueError, match="frame 1 has no quantities"):
        frames[1].quantities()


def test_frames_are_numbered_from_one_as_dicom_does() -> None:
    assert [frame.number for frame in series("1", instance("1.1", n_frames=2)).frames] == [1, 2]


def test_each_instance_and_file_stands_once_in_reading_order() -> None:
    first, second = instance("1.1", n_frames=2), instance("1.2")
    study = Study(uid="1", series=(series("a", second, first), series("b", instance("1.3"))))

    assert [part.sop_instance_uid for part in study.series[0].instances] == ["1.2", "1.1"]
    assert [path.name for path in study.paths] == ["1.2.dcm", "1.1.dcm", "1.3.dcm"]
    assert len(list(study.frames)) == 4


def test_values_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        PatientContext().age_years = 3.0  # type: ignore[misc]  # that it is refused is the point
